#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "layeravatar/diffusion/sampler.h"

namespace layeravatar::diffusion {
namespace {

// Signal and noise at t = 499, spec/model.md section 15.1.
constexpr std::int64_t kStep = 499;
constexpr double kSignal = 0.280334163, kNoise = 0.959902473;

torch::Tensor row(std::vector<double> values) { return torch::tensor(values, torch::kFloat64).reshape({1, 1, 1, -1}); }
double first_of(const torch::Tensor& t) { return t.flatten()[0].item<double>(); }

// v = x / 2 and G = (x0 - y)^2 / 2, so that x0 = m x with m = a - s / 2 and dG/dx = m (m x - y).
struct Linear {
  Denoiser denoiser = [](const torch::Tensor& x, std::int64_t) { return 0.5 * x; };
  Guidance guidance{.loss = [](const torch::Tensor& x0) { return 0.5 * (x0 - 1.0).square().sum(); }};
  double m = kSignal - 0.5 * kNoise;
  double plain = m * 3.0;  // x0 of x = 3, for y = 1
  [[nodiscard]] double guided(double clip = 2.0) const { return first_of(predict_x0(denoiser, Schedule(), row({3.0}), kStep, clip, guidance)); }
};

TEST(Guidance, ALinearDenoiserByHand) {
  Linear c;
  EXPECT_NEAR(c.plain, -0.59885122, 1e-8);
  EXPECT_NEAR(c.guided(), c.plain - c.m * (c.plain - 1) * kNoise, 1e-8);
  c.guidance.gain = 0.25;
  EXPECT_NEAR(c.guided(), c.plain - 0.25 * c.m * (c.plain - 1) * kNoise, 1e-8);
  c.guidance.through_denoiser = false;
  EXPECT_NEAR(c.guided(), c.plain - 0.25 * (c.plain - 1) * kNoise, 1e-8);
  c.guidance.snr_power = 1;  // s^0 a^1
  EXPECT_NEAR(c.guided(), c.plain - 0.25 * (c.plain - 1) * kSignal, 1e-8);
  c.guidance.snr_power = 0;  // s^2 a^-1
  EXPECT_NEAR(c.guided(), c.plain - 0.25 * (c.plain - 1) * kNoise * kNoise / kSignal, 1e-7);
  c.guidance.loss = nullptr;
  EXPECT_NEAR(c.guided(), c.plain, 1e-8);
}

TEST(Guidance, ClampsBeforeTheLossAndAfterTheStep) {
  Linear c;
  EXPECT_EQ(c.guided(0.5), -0.5) << "a clamped x0 has no gradient in x";
  c.guidance.through_denoiser = false;
  EXPECT_NEAR(c.guided(0.5), std::min(0.5, -0.5 + 1.5 * kNoise), 1e-8);
  c.guidance.gain = 0.1;  // the clamped x0 is what the loss sees
  EXPECT_NEAR(c.guided(0.5), -0.5 + 0.1 * 1.5 * kNoise, 1e-8);
}

TEST(Guidance, GradientThroughADenoiserByFiniteDifferences) {
  const Schedule s;
  const Denoiser denoiser = [](const torch::Tensor& x, std::int64_t) { return torch::sin(2 * x) + 0.3 * x.roll(1, 3) * x; };
  const Guidance guidance{.loss = [](const torch::Tensor& x0) { return (x0 * x0.roll(1, 3) + x0.pow(3)).sum(); }, .gain = 1e-3};
  const torch::Tensor x = row({0.3, -0.2, 0.7, -0.5});
  const auto loss_at = [&](const torch::Tensor& at) { return guidance.loss(predict_x0(denoiser, s, at, kStep, 2.0)).item<double>(); };
  const torch::Tensor step = predict_x0(denoiser, s, x, kStep, 2.0) - predict_x0(denoiser, s, x, kStep, 2.0, guidance);
  constexpr double kH = 1e-5;
  for (std::int64_t i = 0; i < 4; ++i) {
    torch::Tensor shift = torch::zeros_like(x);
    shift[0][0][0][i] = kH;
    const double slope = (loss_at(x + shift) - loss_at(x - shift)) / (2 * kH);
    EXPECT_GT(std::abs(slope), 0.01);
    EXPECT_NEAR(step[0][0][0][i].item<double>(), slope * kNoise * 1e-3, 1e-10);
  }
}

TEST(Guidance, SamplersFollowTheLoss) {
  const Schedule s;
  SampleOptions options;
  options.steps = 20;
  const Denoiser to_zero = [&](const torch::Tensor& x, std::int64_t t) { return (s.signal(t) / s.noise(t)) * x; };  // x0 = 0
  const torch::NoGradGuard no_grad;  // as callers have it
  const torch::Tensor x = row({1.0, -1.0});
  EXPECT_EQ(sample_ddim(to_zero, s, x, options).abs().max().item<double>(), 0.0);
  options.guidance.through_denoiser = false;
  options.guidance.loss = [](const torch::Tensor& x0) { return 0.5 * (x0 - 1.0).square().sum(); };
  const torch::Tensor got = sample_ddim(to_zero, s, x, options);
  EXPECT_FALSE(got.requires_grad());
  EXPECT_NEAR(first_of(got), s.noise(sample_timesteps(s, 20).back()), 1e-12);  // the last step: 0 - (0 - 1) s
}

}  // namespace
}  // namespace layeravatar::diffusion
