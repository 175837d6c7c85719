#include "layeravatar/produce/interpolate.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "layeravatar/core/error.h"

namespace layeravatar::produce {
namespace {

torch::Tensor vector(std::vector<float> values) { return torch::tensor(values); }
double worst(const torch::Tensor& got, const torch::Tensor& want) { return (got - want).abs().max().item<double>(); }

TEST(Interpolate, StepsHoldBothEnds) {
  EXPECT_EQ(even_steps(1), (std::vector<double>{0}));
  EXPECT_EQ(even_steps(5), (std::vector<double>{0, 0.25, 0.5, 0.75, 1}));
  EXPECT_EQ(even_steps(10).back(), 1.0);
  EXPECT_DOUBLE_EQ(even_steps(10)[3], 1.0 / 3);
}

TEST(Interpolate, StraightLine) {
  const auto a = vector({1, -2}), b = vector({5, 6});
  EXPECT_LT(worst(between(a, b, 0.25), vector({2, 0})), 1e-6);
}

TEST(Interpolate, EndsAreExact) {
  torch::manual_seed(3);
  const auto a = torch::randn({2, 3, 5}), b = torch::randn({2, 3, 5});
  for (const auto& way : {between, along_arc}) {
    EXPECT_TRUE(torch::equal(way(a, b, 0), a));
    EXPECT_TRUE(torch::equal(way(a, b, 1), b));
  }
}

// Between orthogonal vectors the weights are cos and sin of a quarter turn's part; 30 degrees at a third.
TEST(Interpolate, OrthogonalNoises) {
  const auto a = vector({2, 0, 0}), b = vector({0, 0, 4});
  const auto third = along_arc(a, b, 1.0 / 3);
  EXPECT_LT(worst(third, vector({2 * std::sqrt(3.0F) / 2, 0, 4 * 0.5F})), 1e-6);
  EXPECT_LT(worst(along_arc(a, b, 0.5), vector({std::sqrt(2.0F), 0, 2 * std::sqrt(2.0F)})), 1e-6);
}

// Vectors of one length keep it: at 60 degrees, half way, both weights are sin 30 / sin 60.
TEST(Interpolate, TheArcKeepsTheLength) {
  const auto a = vector({1, 0}), b = vector({0.5F, std::sqrt(3.0F) / 2});
  const auto middle = along_arc(a, b, 0.5);
  EXPECT_NEAR(middle.norm().item<double>(), 1, 1e-6);
  EXPECT_LT(worst(middle, (a + b) / std::sqrt(3.0F)), 1e-6);
  EXPECT_NEAR(between(a, b, 0.5).norm().item<double>(), std::sqrt(3.0) / 2, 1e-6);
}

TEST(Interpolate, WithoutAnArcTheLineIsTaken) {
  const auto a = vector({1, 2, -3});
  EXPECT_LT(worst(along_arc(a, a, 0.3), a), 1e-6);
  EXPECT_LT(worst(along_arc(a, 2 * a, 0.5), 1.5 * a), 1e-6);
  EXPECT_LT(worst(along_arc(a, -a, 0.25), 0.5 * a), 1e-6);
  EXPECT_LT(worst(along_arc(a, torch::zeros(3), 0.5), 0.5 * a), 1e-6);
  EXPECT_THROW(along_arc(a, torch::zeros(4), 0.5), Error);
}

}  // namespace
}  // namespace layeravatar::produce
