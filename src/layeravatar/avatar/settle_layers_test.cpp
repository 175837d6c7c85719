#include "layeravatar/avatar/settle_layers.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "layeravatar/avatar/attributes.h"
#include "layeravatar/avatar/template_for_test.h"

namespace layeravatar::avatar {
namespace {

TEST(SettleLayers, BringsTheSkinUnderTheClothesAndMovesNothingElse) {
  torch::manual_seed(5);
  const templates::LayeredTemplate layers = small_template();
  const LayerOrder order(layers);
  const MapSampler sampler(layers.uvs);
  Decoder decoder;
  decoder.eval();
  {
    const torch::NoGradGuard no_grad;
    decoder.named_parameters()["offset_net.0.weight"].normal_(0, 0.1);
  }
  constexpr std::int64_t kHeight = 16;
  const torch::Tensor planes = torch::randn({12, kHeight, 3 * kHeight}).clamp(-1, 1);
  const auto loss = [&](const torch::Tensor& of) {
    const torch::NoGradGuard no_grad;
    const GaussianAttributes attributes = attributes_from_samples(sampler.sample(decoder.attribute_map(of.unsqueeze(0)))[0]);
    return order.loss(attributes.offset, attributes.opacity).item<double>();
  };
  const torch::Tensor settled = settle_layers(decoder, sampler, order, planes);
  const double before = loss(planes), after = loss(settled);
  EXPECT_GT(before, 0.05);
  EXPECT_LT(after, 0.1 * before);
  const torch::Tensor moved = (settled - planes).abs();
  EXPECT_GT(moved.slice(0, 0, 6).slice(2, 0, kHeight).max().item<float>(), 0.01);
  EXPECT_EQ(moved.slice(0, 6).max().item<float>(), 0);
  EXPECT_EQ(moved.slice(2, kHeight).max().item<float>(), 0);
  EXPECT_FALSE(settled.requires_grad());
}

}  // namespace
}  // namespace layeravatar::avatar
