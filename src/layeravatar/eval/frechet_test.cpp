#include "layeravatar/eval/frechet.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

namespace layeravatar::eval {
namespace {

torch::Tensor matrix(const std::vector<double>& values) {
  const auto n = static_cast<std::int64_t>(std::lround(std::sqrt(values.size())));
  return torch::tensor(values, torch::kFloat64).reshape({n, n});
}

torch::Tensor vector_of(const std::vector<double>& values) { return torch::tensor(values, torch::kFloat64); }

// Quarters from -2 to 2 by a congruential generator, exact in any arithmetic.
torch::Tensor quarters(std::int64_t state, std::int64_t rows, std::int64_t width) {
  torch::Tensor out = torch::empty({rows, width});
  for (std::int64_t i = 0; i < rows * width; ++i) {
    state = (state * 1103515245 + 12345) % (std::int64_t{1} << 31);
    out.flatten()[i] = static_cast<float>((state >> 16) % 17 - 8) / 4;
  }
  return out;
}

// The two sets of the recorded numbers: 9 and 12 rows of 4; computed in Python's fractions, and the root of the product of the covariances by
// Denman and Beavers' iteration in decimals of 60 digits (its square differs from the product by 4e-59), with the same generator.
struct Recorded {
  torch::Tensor a = quarters(1, 9, 4), b = quarters(2, 12, 4);
  Recorded() { b.select(1, 0) += 1.5; }
};

TEST(Moments, OfRowsByHandAndInAnyPortions) {
  const torch::Tensor rows = torch::tensor({1.F, 0.F, 2.F, 2.F, 3.F, 4.F}).reshape({3, 2});
  Moments all;
  all.add(rows);
  EXPECT_TRUE(torch::equal(all.mean(), vector_of({2, 2})));
  EXPECT_TRUE(torch::equal(all.covariance(), matrix({1, 2, 2, 4})));

  const torch::Tensor many = quarters(5, 50, 3) + 100;  // far from zero, where sums of squares would lose digits
  Moments whole, parts, rest;
  whole.add(many);
  for (int i = 0; i < 20; ++i) parts.add(many.slice(0, i, i + 1));
  parts.add(many.slice(0, 20, 20));
  rest.merge(Moments());
  rest.add(many.slice(0, 20, 50));
  parts.merge(rest);
  EXPECT_EQ(parts.count(), 50);
  EXPECT_TRUE(torch::allclose(parts.mean(), whole.mean(), 1e-13, 0));
  EXPECT_TRUE(torch::allclose(parts.covariance(), whole.covariance(), 1e-11, 1e-11));
  Moments one;
  one.add(many.slice(0, 0, 1));
  EXPECT_ANY_THROW((void)one.covariance());
  EXPECT_ANY_THROW(one.add(torch::zeros({2, 4})));
}

TEST(Frechet, OfDiagonalGaussians) {
  // sum (sigma_a - sigma_b)^2 = (1 - 3)^2 + (2 - 5)^2, means 3 and 4 apart.
  const FrechetDistance d = frechet_distance(vector_of({0, 0}), matrix({1, 0, 0, 4}), vector_of({3, 4}), matrix({9, 0, 0, 25}));
  EXPECT_NEAR(d.mean, 25, 1e-12);
  EXPECT_NEAR(d.covariance, 13, 1e-12);
  EXPECT_NEAR(d.total(), 38, 1e-12);
}

TEST(Frechet, OfCommutingCovariances) {
  // One rotation of variances (1, 4, 9) and (16, 4, 1): (1 - 4)^2 + 0 + (3 - 1)^2.
  const double c = 0.8, s = 0.6;
  const torch::Tensor turn = matrix({c, -s, 0, s, c, 0, 0, 0, 1}).matmul(matrix({1, 0, 0, 0, s, -c, 0, c, s}));
  const auto turned = [&](const std::vector<double>& variances) { return turn.matmul(torch::diag(vector_of(variances))).matmul(turn.t()); };
  const torch::Tensor zero = vector_of({0, 0, 0});
  EXPECT_NEAR(frechet_distance(zero, turned({1, 4, 9}), zero, turned({16, 4, 1})).total(), 13, 1e-10);
}

TEST(Frechet, OfTwoByTwoByTraceAndDeterminant) {
  // tr (AB)^(1/2) = (tr AB + 2 det(AB)^(1/2))^(1/2) = (8 + 2 * 3)^(1/2).
  const FrechetDistance d = frechet_distance(vector_of({0, 0}), matrix({2, 1, 1, 2}), vector_of({0, 0}), matrix({1, 0, 0, 3}));
  EXPECT_NEAR(d.covariance, 8 - 2 * std::sqrt(14.0), 1e-12);
}

TEST(Frechet, OfSingularCovariances) {
  // aa' and bb': the trace of the product's root is |a b|. (1, 2, 2) and (2, 0, 1): 9 + 5 - 2 * 4.
  const torch::Tensor a = vector_of({1, 2, 2}), b = vector_of({2, 0, 1}), zero = vector_of({0, 0, 0});
  EXPECT_NEAR(frechet_distance(zero, torch::outer(a, a), zero, torch::outer(b, b)).total(), 6, 1e-6);
  EXPECT_NEAR(frechet_distance(a, torch::outer(a, a), a, torch::outer(a, a)).total(), 0, 1e-6);
}

TEST(Frechet, RecordedNumbers) {
  const Recorded sets;
  Moments a, b;
  a.add(sets.a);
  b.add(sets.b);
  const FrechetDistance d = frechet_distance(a.mean(), a.covariance(), b.mean(), b.covariance());
  EXPECT_NEAR(d.mean, 4.8666087962962962963, 1e-12);
  EXPECT_NEAR(d.covariance, 0.7095159045036744349, 1e-11);
  const FrechetDistance other = frechet_distance(b.mean(), b.covariance(), a.mean(), a.covariance());
  EXPECT_NEAR(other.total(), d.total(), 1e-11);
}

TEST(Kernel, ByHand) {
  const auto rows = [](const std::vector<float>& values, std::int64_t width) { return torch::tensor(values).reshape({-1, width}); };
  // (xy + 1)^3 of {0, 1} and {1, 2}: 2 * 1 + 2 * 27 within, 1 + 1 + 8 + 27 across: (56 - 2 * 37 / 2) / 2.
  EXPECT_NEAR(kernel_distance(rows({0, 1}, 1), rows({1, 2}, 1)), 9.5, 1e-12);
  // (xy / 2 + 1)^3 of {(1, 1), (0, 0)} and {(2, 0), (0, 2)}: 2 + 2 within, 8 + 8 + 1 + 1 across: (4 - 18) / 2.
  EXPECT_NEAR(kernel_distance(rows({1, 1, 0, 0}, 2), rows({2, 0, 0, 2}, 2)), -7, 1e-12);
}

TEST(Kernel, RecordedNumber) {
  const Recorded sets;
  EXPECT_NEAR(kernel_distance(sets.a, sets.b.slice(0, 0, 9)), 420524753.0 / 42467328.0, 1e-11) << "every subset is the whole set";
}

TEST(Kernel, SubsetsAreUnbiasedAndSeeded) {
  const torch::Tensor x = torch::tensor({0.F, 1.F, 2.F}).reshape({3, 1}), y = torch::tensor({0.F, 1.F, -1.F}).reshape({3, 1});
  // Over all pairs: within x (1 + 1 + 27) / 3, within y (1 + 1 + 0) / 3, across 39 / 9.
  KernelOptions options{.subsets = 4000, .largest = 2, .seed = 3};
  const double found = kernel_distance(x, y, options);
  EXPECT_NEAR(found, 29.0 / 3 + 2.0 / 3 - 2 * 39.0 / 9, 1);
  EXPECT_EQ(kernel_distance(x, y, options), found);
  options.seed = 4;
  EXPECT_NE(kernel_distance(x, y, options), found);
  EXPECT_NEAR(kernel_distance(x, y), 29.0 / 3 + 2.0 / 3 - 2 * 39.0 / 9, 1e-12) << "drawn without replacement, the subset is the set";
  EXPECT_ANY_THROW(kernel_distance(x.slice(0, 0, 1), y));
}

}  // namespace
}  // namespace layeravatar::eval
