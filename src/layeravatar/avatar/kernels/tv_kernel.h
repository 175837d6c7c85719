// Total variation of attribute maps and its gradient.
#pragma once
#include <cstdint>

namespace layeravatar::avatar {

struct TvArgs {
  const float* map;      // [images, channels, height, strips * width]
  const float* weights;  // [channels] of the squared differences
  std::int64_t images, channels, height, strips, width;
};

/// Sum over everything of weight * (difference to the right)^2 + (difference below)^2, none across strips. `row_sums`
/// is scratch of images * channels * height numbers; they are added in order, whatever the number of threads.
double total_variation_cpu(const TvArgs& args, double* row_sums);
/// grad = scale * d(sum) / d(map); overwrites.
void total_variation_backward_cpu(const TvArgs& args, float scale, float* grad);

}  // namespace layeravatar::avatar
