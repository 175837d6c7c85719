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

double log_ratio(const Schedule& s, std::int64_t t) { return std::log(s.signal(t) / s.noise(t)); }

// The nearest steps to where `spacing` wants them, moved where two fall on one.
std::vector<std::int64_t> nearest_steps(const Schedule& s, int steps, Spacing spacing) {
  const std::int64_t last = s.size() - 1;
  const double low = log_ratio(s, last), high = log_ratio(s, 0);
  std::vector<std::int64_t> out;
  for (int k = 0; k < steps; ++k) {
    const double part = static_cast<double>(k) / steps;
    std::int64_t t = 0;
    if (spacing == Spacing::kQuadratic) {
      t = std::llround(static_cast<double>(last) * (1 - part) * (1 - part));
    } else {  // log_ratio falls with t
      const double wanted = low + part * (high - low);
      std::int64_t below = 0, above = last;  // log_ratio(below) >= wanted >= log_ratio(above)
      while (above - below > 1) {
        const std::int64_t middle = (below + above) / 2;
        (log_ratio(s, middle) >= wanted ? below : above) = middle;
      }
      t = log_ratio(s, below) - wanted < wanted - log_ratio(s, above) ? below : above;
    }
    // Room for the ones that follow, and below the one before.
    t = std::max<std::int64_t>(t, steps - 1 - k);
    out.push_back(out.empty() ? last : std::min(t, out.back() - 1));
  }
  return out;
}

// Initial noise, with what is known below it.
torch::Tensor noised(const Schedule& s, const torch::Tensor& noise, std::int64_t t, const Held& held) {
  if (!held.x0.defined()) return noise;
  LAV_CHECK(held.x0.sizes() == noise.sizes() && held.mask.sizes() == noise.sizes(), "known values and mask like the noise");
  return torch::where(held.mask, s.signal(t) * held.x0 + s.noise(t) * noise, noise);
}

// What a multistep solver knows of a step: x0 there.
struct Known {
  double l;
  torch::Tensor x0;
};

// Factors p with sum over k of p_k r_k^(j-1) = j! phi_(j+1)(-h) (-h)^j / B / (-h)^(j-1), j = 1..n: the conditions of order n + 1.
std::vector<double> unipc_factors(const std::vector<double>& r, double h) {
  const std::size_t n = r.size();
  const double z = -h, b = std::expm1(z);
  std::vector<std::vector<double>> rows(n, std::vector<double>(n + 1));
  double phi = std::expm1(z) / z - 1, factorial = 1;  // z phi_2(z)
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t k = 0; k < n; ++k) rows[j][k] = std::pow(r[k], static_cast<double>(j));
    rows[j][n] = phi * factorial / b;
    factorial *= static_cast<double>(j + 2);
    phi = phi / z - 1 / factorial;
  }
  for (std::size_t j = 0; j < n; ++j)  // no pivot is zero: the r differ and are not zero
    for (std::size_t i = 0; i < n; ++i) {
      if (i == j) continue;
      const double f = rows[i][j] / rows[j][j];
      for (std::size_t k = j; k <= n; ++k) rows[i][k] -= f * rows[j][k];
    }
  std::vector<double> out(n);
  for (std::size_t j = 0; j < n; ++j) out[j] = rows[j][n] / rows[j][j];
  return out;
}

}  // namespace

torch::Tensor Held::over(const torch::Tensor& predicted) const { return x0.defined() ? torch::where(mask, x0, predicted) : predicted; }

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

std::vector<std::int64_t> sample_timesteps(const Schedule& schedule, int steps, Spacing spacing) {
  if (steps < 1 || steps > schedule.size())
    throw Error(ErrorKind::kConfig,
                "steps = " + std::to_string(steps) + ", must be in 1.." + std::to_string(schedule.size()));
  const double size = static_cast<double>(schedule.size());
  if (spacing != Spacing::kUniform) return nearest_steps(schedule, steps, spacing);
  const torch::Tensor t = torch::arange(size - 1, -1.0, -size / steps, torch::kFloat32).to(torch::kInt64);
  return {t.data_ptr<std::int64_t>(), t.data_ptr<std::int64_t>() + t.numel()};
}

torch::Tensor sample_ddim(const Denoiser& denoiser, const Schedule& s, torch::Tensor x, const SampleOptions& options) {
  const auto times = sample_timesteps(s, options.steps, options.spacing);
  x = noised(s, x, times[0], options.held);
  for (std::size_t i = 0; i < times.size(); ++i) {
    const std::int64_t t = times[i];
    const torch::Tensor x0 = options.held.over(predict_x0(denoiser, s, x, t, options.clip, options.guidance));
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
  return options.held.over(x);
}

torch::Tensor sample_ddpm(const Denoiser& denoiser, const Schedule& s, torch::Tensor x, const SampleOptions& options) {
  LAV_CHECK(options.noise, "ancestral sampling needs a source of noise");
  const auto times = sample_timesteps(s, options.steps, options.spacing);
  x = noised(s, x, times[0], options.held);
  for (std::size_t i = 0; i < times.size(); ++i) {
    const std::int64_t t = times[i];
    const torch::Tensor x0 = options.held.over(predict_x0(denoiser, s, x, t, options.clip, options.guidance));
    const double before = s.alpha_bar(t - 1), now = s.alpha_bar(t), alpha = 1 - s.beta(t);
    x = (std::sqrt(before) * s.beta(t) / (1 - now)) * x0 + (std::sqrt(alpha) * (1 - before) / (1 - now)) * x;
    if (t > 0) x = x + std::sqrt(step_variance(s, t, options.variance)) * options.noise(static_cast<int>(i));
    if (options.progress) options.progress(static_cast<int>(i) + 1, static_cast<int>(times.size()));
  }
  return options.held.over(x);
}

torch::Tensor sample_multistep(const Denoiser& denoiser, const Schedule& s, torch::Tensor x, const SampleOptions& options, Solver solver,
                               int order) {
  const int most = solver == Solver::kUniPC ? 3 : 2;
  if (order < 1 || order > most) throw Error(ErrorKind::kConfig, "order = " + std::to_string(order) + ", must be in 1.." + std::to_string(most));
  const auto times = sample_timesteps(s, options.steps, options.spacing);
  x = noised(s, x, times[0], options.held);
  std::vector<Known> known;  // the newest first
  torch::Tensor before;      // x at known[0]
  for (std::size_t i = 0; i < times.size(); ++i) {
    const std::int64_t t = times[i];
    const Known here{log_ratio(s, t), options.held.over(predict_x0(denoiser, s, x, t, options.clip, options.guidance))};
    // From known[0] to a step t: the exact part, and the rest from the slopes of x0 seen from there.
    const auto advance = [&](std::int64_t to, bool corrects) {
      const double h = log_ratio(s, to) - known[0].l;
      const double growth = -s.signal(to) * std::expm1(-h);
      torch::Tensor out = (s.noise(to) / s.noise(times[i - (corrects ? 1 : 0)])) * before + growth * known[0].x0;
      std::vector<double> r;
      std::vector<const Known*> others;
      for (std::size_t k = 1; k < known.size() && static_cast<int>(k) < order; ++k) others.push_back(&known[k]);
      if (corrects) others.push_back(&here);
      for (const Known* one : others) r.push_back((one->l - known[0].l) / h);
      const std::vector<double> factors = solver == Solver::kUniPC ? unipc_factors(r, h) : std::vector<double>(r.size(), 0.5);
      for (std::size_t k = 0; k < others.size(); ++k) out = out + (growth * factors[k] / r[k]) * (others[k]->x0 - known[0].x0);
      return out;
    };
    if (solver == Solver::kUniPC && order > 1 && i > 0) x = advance(t, true);
    before = x;
    known.insert(known.begin(), here);
    if (static_cast<int>(known.size()) > order) known.pop_back();
    x = i + 1 < times.size() ? advance(times[i + 1], false) : here.x0;
    if (options.progress) options.progress(static_cast<int>(i) + 1, static_cast<int>(times.size()));
  }
  return x;
}

}  // namespace layeravatar::diffusion
