#include <algorithm>

#include "layeravatar/avatar/kernels/tv_kernel.h"

namespace layeravatar::avatar {

double total_variation_cpu(const TvArgs& a, double* row_sums) {
  const std::int64_t pitch = a.strips * a.width, rows = a.images * a.channels * a.height;
#pragma omp parallel for schedule(static)
  for (std::int64_t r = 0; r < rows; ++r) {
    const float weight = a.weights[r / a.height % a.channels];
    const float* row = a.map + r * pitch;
    float sum = 0.0F;
    if (weight != 0) {
      if (r % a.height + 1 < a.height)
#pragma omp simd reduction(+ : sum)
        for (std::int64_t x = 0; x < pitch; ++x) sum += (row[x + pitch] - row[x]) * (row[x + pitch] - row[x]);
      for (std::int64_t k = 0; k < a.strips; ++k)
#pragma omp simd reduction(+ : sum)
        for (std::int64_t x = k * a.width; x < (k + 1) * a.width - 1; ++x)
          sum += (row[x + 1] - row[x]) * (row[x + 1] - row[x]);
    }
    row_sums[r] = static_cast<double>(weight) * static_cast<double>(sum);
  }
  double total = 0;
  for (std::int64_t r = 0; r < rows; ++r) total += row_sums[r];
  return total;
}

void total_variation_backward_cpu(const TvArgs& a, float scale, float* grad) {
  const std::int64_t pitch = a.strips * a.width, rows = a.images * a.channels * a.height;
#pragma omp parallel for schedule(static)
  for (std::int64_t r = 0; r < rows; ++r) {
    const float weight = 2 * scale * a.weights[r / a.height % a.channels];
    const float* row = a.map + r * pitch;
    float* out = grad + r * pitch;
    std::fill(out, out + pitch, 0.0F);
    if (weight == 0) continue;
    if (r % a.height > 0)
      for (std::int64_t x = 0; x < pitch; ++x) out[x] += row[x] - row[x - pitch];
    if (r % a.height + 1 < a.height)
      for (std::int64_t x = 0; x < pitch; ++x) out[x] += row[x] - row[x + pitch];
    for (std::int64_t k = 0; k < a.strips; ++k) {
      for (std::int64_t x = k * a.width + 1; x < (k + 1) * a.width; ++x) out[x] += row[x] - row[x - 1];
      for (std::int64_t x = k * a.width; x + 1 < (k + 1) * a.width; ++x) out[x] += row[x] - row[x + 1];
    }
    for (std::int64_t x = 0; x < pitch; ++x) out[x] *= weight;
  }
}

}  // namespace layeravatar::avatar
