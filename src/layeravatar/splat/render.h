// Differentiable pictures of layered Gaussians (spec/model.md section 7, spec/body_and_data.md sections 8 to 10).
#pragma once
#include <torch/types.h>

#include <array>

#include "layeravatar/geometry/camera.h"
#include "layeravatar/splat/gaussians.h"

namespace layeravatar::splat {

struct RenderOptions {
  std::array<float, 3> background{1, 1, 1};
  float min_opacity = 0.05F;     // Gaussians at or below are left out of everything and get no gradient
  bool components = true;        // false: full, alpha and depth only
  bool reference_empty = true;   // an output without Gaussians is zero; false: background, as in exported pictures
};

/// All float32. Components in the order body, top, hair, shoes, bottom; each is drawn as if the others were not there.
struct RenderOutputs {
  torch::Tensor full;               // [3, H, W]
  torch::Tensor alpha;              // [H, W]
  torch::Tensor depth;              // [H, W] sum of weight times camera z
  torch::Tensor components;         // [5, 3, H, W]
  torch::Tensor component_alphas;   // [5, H, W]
  torch::Tensor inner_alpha;        // [H, W] the body alone with every opacity 1
  torch::Tensor component_weights;  // [5, H, W] visible weight of each component in the full image; no gradient
};

/// Throws Error(kInternal): "covariance of Gaussian 7 is not finite", or mean, colour or opacity. `render` asks in debug builds; in
/// others it leaves such Gaussians out (spec/body_and_data.md section 15).
void check_finite(const Gaussians& gaussians);

/// Differentiable in means, covariances, colours and opacities, in the reference's convention. N = 0 is valid.
/// Deterministic for any number of threads. Throws Error(kInternal), the tensor named, for a wrong shape or type.
RenderOutputs render(const Gaussians& gaussians, const geometry::Camera& camera, const RenderOptions& options = {});

}  // namespace layeravatar::splat
