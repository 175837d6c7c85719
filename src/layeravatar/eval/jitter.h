// Whether an avatar trembles in a motion.
#pragma once
#include <torch/types.h>

#include <array>
#include <vector>

#include "layeravatar/produce/studio.h"

namespace layeravatar::eval {

/// Sums over the inner frames of a motion: mean lengths, in millimetres per frame^2, of the second difference x(t + 1) - 2 x(t) + x(t - 1).
struct Jitter {
  double own = 0;   // of the Gaussians' centres less the points of the body's surface that carry them
  double body = 0;  // of those points: how fast the motion itself turns
  double frames = 0;
};

/// An avatar of this shape, without the motion's shape. The surface point of a Gaussian is where it would be with offset zero. Holds three frames at a time. Throws
/// Error(kConfig) for a motion of fewer than three.
Jitter evaluate_jitter(const produce::Studio& studio, const avatar::GaussianAttributes& attributes, const std::array<float, 10>& betas,
                       const std::vector<body::PoseParams>& motion);

}  // namespace layeravatar::eval
