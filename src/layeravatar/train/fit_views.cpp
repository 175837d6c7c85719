#include "layeravatar/train/fit_views.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/sampler.h"
#include "layeravatar/produce/settler.h"
#include "layeravatar/train/fit_code.h"
#include "layeravatar/train/fit_start.h"

namespace layeravatar::train {
namespace {

constexpr double kClip = 2;

struct Stopped {};

torch::Tensor random_like(const torch::Tensor& planes, at::Generator& generator) { return torch::randn(planes.sizes(), generator, torch::TensorOptions().dtype(torch::kFloat32)); }

// Views from the k-th on, so that an odd one comes to its turn.
SceneBatch turned(const SceneBatch& scene, int k) {
  const auto n = static_cast<std::int64_t>(scene.cameras.size());
  if (n < 3 || n % 2 == 0) return scene;
  SceneBatch out = scene;
  const std::int64_t shift = k * (n - 1) % n;
  out.images = scene.images.roll(-shift, 0);
  out.labels = scene.labels.roll(-shift, 0);
  std::rotate(out.cameras.begin(), out.cameras.begin() + shift, out.cameras.end());
  return out;
}

// DDIM whose every step's x0 is pulled towards the pictures, the gradient through the denoiser.
torch::Tensor guided_sample(const produce::Studio& studio, const Scaffold& scaffold, const SceneBatch& scene, const Stage& stage, const FitViewsOptions& options) {
  const std::int64_t h = studio.config.planes_height;
  auto generator = at::detail::createCPUGenerator(options.seed);
  const torch::Tensor noise = torch::randn({1, avatar::kPlaneChannels, h, 3 * h}, generator, torch::TensorOptions().dtype(torch::kFloat32));
  const double kappa = kappa_of(0, scene.labels);
  StepTimes times;
  int step = 0;
  std::vector<int> views;
  for (int v = 0; v < static_cast<int>(scene.cameras.size()); ++v) views.push_back(v);
  diffusion::SampleOptions o;
  o.steps = options.guided_steps;
  o.clip = kClip;
  o.guidance.loss = [&](const torch::Tensor& x0) {
    const Reconstruction r = reconstruct_planes(scaffold, *studio.decoder, x0, {scene}, stage, kappa, views, times);
    const torch::Tensor gradient = r.code_gradients[0].unsqueeze(0);
    if (!std::isfinite(gradient.sum().item<double>())) throw Error(ErrorKind::kDiverged, "gradient of the planes at guided step " + std::to_string(step) + " is not finite");
    if (options.observe) options.observe(true, step, x0.detach()[0]);
    ++step;
    // Moves planes by a tenth of what people deviate.
    constexpr double kMove = 0.022;
    return (x0 * (gradient * (options.guidance * kMove / (gradient.square().mean().sqrt().item<double>() + 1e-12)))).sum();
  };
  const diffusion::Denoiser denoiser = [&](const torch::Tensor& x, std::int64_t t) { return studio.unet->forward(x, torch::full({1}, t, torch::kInt64)); };
  o.progress = [&](int, int) {
    if (options.stop != nullptr && *options.stop) throw Stopped();
  };
  return diffusion::sample_ddim(denoiser, studio.schedule, noise, o)[0].detach();
}

}  // namespace

Stage fitting_stage(const std::string& profile) {
  Stage out;
  if (profile == "official")
    out.weights = {.pixel = 5, .seg = 5, .inner = 1.25, .skin = 0.125, .opacity = 0.05, .offset = 0.5};
  else
    out.weights = {.pixel = 100, .skin = 5, .offset = 2, .order = 0.3};
  return out;
}

torch::Tensor mean_planes(const produce::Studio& studio) {
  const std::int64_t h = studio.config.planes_height;
  const auto prior = studio.unet ? studio.unet->prior() : nullptr;
  return prior && prior->fitted() ? prior->mean()[0] : torch::zeros({avatar::kPlaneChannels, h, 3 * h});
}

torch::Tensor fit_views(const produce::Studio& studio, const Scaffold& scaffold, const SceneBatch& scene, const FitViewsOptions& options) try {
  LAV_CHECK(!scene.cameras.empty(), "a picture");
  FitOptions o;
  o.steps = options.steps;
  o.step_size = 0.4;
  o.components_alone = 0.2 + 0.4 / static_cast<double>(scene.cameras.size());  // the fewer pictures, the more the prior's components tell
  o.prior_weight = options.prior_weight;
  o.stage = fitting_stage(studio.config.profile);
  if (!options.labelled) o.stage.weights.seg = o.stage.weights.parts = o.stage.weights.skin = 0;
  CodePrior prior = code_prior(studio.unet ? studio.unet->prior() : nullptr, studio.activation, studio.config.planes_height);
  if (!options.prior) {
    constexpr double kEqual = 0.3;
    prior = {prior.mean, torch::full_like(prior.deviation, kEqual), nullptr, 0};
    o.prior_weight = 0;
  }
  const bool known = prior.components != nullptr;
  if (known) {
    constexpr double kShape = 0.3;  // few outlines tell less of shape than the components do
    prior.deviation.slice(0, 0, avatar::kPlaneChannels / 2) *= kShape;
  }
  if (options.prior && studio.unet && options.guided_steps > 0)
    prior.mean = studio.activation.inverse(guided_sample(studio, scaffold, scene, o.stage, options));
  else if (known)
    prior.mean = studio.activation.inverse(fit_start(studio, scaffold, scene, o.stage, options.labelled));
  auto generator = at::detail::createCPUGenerator(options.seed + 1);
  if (options.prior && studio.engine && options.denoiser_weight > 0)
    o.beside = [&](const torch::Tensor& code, int step) {
      // The distance to what the denoiser sees in the noised planes, itself a constant (RED-diff, arXiv 2305.04391).
      const torch::AutoGradMode with_gradients(true);
      const torch::Tensor leaf = code.detach().clone().requires_grad_(true), planes = studio.activation.forward(leaf);
      const double part = 1 - static_cast<double>(step) / options.steps;  // noisy steps first
      const auto t = static_cast<std::int64_t>(std::lround(20 + part * 700));
      torch::Tensor away;
      {
        const torch::NoGradGuard no_grad;
        const torch::Tensor x = studio.schedule.signal(t) * planes + studio.schedule.noise(t) * random_like(planes, generator);
        const torch::Tensor v = studio.engine->forward(x.unsqueeze(0), torch::full({1}, t, torch::kInt64))[0];
        away = planes - (studio.schedule.signal(t) * x - studio.schedule.noise(t) * v).clamp(-kClip, kClip);
      }
      return torch::autograd::grad({(planes * away).sum() * options.denoiser_weight}, {leaf})[0];
    };
  if (options.observe || options.stop != nullptr)
    o.observe = [&](int step, const torch::Tensor& code) {
      if (options.stop != nullptr && *options.stop) throw Stopped();
      if (options.observe) options.observe(false, step, studio.activation.forward(code));
    };
  const torch::Tensor planes = studio.activation.forward(fit_code(scaffold, *studio.decoder, studio.activation, prior, [&](int k) { return turned(scene, k); }, o)).detach();
  if (!known) return planes;
  constexpr double kApart = 0.012;  // metres: slanted looks between the pictures see no skin before the clothes
  return produce::Settler(studio).settle(planes, {}, kApart);
} catch (const Stopped&) {
  return {};
}

}  // namespace layeravatar::train
