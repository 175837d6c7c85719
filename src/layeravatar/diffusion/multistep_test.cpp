// Few-step samplers against DDIM, and against the flow of Gaussian data, which is known in closed form.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <set>

#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/sampler.h"

namespace layeravatar::diffusion {
namespace {

constexpr double kDeviation = 0.5;  // of the data

// The best v for data N(0, kDeviation^2).
Denoiser gaussian_denoiser(const Schedule& s) {
  return [&s](const torch::Tensor& x, std::int64_t t) {
    const double a = s.signal(t), n = s.noise(t), variance = kDeviation * kDeviation;
    const torch::Tensor x0 = a * variance / (a * a * variance + n * n) * x, eps = (x - a * x0) / n;
    return a * eps - n * x0;
  };
}

// x at step t on the flow through `x` at `from`: its deviation goes with the marginal's.
double flow(const Schedule& s, double x, std::int64_t from, std::int64_t t) {
  const auto deviation = [&](std::int64_t k) { return std::hypot(s.signal(k) * kDeviation, s.noise(k)); };
  return x * deviation(t) / deviation(from);
}

double error_of(Solver solver, int order, int steps, bool ddim = false) {
  // A fine grid, so that rounding of steps does not show. The last evaluation is near the end: its x0 is the result.
  const Schedule s(100000, 1e-6, 2e-4);
  SampleOptions options;
  options.steps = steps;
  options.spacing = Spacing::kLogSnr;
  options.clip = 1e9;
  const double start = 1.3;
  const torch::Tensor x = torch::full({1, 1, 1, 1}, start, torch::kFloat64);
  const auto denoiser = gaussian_denoiser(s);
  const double got = (ddim ? sample_ddim(denoiser, s, x, options) : sample_multistep(denoiser, s, x, options, solver, order)).item<double>();
  const std::int64_t last = sample_timesteps(s, steps, options.spacing).back();
  const double a = s.signal(last), variance = kDeviation * kDeviation;
  const double want = a * variance / (a * a * variance + s.noise(last) * s.noise(last)) * flow(s, start, s.size() - 1, last);
  return std::abs(got - want);
}

TEST(Multistep, FirstOrderIsDdim) {
  const Schedule s;
  const Denoiser denoiser = [](const torch::Tensor& x, std::int64_t t) { return 0.5 * torch::sin(3 * x) + 0.0003 * static_cast<double>(t) * x; };
  for (const Spacing spacing : {Spacing::kUniform, Spacing::kLogSnr, Spacing::kQuadratic})
    for (const int steps : {1, 2, 7, 50}) {
      SampleOptions options;
      options.steps = steps;
      options.spacing = spacing;
      torch::manual_seed(3);
      const torch::Tensor x = torch::randn({1, 3, 4, 5}), want = sample_ddim(denoiser, s, x, options);
      for (const Solver solver : {Solver::kDpmSolverPlusPlus, Solver::kUniPC})
        EXPECT_LT((sample_multistep(denoiser, s, x, options, solver, 1) - want).abs().max().item<float>(), 2e-5F) << steps;
    }
}

TEST(Multistep, ErrorFallsWithTheOrder) {
  const auto slope = [](Solver solver, int order) { return std::log2(error_of(solver, order, 40) / error_of(solver, order, 80)); };
  EXPECT_NEAR(slope(Solver::kDpmSolverPlusPlus, 1), 1, 0.2);
  EXPECT_NEAR(slope(Solver::kDpmSolverPlusPlus, 2), 2, 0.3);
  // A corrected step is one order better; the third order is held back by its first step, which is of the first.
  EXPECT_GT(slope(Solver::kUniPC, 2), 2.5);
  EXPECT_GT(slope(Solver::kUniPC, 3), 2.5);
  for (const int steps : {12, 20}) {
    const double first = error_of(Solver::kUniPC, 1, steps, true);
    EXPECT_LT(error_of(Solver::kDpmSolverPlusPlus, 2, steps), first / 2) << steps;
    EXPECT_LT(error_of(Solver::kUniPC, 2, steps), first / 2) << steps;
    EXPECT_LT(error_of(Solver::kUniPC, 3, steps), first / 10) << steps;
  }
}

TEST(Multistep, OneDenoiserCallAStep) {
  const Schedule s;
  for (const int steps : {1, 2, 9}) {
    int calls = 0, done = 0;
    SampleOptions options;
    options.steps = steps;
    options.progress = [&](int at, int of) {
      EXPECT_EQ(at, ++done);
      EXPECT_EQ(of, steps);
    };
    const auto denoiser = [&](const torch::Tensor& x, std::int64_t) { return ++calls, torch::zeros_like(x); };
    const torch::Tensor out = sample_multistep(denoiser, s, torch::full({1, 1, 2, 2}, 9.0F), options, Solver::kUniPC, 3);
    EXPECT_EQ(calls, steps);
    EXPECT_EQ(done, steps);
    EXPECT_LE(out.abs().max().item<float>(), 2.0F);
  }
}

TEST(Multistep, GuidancePullsTheResult) {
  const Schedule s;
  SampleOptions options;
  options.steps = 6;
  const torch::Tensor x = torch::full({1, 1, 1, 1}, 0.4F);
  const Denoiser denoiser = gaussian_denoiser(s);
  const float free = sample_multistep(denoiser, s, x, options, Solver::kUniPC, 2).item<float>();
  options.guidance.loss = [](const torch::Tensor& x0) { return (x0 - 1).square().sum(); };
  const float pulled = sample_multistep(denoiser, s, x, options, Solver::kUniPC, 2).item<float>();
  EXPECT_GT(pulled, free + 0.05F);
  EXPECT_LT(pulled, 1.5F);
}

TEST(Multistep, RefusesOrders) {
  const Schedule s;
  const Denoiser none = [](const torch::Tensor& x, std::int64_t) { return x; };
  const torch::Tensor x = torch::zeros({1, 1, 1, 1});
  for (const int order : {0, 3}) EXPECT_THROW(sample_multistep(none, s, x, {}, Solver::kDpmSolverPlusPlus, order), Error);
  for (const int order : {0, 4}) EXPECT_THROW(sample_multistep(none, s, x, {}, Solver::kUniPC, order), Error);
}

TEST(Spacing, FallsFromTheNoisiestStep) {
  const Schedule s;
  for (const Spacing spacing : {Spacing::kLogSnr, Spacing::kQuadratic})
    for (const int steps : {1, 2, 5, 10, 50, 400, 999, 1000}) {
      const auto times = sample_timesteps(s, steps, spacing);
      ASSERT_EQ(static_cast<int>(times.size()), steps);
      EXPECT_EQ(times[0], 999);
      for (std::size_t k = 1; k < times.size(); ++k) EXPECT_LT(times[k], times[k - 1]) << steps;
      EXPECT_GE(times.back(), 0);
    }
  EXPECT_THROW(sample_timesteps(s, 0, Spacing::kLogSnr), Error);
  EXPECT_THROW(sample_timesteps(s, 1001, Spacing::kQuadratic), Error);
}

TEST(Spacing, LogSnrIsEven) {
  const Schedule s;
  const auto times = sample_timesteps(s, 10, Spacing::kLogSnr);
  const auto l = [&](std::int64_t t) { return std::log(s.signal(t) / s.noise(t)); };
  const double distance = (l(0) - l(999)) / 10;
  for (std::size_t k = 1; k < times.size(); ++k) EXPECT_NEAR(l(times[k]) - l(times[k - 1]), distance, 0.2 * distance) << k;
  EXPECT_EQ(sample_timesteps(s, 4, Spacing::kQuadratic), (std::vector<std::int64_t>{999, 562, 250, 62}));
}

// Where values are known the denoiser sees them with the noise that the sample began with, and the result holds their bits.
TEST(Held, IsSeenWithTheInitialNoiseAndStays) {
  const Schedule s;
  torch::manual_seed(4);
  const torch::Tensor x = torch::randn({1, 2, 4, 4}), known = 0.5 * torch::randn({1, 2, 4, 4});
  torch::Tensor mask = torch::zeros({1, 2, 4, 4}, torch::kBool);
  mask.slice(3, 0, 2).fill_(true);
  SampleOptions options;
  options.steps = 9;
  options.spacing = Spacing::kLogSnr;
  options.held = {known, mask};
  double worst = 0;
  const Denoiser watching = [&](const torch::Tensor& at, std::int64_t t) {
    worst = std::max(worst, ((at - s.signal(t) * known - s.noise(t) * x) * mask).abs().max().item<double>());
    return 0.5 * torch::sin(3 * at) + 0.1 * at.mean();
  };
  const auto check = [&](const torch::Tensor& got) {
    EXPECT_LT(worst, 1e-5);
    EXPECT_TRUE(torch::equal(got.slice(3, 0, 2), known.slice(3, 0, 2)));
    options.held = {};
    worst = 0;
    EXPECT_GT((got - sample_ddim(watching, s, x, options)).slice(3, 2).abs().max().item<double>(), 1e-3) << "the rest goes with it";
    options.held = {known, mask};
    worst = 0;
  };
  check(sample_ddim(watching, s, x, options));
  check(sample_multistep(watching, s, x, options, Solver::kUniPC, 3));
  check(sample_multistep(watching, s, x, options, Solver::kDpmSolverPlusPlus, 2));
  options.noise = [&](int) { return torch::randn({1, 2, 4, 4}); };
  EXPECT_TRUE(torch::equal(sample_ddpm(watching, s, x, options).slice(3, 0, 2), known.slice(3, 0, 2)));
}

}  // namespace
}  // namespace layeravatar::diffusion
