#include "layeravatar/diffusion/sampler.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/core/error.h"

namespace layeravatar::diffusion {
namespace {

// Variance of one ancestral step; the large one keeps the reference's shift by one.
double step_variance(const Schedule& s, std::int64_t t, SampleOptions::Variance kind) {
  if (t == 0) return s.posterior_variance(1);
  return kind == SampleOptions::Variance::kSmall ? s.posterior_variance(t) : s.beta(t - 1);
}

}  // namespace

torch::Tensor predict_x0(const Denoiser& denoiser, const Schedule& s, const torch::Tensor& x, std::int64_t t, double clip, const Guidance& guidance) {
  const auto predicted = [&](const torch::Tensor& at) { return (s.signal(t) * at - s.noise(t) * denoiser(at, t)).clamp(-clip, clip); };
  if (!guidance.loss) return predicted(x);
  const auto asked = [&](const torch::Tensor& of) { return of.detach().requires_grad_(true); };
  const torch::AutoGradMode with_gradients(true);
  torch::Tensor source, x0;
  if (guidance.through_denoiser) {
    source = asked(x);
    x0 = predicted(source);
  } else {
    const torch::NoGradGuard no_grad;
    x0 = source = asked(predicted(x));
  }
  const torch::Tensor d = torch::autograd::grad({guidance.loss(x0)}, {source})[0];
  const double p = guidance.snr_power;
  const double weight = std::pow(s.noise(t), 2 - 2 * p) * std::pow(s.signal(t), 2 * p - 1) * guidance.gain;
  return (x0.detach() - weight * d).clamp(-clip, clip);
}

std::vector<std::int64_t> sample_timesteps(const Schedule& schedule, int steps) {
  if (steps < 1 || steps > schedule.size())
    throw Error(ErrorKind::kConfig,
                "steps = " + std::to_string(steps) + ", must be in 1.." + std::to_string(schedule.size()));
  const double size = static_cast<double>(schedule.size());
  const torch::Tensor t = torch::arange(size - 1, -1.0, -size / steps, torch::kFloat32).to(torch::kInt64);
  return {t.data_ptr<std::int64_t>(), t.data_ptr<std::int64_t>() + t.numel()};
}

torch::Tensor sample_ddim(const Denoiser& denoiser, const Schedule& s, torch::Tensor x, const SampleOptions& options) {
  const auto times = sample_timesteps(s, options.steps);
  for (std::size_t i = 0; i < times.size(); ++i) {
    const std::int64_t t = times[i];
    const torch::Tensor x0 = predict_x0(denoiser, s, x, t, options.clip, options.guidance);
    const torch::Tensor eps = (x - s.signal(t) * x0) / s.noise(t);
    const double next = i + 1 < times.size() ? s.alpha_bar(times[i + 1]) : 1.0;
    const double variance = options.eta * options.eta * s.posterior_variance(t);
    x = std::sqrt(next) * x0 + std::sqrt(std::max(0.0, 1 - next - variance)) * eps;
    if (options.eta > 0) {
      LAV_CHECK(options.noise, "eta > 0 needs a source of noise");
      x = x + std::sqrt(variance) * options.noise(static_cast<int>(i));
    }
    if (options.progress) options.progress(static_cast<int>(i) + 1, static_cast<int>(times.size()));
  }
  return x;
}

torch::Tensor sample_ddpm(const Denoiser& denoiser, const Schedule& s, torch::Tensor x, const SampleOptions& options) {
  LAV_CHECK(options.noise, "ancestral sampling needs a source of noise");
  const auto times = sample_timesteps(s, options.steps);
  for (std::size_t i = 0; i < times.size(); ++i) {
    const std::int64_t t = times[i];
    const torch::Tensor x0 = predict_x0(denoiser, s, x, t, options.clip, options.guidance);
    const double before = s.alpha_bar(t - 1), now = s.alpha_bar(t), alpha = 1 - s.beta(t);
    x = (std::sqrt(before) * s.beta(t) / (1 - now)) * x0 + (std::sqrt(alpha) * (1 - before) / (1 - now)) * x;
    if (t > 0) x = x + std::sqrt(step_variance(s, t, options.variance)) * options.noise(static_cast<int>(i));
    if (options.progress) options.progress(static_cast<int>(i) + 1, static_cast<int>(times.size()));
  }
  return x;
}

}  // namespace layeravatar::diffusion
