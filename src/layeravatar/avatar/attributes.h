// What the decoder says of each Gaussian (spec/model.md section 5.3).
#pragma once
#include <torch/types.h>

namespace layeravatar::avatar {

struct GaussianAttributes {
  torch::Tensor opacity;   // [N] in (0, 1)
  torch::Tensor offset;    // [N, 3] metres, canonical axes
  torch::Tensor rgb;       // [N, 3] in [-0.001, 1.001]
  torch::Tensor radius;    // [N, 3] in [-1, 1]: the scale is (1 + radius) times the base size
  torch::Tensor rotation;  // [N, 3] axis-angle, radians, in [-pi/2, pi/2]
};

/// Channels of the attribute map: opacity 1, offset 3, rgb 3, radius 3, rotation 3.
inline constexpr std::int64_t kAttributeChannels = 13;

/// From sampled map values [N, 13]; differentiable.
GaussianAttributes attributes_from_samples(const torch::Tensor& samples);

}  // namespace layeravatar::avatar
