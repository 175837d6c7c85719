#include <algorithm>
#include <vector>

#include "layeravatar/avatar/kernels/sample_kernel.h"

namespace layeravatar::avatar {
namespace {

struct Tap {
  std::int32_t at[4];
  float weight[4];
};

std::vector<Tap> taps_of(const SampleArgs& a) {
  std::vector<Tap> out(static_cast<std::size_t>(a.points));
  for (std::int64_t n = 0; n < a.points; ++n) {
    const float x = std::clamp(static_cast<float>(a.width) * a.uvs[2 * n] - 0.5F, 0.0F, static_cast<float>(a.width - 1));
    const float y = std::clamp(static_cast<float>(a.height) * a.uvs[2 * n + 1] - 0.5F, 0.0F, static_cast<float>(a.height - 1));
    const auto x0 = static_cast<std::int32_t>(x), y0 = static_cast<std::int32_t>(y);
    const auto x1 = std::min<std::int32_t>(x0 + 1, static_cast<std::int32_t>(a.width - 1));
    const auto y1 = std::min<std::int32_t>(y0 + 1, static_cast<std::int32_t>(a.height - 1));
    const float fx = x - static_cast<float>(x0), fy = y - static_cast<float>(y0);
    const auto w = static_cast<std::int32_t>(a.width);
    out[static_cast<std::size_t>(n)] = {{y0 * w + x0, y0 * w + x1, y1 * w + x0, y1 * w + x1},
                                        {(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy}};
  }
  return out;
}

}  // namespace

void sample_map_cpu(const SampleArgs& a, const float* map, float* out) {
  const std::vector<Tap> taps = taps_of(a);
  const std::int64_t plane = a.height * a.width;
  for (std::int64_t s = 0; s < a.images; ++s)
#pragma omp parallel for schedule(static)
    for (std::int64_t n = 0; n < a.points; ++n) {
      const Tap& t = taps[static_cast<std::size_t>(n)];
      for (std::int64_t c = 0; c < a.channels; ++c) {
        const float* m = map + (s * a.channels + c) * plane;
        out[(s * a.points + n) * a.channels + c] =
            m[t.at[0]] * t.weight[0] + m[t.at[1]] * t.weight[1] + m[t.at[2]] * t.weight[2] + m[t.at[3]] * t.weight[3];
      }
    }
}

void sample_map_backward_cpu(const SampleArgs& a, const float* grad_out, float* grad_map) {
  const std::vector<Tap> taps = taps_of(a);
  const std::int64_t plane = a.height * a.width;
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t sc = 0; sc < a.images * a.channels; ++sc) {
    float* m = grad_map + sc * plane;
    std::fill(m, m + plane, 0.0F);
    const std::int64_t s = sc / a.channels, c = sc % a.channels;
    for (std::int64_t n = 0; n < a.points; ++n) {
      const Tap& t = taps[static_cast<std::size_t>(n)];
      const float g = grad_out[(s * a.points + n) * a.channels + c];
      for (int k = 0; k < 4; ++k) m[t.at[k]] += g * t.weight[k];
    }
  }
}

}  // namespace layeravatar::avatar
