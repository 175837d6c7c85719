// Samplers over any denoiser (spec/model.md section 4.4 and 16).
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "layeravatar/diffusion/schedule.h"

namespace layeravatar::diffusion {

/// v-prediction of x at step t (all images of the batch share it).
using Denoiser = std::function<torch::Tensor(const torch::Tensor& x, std::int64_t t)>;

struct SampleOptions {
  int steps = 50;
  double clip = 2.0;                                                   // x0 is clamped to [-clip, clip]
  double eta = 0.0;                                                    // DDIM: 0 is deterministic
  enum class Variance { kSmall, kLarge } variance = Variance::kLarge;  // DDPM
  std::function<torch::Tensor(int)> noise;                             // of step i, where a sampler needs noise
  std::function<void(int, int)> progress;                              // (done, steps), may be empty
};

/// t_k = trunc(999 - 1000 k / n) in the float32 arithmetic of LibTorch's arange.
std::vector<std::int64_t> sample_timesteps(const Schedule& schedule, int steps);

/// x [B, C, h, w] is the initial noise. The last step returns the clamped x0 exactly.
torch::Tensor sample_ddim(const Denoiser& denoiser, const Schedule& schedule, torch::Tensor x,
                          const SampleOptions& options);
/// Ancestral sampling; noise is added at every step but t = 0.
torch::Tensor sample_ddpm(const Denoiser& denoiser, const Schedule& schedule, torch::Tensor x,
                          const SampleOptions& options);

}  // namespace layeravatar::diffusion
