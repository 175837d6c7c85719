// Posed Gaussians: what the deformer makes and the splatter draws.
#pragma once
#include <torch/types.h>

namespace layeravatar::splat {

/// N Gaussians in world space, metres.
struct Gaussians {
  torch::Tensor means;        // [N, 3]
  torch::Tensor covariances;  // [N, 6] xx xy xz yy yz zz
  torch::Tensor colours;      // [N, 3]
  torch::Tensor opacities;    // [N]
  torch::Tensor components;   // [N] uint8: 0 body, 1 top, 2 hair, 3 shoes, 4 bottom, 255 none (full image alone)
};

}  // namespace layeravatar::splat
