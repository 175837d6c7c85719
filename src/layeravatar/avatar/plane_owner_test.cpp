#include "layeravatar/avatar/plane_owner.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "layeravatar/avatar/attributes.h"
#include "layeravatar/avatar/decoder.h"
#include "layeravatar/avatar/template_for_test.h"

namespace layeravatar::avatar {
namespace {

// The points of small_template lie in the middle column of their square, 0.07 apart in v. Hip (v 0.28), foot (0.35) and hand
// (0.42) of the body have clothes within 3 cm, its other points have none.
TEST(PlaneOwner, FollowsTheNearestPointAndTheGarmentOverTheSkin) {
  constexpr std::int64_t kHeight = 32;
  const torch::Tensor owner = plane_owner(small_template(), kHeight);
  ASSERT_EQ(owner.sizes(), torch::IntArrayRef({12, kHeight, 3 * kHeight}));
  const auto at = [&](std::int64_t channel, int square, double v) {
    return owner[channel][static_cast<std::int64_t>(v * kHeight)][square * kHeight + kHeight / 2].item<int>();
  };
  for (const std::int64_t texture : {6, 11}) {
    for (const double v : {0.01, 0.28, 0.35, 0.42, 0.99}) EXPECT_EQ(at(texture, 0, v), 0) << v;
    EXPECT_EQ(at(texture, 1, 0.1), 0);   // hair is the uppermost point of the second square
    EXPECT_EQ(at(texture, 1, 0.56), 3);
    EXPECT_EQ(at(texture, 1, 0.99), 0);  // the point without a label
    EXPECT_EQ(at(texture, 2, 0.2), 4);
    EXPECT_EQ(at(texture, 2, 0.9), 1);
  }
  for (const std::int64_t geometry : {0, 5}) {
    EXPECT_EQ(at(geometry, 0, 0.01), 0);  // head, under hair
    EXPECT_EQ(at(geometry, 0, 0.07), 0);  // face
    EXPECT_EQ(at(geometry, 0, 0.21), 0);  // chest
    EXPECT_EQ(at(geometry, 0, 0.28), 1);  // hip: the top is nearer than the bottom, which lies under it
    EXPECT_EQ(at(geometry, 0, 0.35), 3);  // foot: the shoe is nearer than the bottom
    EXPECT_EQ(at(geometry, 0, 0.42), 1);  // hand in a sleeve
    EXPECT_EQ(at(geometry, 1, 0.1), 0);
    EXPECT_EQ(at(geometry, 2, 0.2), 4);
  }
}

TEST(ComponentTexels, ShareThePlanesAmongTheFive) {
  constexpr std::int64_t kHeight = 32;
  const templates::LayeredTemplate layers = small_template();
  const torch::Tensor owner = plane_owner(layers, kHeight);
  for (const bool with_skin : {false, true}) {
    torch::Tensor times = torch::zeros(owner.sizes(), torch::kInt64);
    for (int component = 0; component < 5; ++component) times += component_texels(layers, kHeight, component, with_skin).to(torch::kInt64);
    EXPECT_TRUE((times == 1).all().item<bool>()) << with_skin;
  }
  EXPECT_TRUE(torch::equal(component_texels(layers, kHeight, 1, true), owner == 1));
  EXPECT_FALSE(component_texels(layers, kHeight, 1, false).slice(2, 0, kHeight).any().item<bool>());
  EXPECT_TRUE(component_texels(layers, kHeight, 2, true)[0][2][kHeight + kHeight / 2].item<bool>());
}

// The gradient of a component's attributes tells where they come from.
TEST(TexelsRead, AreThoseThatAComponentDependsOn) {
  constexpr std::int64_t kHeight = 32;
  const templates::LayeredTemplate layers = small_template();
  Decoder decoder;
  decoder.eval();
  const MapSampler sampler(layers.uvs);
  for (int component = 0; component < 5; ++component) {
    torch::Tensor planes = torch::randn({1, kPlaneChannels, kHeight, 3 * kHeight}).requires_grad_(true);
    const torch::Tensor own = torch::tensor(std::vector<std::int64_t>(layers.labels.begin(), layers.labels.end())) == component + 1;
    sampler.sample(decoder.attribute_map(planes))[0].index({own}).pow(2).sum().backward();
    const torch::Tensor moved = (planes.grad()[0] != 0).any(0);
    EXPECT_TRUE(torch::equal(texels_read(layers, kHeight, component), moved)) << component;
  }
}

}  // namespace
}  // namespace layeravatar::avatar
