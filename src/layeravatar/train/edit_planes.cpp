#include "layeravatar/train/edit_planes.h"

#include <torch/torch.h>

#include <cmath>
#include <algorithm>
#include <string>

#include "layeravatar/avatar/plane_owner.h"
#include "layeravatar/core/error.h"
#include "layeravatar/eval/metrics.h"

namespace layeravatar::train {
namespace {

constexpr double kBehind = 0.04;  // metres behind what is seen
constexpr int kReach = 3;         // texels around a Gaussian's own that its attributes follow from: the decoder's 7 x 7

// Channels of samples in units of what is hardly seen: opacity, offset, rgb, radius, rotation.
torch::Tensor units() { return torch::tensor({0.05F, 0.002F, 0.002F, 0.002F, 0.02F, 0.02F, 0.02F, 0.05F, 0.05F, 0.05F, 0.05F, 0.05F, 0.05F}); }

// [N] bool: Gaussians that the view shows, or nearly, in its mask.
torch::Tensor shown(const splat::Gaussians& posed, const PaintedView& view) {
  const splat::RenderOutputs drawn = produce::render_view(posed, view.camera, false);
  const torch::Tensor depth = (drawn.depth / drawn.alpha.clamp_min(1e-3)).contiguous(), alpha = drawn.alpha.contiguous(), means = posed.means.contiguous();
  const torch::Tensor mask = view.mask.contiguous();
  torch::Tensor out = torch::zeros({means.size(0)}, torch::kBool);
  const auto m = means.accessor<float, 2>(), d = depth.accessor<float, 2>(), a = alpha.accessor<float, 2>();
  const auto inside = mask.accessor<bool, 2>();
  auto o = out.accessor<bool, 1>();
  for (std::int64_t i = 0; i < means.size(0); ++i) {
    const auto at = geometry::project(view.camera, {m[i][0], m[i][1], m[i][2]});
    const auto x = std::lround(at.x), y = std::lround(at.y);
    if (at.depth <= 0 || x < 0 || y < 0 || x >= view.camera.width || y >= view.camera.height || !inside[y][x]) continue;
    o[i] = a[y][x] < 0.5F || at.depth < static_cast<double>(d[y][x]) + kBehind;
  }
  return out;
}

// [1, 1, h, 3h]: texels that the attributes of these Gaussians follow from.
torch::Tensor texels_of(const torch::Tensor& gaussians, const std::vector<float>& uvs, std::int64_t h) {
  torch::Tensor out = torch::zeros({1, 1, h, 3 * h});
  auto o = out.accessor<float, 4>();
  const auto g = gaussians.accessor<bool, 1>();
  for (std::int64_t i = 0; i < gaussians.size(0); ++i)
    if (g[i]) {
      const auto x = std::clamp<std::int64_t>(static_cast<std::int64_t>(uvs[static_cast<std::size_t>(2 * i)] * static_cast<float>(3 * h)), 0, 3 * h - 1);
      const auto y = std::clamp<std::int64_t>(static_cast<std::int64_t>(uvs[static_cast<std::size_t>(2 * i + 1)] * static_cast<float>(h)), 0, h - 1);
      o[0][0][y][x] = 1;
    }
  return torch::max_pool2d(out, 2 * kReach + 1, 1, kReach);
}

torch::Tensor huber(const torch::Tensor& a, const torch::Tensor& b) { return 0.1 * ((1 + 100 * (a - b).square()).sqrt() - 1); }

}  // namespace

torch::Tensor edit_planes(const produce::Studio& studio, const torch::Tensor& planes, const body::PoseParams& params, const std::vector<PaintedView>& views,
                          const EditOptions& options) {
  constexpr double kInside = 20, kOutside = 20, kHeld = 0.1, kOwnHeld = 2e-5, kStepSize = 0.25, kLastStep = 0.1;
  constexpr int kLookEvery = 15;
  constexpr double kFullUntil = 0.6;  // of the steps
  constexpr double kFalls = 0.2;      // of the error in the masks within kWindow steps: full steps go on,
  constexpr double kNear = 5e-4;      // until it is as small as this in each view, some 40 dB
  constexpr std::size_t kWindow = 20;
  constexpr int kMostTimes = 3;
  LAV_CHECK(!views.empty(), "a painted view");
  const std::int64_t h = planes.size(1);
  const templates::LayeredTemplate& layers = studio.deformer->layers();
  const auto pose = studio.deformer->prepare(params);
  torch::Tensor samples_before, allowed = torch::ones({layers.count()}, torch::kBool), may_move;
  std::vector<torch::Tensor> before, inside, outside;  // of each view; the shares of the pixels
  splat::Gaussians posed;
  {
    const torch::NoGradGuard no_grad;
    samples_before = studio.sampler->sample(studio.decoder->attribute_map(planes.unsqueeze(0)))[0];
    posed = studio.deformer->pose(avatar::attributes_from_samples(samples_before), pose);
    if (options.component >= 0) allowed = posed.components == options.component;
    may_move = options.component >= 0 ? avatar::component_texels(layers, h, options.component, false) : torch::ones(planes.sizes(), torch::kBool);
    if (!options.geometry) may_move.slice(0, 0, avatar::kPlaneChannels / 2).fill_(false);
    if (!options.colour) may_move.slice(0, avatar::kPlaneChannels / 2).fill_(false);
    for (const PaintedView& view : views) {
      before.push_back(produce::render_view(posed, view.camera, false).full);
      const torch::Tensor mask = view.mask.to(torch::kFloat32);
      inside.push_back(mask / (3 * mask.sum().clamp_min(1)));
      outside.push_back((1 - mask) / (3 * mask.sum().clamp_min(1)));  // a pixel counts the same on both sides
    }
  }
  torch::Tensor touched = torch::zeros({layers.count()}, torch::kBool), texels;
  torch::Tensor moved = planes.detach().clone().requires_grad_(true);
  torch::optim::Adam adam({moved}, torch::optim::AdamOptions(kStepSize).betas({0.9, 0.99}));
  auto& adam_options = static_cast<torch::optim::AdamOptions&>(adam.param_groups()[0].options());
  std::vector<double> errors;  // in the masks, before each step
  const int shrinking = options.steps - static_cast<int>(kFullUntil * options.steps);
  int end = options.steps;
  for (int step = 0; step < end; ++step) {
    if (options.observe) options.observe(step);
    const torch::Tensor samples = studio.sampler->sample(studio.decoder->attribute_map(moved.unsqueeze(0)))[0];
    posed = studio.deformer->pose(avatar::attributes_from_samples(samples), pose);
    if (step % kLookEvery == 0) {
      const torch::NoGradGuard no_grad;
      for (const PaintedView& view : views) touched = touched.logical_or(shown(posed, view).logical_and(allowed));
      if (!touched.any().item<bool>()) throw Error(ErrorKind::kInput, "masks: nothing of what may change lies in the painted parts");
      texels = texels_of(touched, layers.uvs, h)[0].expand_as(planes).to(torch::kBool).logical_and(may_move);
    }
    const torch::Tensor away = ((samples - samples_before) / units()).square().mean(1);
    torch::Tensor loss = torch::where(touched, kOwnHeld * away, kHeld * away).mean();
    double error = 0;
    for (std::size_t v = 0; v < views.size(); ++v) {
      splat::RenderOptions render;
      render.components = false;
      const torch::Tensor drawn = splat::render(posed, views[v].camera, render).full;
      const torch::Tensor in_mask = (huber(drawn, views[v].image) * inside[v]).sum();
      error += in_mask.item<double>();
      loss = loss + (kInside * in_mask + kOutside * (huber(drawn, before[v]) * outside[v]).sum()) / static_cast<double>(views.size());
    }
    adam.zero_grad();
    loss.backward();
    torch::Tensor& gradient = moved.mutable_grad();
    if (!std::isfinite(gradient.sum().item<double>())) throw Error(ErrorKind::kDiverged, "gradient of the planes at step " + std::to_string(step) + " is not finite");
    gradient.masked_fill_(texels.logical_not(), 0);
    // Where gradients are faint, steps are small: what is hardly concerned stays.
    constexpr double kFaint = 0.02;
    if (step == 0) adam_options.eps(kFaint * gradient.abs().max().item<double>() + 1e-12);
    errors.push_back(error);
    const bool falls = errors.size() > kWindow && error > kNear * static_cast<double>(views.size()) && error < (1 - kFalls) * errors[errors.size() - 1 - kWindow];
    if (step == end - shrinking && falls && end < kMostTimes * options.steps) ++end;
    adam_options.lr(kStepSize * std::pow(kLastStep, static_cast<double>(std::max(0, step - (end - shrinking))) / shrinking));
    adam.step();
    const torch::NoGradGuard no_grad;
    constexpr double kMost = 1.99998;  // planes of an activation
    moved.clamp_(-kMost, kMost);
  }
  return moved.detach();
}

}  // namespace layeravatar::train
