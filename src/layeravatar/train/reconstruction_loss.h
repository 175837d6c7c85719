// The reconstruction loss of a scene (spec/model.md section 8): image terms by view, regularisers by scene.
#pragma once
#include <torch/types.h>

#include <array>
#include <cstdint>

#include "layeravatar/avatar/attributes.h"
#include "layeravatar/splat/render.h"
#include "layeravatar/train/kernels/reconstruction_loss_kernel.h"
#include "layeravatar/train/loss_weights.h"

namespace layeravatar::train {

/// kappa = 1 - exp(-loss_coef * pixels of all loaded views).
double kappa(double loss_coef, std::int64_t pixels);

/// Scales for means over `images` (scenes times views) of `pixels` pixels each.
ImageTermScales image_term_scales(const LossWeights& weights, double kappa, std::int64_t images, std::int64_t pixels);

struct ImageLoss {
  torch::Tensor value;                      // scalar, differentiable in the rendered images
  std::array<double, kImageTerms> terms{};  // pixel, seg, inner, rgb, opacity; squared error of the full image
};

/// One view. `target` [3, H, W] float in [0, 1], `labels` [H, W] uint8, `skin` [3] (taken as a constant).
/// Throws Error(kInternal) naming the tensor when a shape is wrong.
ImageLoss image_loss(const splat::RenderOutputs& images, const torch::Tensor& target, const torch::Tensor& labels,
                     const torch::Tensor& skin, const ImageTermScales& scales);

/// Row masks of the template as float [N_b] or [N] multipliers, built once.
struct OffsetMasks {
  torch::Tensor body;    // [N] 1 for body points
  torch::Tensor hands;   // [N_b]
  torch::Tensor outer;   // [N_b] (face or outside) without the nose
};

/// mean_body |d|^2 + 0.1 mean_other |d|^2 + mean_hands |d|^2 + mean_outer |d|^2 of one scene; empty sets count zero.
torch::Tensor offset_regulariser(const torch::Tensor& offset, const OffsetMasks& masks);

}  // namespace layeravatar::train
