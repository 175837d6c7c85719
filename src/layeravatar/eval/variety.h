// Whether generated avatars are neither copies of the training people nor noise.
#pragma once
#include <torch/types.h>

#include "layeravatar/produce/studio.h"

namespace layeravatar::eval {

struct Variety {
  double sample_spread = 0;   // mean distance between pairs of samples over that of as many training people
  double nearest_ratio = 0;   // median distance sample - nearest training person over training person - nearest other
};

/// How an avatar looks, [d]: 128-pixel pictures from the front and the back, in the default pose of the mean shape.
torch::Tensor look_of(const produce::Studio& studio, const torch::Tensor& planes);

/// From the looks [n, d] of samples and [m, d] of training people, whose distances are root mean squares.
Variety variety_of(const torch::Tensor& samples, const torch::Tensor& training);

}  // namespace layeravatar::eval
