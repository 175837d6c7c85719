// The weighted v-prediction loss (spec/model.md section 4.2).
#pragma once
#include <torch/types.h>

#include <array>

#include "layeravatar/diffusion/schedule.h"
#include "layeravatar/diffusion/unet.h"

namespace layeravatar::diffusion {

/// weight(t): kSnr is the release's a_t s_t, which all but ignores the noisiest steps; kFlat gives every step the mean of
/// those. The noisiest steps decide what holds for a whole avatar, such as the colour of a garment.
enum class Weighting { kSnr, kFlat };

struct TrainingLoss {
  torch::Tensor value;                  // scalar: mean over the batch of 20 * weight(t) * 0.5 * MSE(v_hat, v)
  std::array<double, 4> quartiles{};    // the same averaged over t in quarters of the schedule; 0 where none fell
};

/// x0 [B, C, h, w] is not detached: its gradient comes through x_t and through the target v. t [B], noise like x0. `classes`: of the U-Net's prior, where
/// something is known of x0.
TrainingLoss training_loss(UNet& unet, const Schedule& schedule, const torch::Tensor& x0, const torch::Tensor& t,
                           const torch::Tensor& noise, double weight_scale = 20.0,
                           Weighting weighting = Weighting::kSnr, const Classes* classes = nullptr);

}  // namespace layeravatar::diffusion
