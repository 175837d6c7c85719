#include "layeravatar/avatar/loose_gaussians.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "layeravatar/avatar/template_for_test.h"

namespace layeravatar::avatar {
namespace {

// Of the template for tests: 7 hair lies 2 cm above the body's 0 (and 1 cm more by its frame), 8 shoe 1 cm above 5.
GaussianAttributes at_rest() {
  constexpr std::int64_t n = 14;
  return {torch::ones({n}), torch::zeros({n, 3}), torch::zeros({n, 3}), torch::zeros({n, 3}), torch::zeros({n, 3})};
}

std::vector<std::int64_t> ids(const torch::Tensor& mask) {
  const torch::Tensor found = mask.nonzero().squeeze(1);
  return {found.data_ptr<std::int64_t>(), found.data_ptr<std::int64_t>() + found.numel()};
}

TEST(LooseGaussians, TouchTheirNeighboursOrTheSkinUnlessTheyAreFarOrSmallOrAlone) {
  const templates::LayeredTemplate layers = small_template();
  const LooseGaussians loose(layers, torch::full({14}, 0.02F));
  const auto none = std::vector<std::int64_t>{};
  GaussianAttributes a = at_rest();
  EXPECT_EQ(ids(loose.find(a)), none);
  a.offset[7][1] = 0.05F;  // the hair goes up: 7.3 cm from the head, 2 cm + 2 cm reach
  EXPECT_EQ(ids(loose.find(a)), std::vector<std::int64_t>{7});
  a.radius[7][0] = 1;      // 6 cm reach; not enough
  EXPECT_EQ(ids(loose.find(a)), std::vector<std::int64_t>{7});
  a.radius[0][1] = 1;      // 8 cm reach with the larger of the head's two tangent radii
  EXPECT_EQ(ids(loose.find(a)), none);
  a.opacity[0] = 0.2F;     // what cannot be seen holds nothing
  EXPECT_EQ(ids(loose.find(a)), std::vector<std::int64_t>{7});
  a.opacity[7] = 0.2F;     // and what cannot be seen itself is not loose
  EXPECT_EQ(ids(loose.find(a)), none);
}

TEST(LooseGaussians, KnowTheirOwnComponentOnly) {
  const templates::LayeredTemplate layers = small_template();
  const LooseGaussians loose(layers, torch::full({14}, 0.02F));
  GaussianAttributes a = at_rest();
  a.opacity[4] = 0;        // no hip under the bottom's 10 and the top's 12, which lie beside each other
  EXPECT_EQ(ids(loose.find(a)), (std::vector<std::int64_t>{10, 12}));
  a.offset[11][1] = 0.88F; // the other point of the bottom comes beside 10, and both hold each other
  EXPECT_EQ(ids(loose.find(a)), std::vector<std::int64_t>{12});
  EXPECT_EQ(ids(loose.outer_mask()), (std::vector<std::int64_t>{7, 8, 10, 11, 12, 13}));
}

}  // namespace
}  // namespace layeravatar::avatar
