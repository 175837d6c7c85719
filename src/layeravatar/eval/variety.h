// Whether generated avatars are neither copies of the training people nor noise.
#pragma once
#include <torch/types.h>

#include <vector>

#include "layeravatar/avatar/avatar_file.h"
#include "layeravatar/produce/studio.h"

namespace layeravatar::eval {

struct Variety {
  double sample_spread = 0;   // mean distance between pairs of samples over that of as many training people
  double nearest_ratio = 0;   // median distance sample - nearest training person over training person - nearest other
};

/// Distances are root mean squares between 128-pixel pictures from the front and the back, in the default pose of the mean
/// shape.
Variety evaluate_variety(const produce::Studio& studio, const std::vector<torch::Tensor>& training_planes,
                         const std::vector<avatar::Avatar>& samples);

/// The same from descriptors [n, d] of samples and [m, d] of training people.
Variety variety_of(const torch::Tensor& samples, const torch::Tensor& training);

}  // namespace layeravatar::eval
