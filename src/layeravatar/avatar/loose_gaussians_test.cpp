#include "layeravatar/avatar/loose_gaussians.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <vector>

#include "layeravatar/avatar/template_for_test.h"

namespace layeravatar::avatar {
namespace {

// Of the template for tests: the hair 7 lies 3 cm above the head 0, the top 12 2 cm and the bottom 10 3 cm in front of the hip 4.
// With base sizes of 2 cm and kReach = 1.15 two Gaussians touch below 4.6 cm.
GaussianAttributes at_rest() {
  constexpr std::int64_t n = 14;
  return {torch::ones({n}), torch::zeros({n, 3}), torch::zeros({n, 3}), torch::zeros({n, 3}), torch::zeros({n, 3})};
}

LooseGaussians of(const templates::LayeredTemplate& layers) {
  return {layers, [](const torch::Tensor& points) { return torch::full({points.size(0)}, 0.02F); }};
}

std::vector<std::int64_t> ids(const torch::Tensor& mask) {
  const torch::Tensor found = mask.nonzero().squeeze(1);
  return {found.data_ptr<std::int64_t>(), found.data_ptr<std::int64_t>() + found.numel()};
}

const std::vector<std::int64_t> kNone;

TEST(LooseGaussians, TouchTheSkinUnlessTheyAreFarOrItCannotBeSeen) {
  const LooseGaussians loose = of(small_template());
  GaussianAttributes a = at_rest();
  EXPECT_EQ(ids(loose.find(a)), kNone);
  a.offset[7][1] = 0.08F;  // about 11 cm from the head
  EXPECT_EQ(ids(loose.find(a)), std::vector<std::int64_t>{7});
  a.radius[7][0] = 1;      // 6.9 cm reach
  EXPECT_EQ(ids(loose.find(a)), std::vector<std::int64_t>{7});
  a.radius[0][1] = 2;      // 11.5 cm, with the larger of the head's tangent radii
  EXPECT_EQ(ids(loose.find(a)), kNone);
  a.opacity[0] = 0.2F;     // what cannot be seen holds nothing
  EXPECT_EQ(ids(loose.find(a)), std::vector<std::int64_t>{7});
  a.opacity[7] = 0.2F;     // but may be loose itself
  EXPECT_EQ(ids(loose.find(a)), std::vector<std::int64_t>{7});
  a.opacity[7] = 0.04F;    // until nobody sees it
  EXPECT_EQ(ids(loose.find(a)), kNone);
}

TEST(LooseGaussians, HangOnTheBodyByOthersOfTheirComponentOnly) {
  const LooseGaussians loose = of(small_template());
  GaussianAttributes a = at_rest();
  a.opacity[4] = 0;          // no hip under the bottom's 10 and the top's 12, which lie beside each other
  EXPECT_EQ(ids(loose.find(a)), (std::vector<std::int64_t>{10, 12}));
  a.offset[11][1] = 0.85F;   // the bottom's other point leaves the foot and touches 10: a pair, and still loose
  EXPECT_EQ(ids(loose.find(a)), (std::vector<std::int64_t>{10, 11, 12}));
  a.opacity[4] = 1;
  EXPECT_EQ(ids(loose.find(a)), kNone);
  a.offset[11][1] = 0.82F;   // 6 cm from the hip, and as far from 10
  EXPECT_EQ(ids(loose.find(a)), std::vector<std::int64_t>{11});
  a.offset[10][1] = -0.03F;  // 10 goes between: 4.2 cm from the hip, 3.7 cm from 11
  EXPECT_EQ(ids(loose.find(a)), kNone);
  a.opacity[10] = 0;
  EXPECT_EQ(ids(loose.find(a)), std::vector<std::int64_t>{11});
  EXPECT_EQ(ids(loose.outer_mask()), (std::vector<std::int64_t>{7, 8, 10, 11, 12, 13}));
}

}  // namespace
}  // namespace layeravatar::avatar
