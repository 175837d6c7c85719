#include "layeravatar/diffusion/norm_silu.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <torch/torch.h>

#include "layeravatar/core/error.h"

namespace layeravatar::diffusion {
namespace {

// The formula in LibTorch's own steps and in double.
torch::Tensor plain(const torch::Tensor& x, const torch::Tensor& scale, const torch::Tensor& shift,
                    std::int64_t groups) {
  const torch::Tensor n = torch::group_norm(x, groups);
  return torch::silu(n * scale.unsqueeze(2).unsqueeze(3) + shift.unsqueeze(2).unsqueeze(3));
}

struct Inputs {
  torch::Tensor x, scale, shift, grad;
};

Inputs random_inputs(std::vector<std::int64_t> sizes) {
  torch::manual_seed(3);
  const std::vector<std::int64_t> rows{sizes[0], sizes[1]};
  return {torch::randn(sizes) * 2 + 0.7, torch::randn(rows), torch::randn(rows) * 2, torch::randn(sizes)};
}

// Value and the three gradients.
template <class Function>
std::vector<torch::Tensor> evaluate(const Inputs& in, torch::ScalarType type, Function&& f) {
  auto leaf = [&](const torch::Tensor& t) { return t.detach().to(type).clone().requires_grad_(true); };
  torch::Tensor x = leaf(in.x), scale = leaf(in.scale), shift = leaf(in.shift);
  const torch::Tensor y = f(x, scale, shift);
  (y * in.grad.to(type)).sum().backward();
  return {y.detach(), x.grad(), scale.grad(), shift.grad()};
}

void expect_like_the_plain_steps(std::vector<std::int64_t> sizes, std::int64_t groups) {
  const Inputs in = random_inputs(std::move(sizes));
  const auto got = evaluate(in, torch::kFloat32, [&](auto& x, auto& a, auto& b) { return norm_silu(x, a, b, groups); });
  const auto want = evaluate(in, torch::kFloat64, [&](auto& x, auto& a, auto& b) { return plain(x, a, b, groups); });
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_LT((got[i] - want[i]).abs().max().item<double>(), 3e-6 * want[i].abs().max().item<double>()) << "part " << i;
}

TEST(NormSilu, ValueAndGradientsMatchThePlainSteps) {
  expect_like_the_plain_steps({3, 6, 5, 7}, 3);
  expect_like_the_plain_steps({1, 32, 1, 1}, 8);
  expect_like_the_plain_steps({2, 64, 33, 65}, 32);  // more than one chunk of a sum, and a rest
}

// Inputs that bfloat16 holds exactly, so that only what is written is rounded, by half a unit in the last of 8 bits:
// the value once; the gradient of x once as a whole and once as the SiLU's part of it.
TEST(NormSilu, Bfloat16IsTheSameRounded) {
  for (const auto& [sizes, groups] : {std::pair<std::vector<std::int64_t>, std::int64_t>{{3, 6, 5, 7}, 3}, {{2, 64, 33, 65}, 32}}) {
    Inputs in = random_inputs(sizes);
    in.x = in.x.to(torch::kBFloat16).to(torch::kFloat32);
    in.grad = in.grad.to(torch::kBFloat16).to(torch::kFloat32);
    const auto want = evaluate(in, torch::kFloat64, [&, g = groups](auto& x, auto& a, auto& b) { return plain(x, a, b, g); });
    const auto got = evaluate(in, torch::kFloat32, [&, g = groups](auto& x, auto& a, auto& b) {
      return norm_silu(x.to(torch::kBFloat16), a, b, g).to(torch::kFloat32);
    });
    constexpr double kHalfUnit = 1.0 / 256;
    EXPECT_TRUE(torch::allclose(got[0].to(torch::kFloat64), want[0], kHalfUnit, 1e-5));
    const double slope = want[1].abs().max().item<double>();
    EXPECT_LT((got[1] - want[1]).abs().max().item<double>(), 2 * kHalfUnit * slope);
    for (std::size_t i = 2; i < 4; ++i)
      EXPECT_LT((got[i] - want[i]).abs().max().item<double>(), 3e-6 * want[i].abs().max().item<double>()) << "part " << i;
  }
}

TEST(NormSilu, Bfloat16KeepsNanAndFarValues) {
  const torch::Tensor shift = torch::zeros({1, 1});
  const auto run = [&](float second, float scale) {
    const torch::Tensor x = torch::tensor({0.0F, second}).reshape({1, 1, 1, 2}).to(torch::kBFloat16);
    return norm_silu(x, torch::full({1, 1}, scale), shift, 1).to(torch::kFloat32).flatten();
  };
  EXPECT_NEAR(run(2.0F, 1000.0F)[0].item<float>(), 0.0F, 1e-30F);
  EXPECT_NEAR(run(2.0F, 1000.0F)[1].item<float>(), 1000.0F, 4.0F);
  EXPECT_TRUE(torch::isnan(run(std::nanf(""), 1.0F)).all().item<bool>());
}

TEST(NormSilu, TwoPixelsByHand) {
  // Mean 1, deviation 1 (+- eps): normalised -1 and 1; times 2 plus 1 gives -1 and 3.
  const torch::Tensor y =
      norm_silu(torch::tensor({0.0F, 2.0F}).reshape({1, 1, 1, 2}), torch::full({1, 1}, 2.0F), torch::ones({1, 1}), 1);
  EXPECT_NEAR(y.flatten()[0].item<float>(), -1 / (1 + std::exp(1.0)), 3e-5);
  EXPECT_NEAR(y.flatten()[1].item<float>(), 3 / (1 + std::exp(-3.0)), 3e-5);
}

TEST(NormSilu, FarValuesStayFiniteAndNanStaysNan) {
  const torch::Tensor x = torch::tensor({0.0F, 2.0F}).reshape({1, 1, 1, 2}), shift = torch::zeros({1, 1});
  const torch::Tensor far = norm_silu(x, torch::full({1, 1}, 1000.0F), shift, 1).flatten();
  EXPECT_NEAR(far[0].item<float>(), 0.0F, 1e-30F);
  EXPECT_NEAR(far[1].item<float>(), 1000.0F, 0.01F);
  EXPECT_TRUE(torch::isnan(norm_silu(x, torch::full({1, 1}, std::nanf("")), shift, 1)).all().item<bool>());
}

TEST(NormSilu, TakesAnyMemoryOrderAndAnyNumberOfThreads) {
  const Inputs in = random_inputs({2, 12, 33, 65});
  const auto run = [&](const torch::Tensor& x) {
    Inputs other = in;
    other.x = x;
    return evaluate(other, torch::kFloat32, [&](auto& v, auto& a, auto& b) { return norm_silu(v, a, b, 4); });
  };
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto want = run(in.x);
  omp_set_num_threads(3);
  const auto got = run(in.x), last = run(in.x.contiguous(torch::MemoryFormat::ChannelsLast));
  omp_set_num_threads(threads);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(torch::equal(got[i], want[i])) << i;
    EXPECT_TRUE(torch::equal(last[i], want[i])) << i;
  }
}

TEST(NormSilu, Bfloat16TakesAnyMemoryOrderAndAnyNumberOfThreads) {
  const Inputs in = random_inputs({2, 12, 33, 65});
  const auto run = [&](torch::MemoryFormat order) {
    return evaluate(in, torch::kFloat32, [&](auto& v, auto& a, auto& b) {
      return norm_silu(v.to(torch::kBFloat16).contiguous(order), a, b, 4).to(torch::kFloat32);
    });
  };
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto want = run(torch::MemoryFormat::ChannelsLast);
  omp_set_num_threads(3);
  const auto got = run(torch::MemoryFormat::Contiguous);
  omp_set_num_threads(threads);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(torch::equal(got[i], want[i])) << i;
}

TEST(NormSilu, RefusesWrongShapesByName) {
  EXPECT_THROW(norm_silu(torch::zeros({1, 6, 2, 2}), torch::zeros({1, 5}), torch::zeros({1, 6}), 3), Error);
  EXPECT_THROW(norm_silu(torch::zeros({1, 6, 2, 2}), torch::zeros({1, 6}), torch::zeros({1, 6}), 4), Error);
  EXPECT_THROW(norm_silu(torch::zeros({1, 6, 2, 2}, torch::kFloat64), torch::zeros({1, 6}), torch::zeros({1, 6}), 3),
               Error);
}

}  // namespace
}  // namespace layeravatar::diffusion
