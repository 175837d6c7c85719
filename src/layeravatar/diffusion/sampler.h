// Samplers over any denoiser (spec/model.md sections 4.4, 4.5 and 16).
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "layeravatar/diffusion/schedule.h"

namespace layeravatar::diffusion {

/// v-prediction of x at step t (all images of the batch share it).
using Denoiser = std::function<torch::Tensor(const torch::Tensor& x, std::int64_t t)>;

/// Pulls samples towards small values of a loss.
struct Guidance {
  /// Scalar, differentiable in x0 [B, C, h, w]; empty: no guidance.
  std::function<torch::Tensor(const torch::Tensor& x0)> loss;
  double gain = 1.0;
  double snr_power = 0.5;          // p below; 1/2 weighs a step by its noise alone
  bool through_denoiser = true;    // gradient with respect to x; false: to the clamped x0, without the denoiser's own
};

/// Where the steps lie. kUniform: the release's list; kLogSnr: at equal distances of log(signal / noise), closest at the end, where
/// pictures get their detail; kQuadratic: between the two.
enum class Spacing { kUniform, kLogSnr, kQuadratic };

/// What is known of the result in some places; the rest is sampled to go with it.
struct Held {
  torch::Tensor x0;    // like the sample; undefined: nothing is known
  torch::Tensor mask;  // bool, like the sample: where
  /// x0 where it is known, else `predicted`.
  [[nodiscard]] torch::Tensor over(const torch::Tensor& predicted) const;
};

struct SampleOptions {
  int steps = 50;
  Spacing spacing = Spacing::kUniform;
  double clip = 2.0;                                                   // x0 is clamped to [-clip, clip]
  double eta = 0.0;                                                    // DDIM: 0 is deterministic
  enum class Variance { kSmall, kLarge } variance = Variance::kLarge;  // DDPM
  std::function<torch::Tensor(int)> noise;                             // of step i, where a sampler needs noise
  Guidance guidance;
  /// At every step the denoiser sees there the known values with the noise of that step: the initial noise, of which the
  /// deterministic samplers make exactly a x0 + s noise once each predicted x0 is replaced. The result holds them bit for bit.
  Held held;
  std::function<void(int, int)> progress;                              // (done, steps), may be empty
};

/// Falling steps from the noisiest, all different. kUniform: t_k = trunc(999 - 1000 k / n) in the float32 arithmetic of LibTorch's arange.
/// kLogSnr and kQuadratic: the nearest free steps to log(signal / noise) at k / n of its range, and to 999 (1 - k / n)^2.
/// Throws Error(kConfig) for a number of steps that is not in 1..T.
std::vector<std::int64_t> sample_timesteps(const Schedule& schedule, int steps, Spacing spacing = Spacing::kUniform);

/// x0 that the denoiser sees in x at step t, clamped to [-clip, clip]. With guidance, where a and s are signal and noise:
///   d = dG(x0)/dx (or dG/dx0),  x0 <- clamp(x0 - d s^(2-2p) a^(2p-1) gain)
/// Detached with guidance, also where the caller has gradients switched off.
torch::Tensor predict_x0(const Denoiser& denoiser, const Schedule& schedule, const torch::Tensor& x, std::int64_t t, double clip,
                         const Guidance& guidance = {});

/// x [B, C, h, w] is the initial noise. eta > 0 adds noise at every step; where that is more than the step removes, at the
/// last one, the part along the prediction is none instead of the release's square root of a negative number. At eta = 0 the last
/// step returns the clamped x0 exactly.
torch::Tensor sample_ddim(const Denoiser& denoiser, const Schedule& schedule, torch::Tensor x,
                          const SampleOptions& options);
/// Ancestral sampling; noise is added at every step but t = 0.
torch::Tensor sample_ddpm(const Denoiser& denoiser, const Schedule& schedule, torch::Tensor x,
                          const SampleOptions& options);

/// Multistep solvers of the probability flow in l = log(signal / noise), on the same x0 that DDIM takes. Order 1 of both is DDIM.
///   kDpmSolverPlusPlus  DPM-Solver++(2M), orders 1 and 2 (arXiv 2211.01095, algorithm 2)
///   kUniPC              UniPC, orders 1 to 3, B(h) = e^h - 1 (arXiv 2302.04867): every evaluation also corrects the step that led to it
enum class Solver { kDpmSolverPlusPlus, kUniPC };
/// The first steps have the lower orders of what is known. The last evaluation's clamped x0 is the result. options.eta, variance and
/// noise are not used. Throws Error(kConfig) for an order that the solver does not have.
torch::Tensor sample_multistep(const Denoiser& denoiser, const Schedule& schedule, torch::Tensor x, const SampleOptions& options,
                               Solver solver, int order);

}  // namespace layeravatar::diffusion
