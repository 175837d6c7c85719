#include <algorithm>

#include "layeravatar/avatar/kernels/sample_kernel.h"
#include "layeravatar/core/pooled_memory.h"

namespace layeravatar::avatar {

SampleTaps make_sample_taps(std::span<const float> uvs, std::int64_t height, std::int64_t width) {
  const std::size_t points = uvs.size() / 2;
  SampleTaps out;
  out.texels.resize(4 * points);
  out.weights.resize(4 * points);
  out.texel_begin.assign(static_cast<std::size_t>(height * width + 1), 0);
  const auto w = static_cast<std::int32_t>(width), h = static_cast<std::int32_t>(height);
  for (std::size_t n = 0; n < points; ++n) {
    const float x = std::clamp(static_cast<float>(w) * uvs[2 * n] - 0.5F, 0.0F, static_cast<float>(w - 1));
    const float y = std::clamp(static_cast<float>(h) * uvs[2 * n + 1] - 0.5F, 0.0F, static_cast<float>(h - 1));
    const auto x0 = static_cast<std::int32_t>(x), y0 = static_cast<std::int32_t>(y);
    const std::int32_t x1 = std::min(x0 + 1, w - 1), y1 = std::min(y0 + 1, h - 1);
    const float fx = x - static_cast<float>(x0), fy = y - static_cast<float>(y0);
    const std::int32_t texels[4] = {y0 * w + x0, y0 * w + x1, y1 * w + x0, y1 * w + x1};
    const float weights[4] = {(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy};
    for (std::size_t k = 0; k < 4; ++k) {
      out.texels[4 * n + k] = texels[k];
      out.weights[4 * n + k] = weights[k];
      if (weights[k] != 0) ++out.texel_begin[static_cast<std::size_t>(texels[k]) + 1];
    }
  }
  for (std::size_t i = 1; i < out.texel_begin.size(); ++i) out.texel_begin[i] += out.texel_begin[i - 1];
  out.uses.resize(static_cast<std::size_t>(out.texel_begin.back()));
  std::vector<std::int32_t> next(out.texel_begin.begin(), out.texel_begin.end() - 1);
  for (std::size_t i = 0; i < 4 * points; ++i) {
    if (out.weights[i] == 0) continue;
    const std::int32_t slot = next[static_cast<std::size_t>(out.texels[i])]++;
    out.uses[static_cast<std::size_t>(slot)] = static_cast<std::int32_t>(i);
  }
  return out;
}

void sample_map_cpu(const SampleArgs& a, const float* map, float* out) {
  // Texels one after the other, so that each costs one cache line.
  constexpr std::int64_t kGroup = 16;  // channels
  const PooledArray<float> texels(static_cast<std::size_t>(a.plane * kGroup));
  for (std::int64_t s = 0; s < a.images; ++s)
    for (std::int64_t first = 0; first < a.channels; first += kGroup) {
      const std::int64_t count = std::min(kGroup, a.channels - first);
      const float* from = map + (s * a.channels + first) * a.plane;
      float* const to = out + s * a.points * a.channels + first;
#pragma omp parallel
      {
#pragma omp for schedule(static)
        for (std::int64_t t = 0; t < a.plane; ++t) {
          float* texel = texels.data() + t * kGroup;
          for (std::int64_t c = 0; c < count; ++c) texel[c] = from[c * a.plane + t];
          for (std::int64_t c = count; c < kGroup; ++c) texel[c] = 0;
        }
#pragma omp for schedule(static)
        for (std::int64_t n = 0; n < a.points; ++n) {
          const float* m[4];
          for (int k = 0; k < 4; ++k) m[k] = texels.data() + a.texels[4 * n + k] * kGroup;
          const float* w = a.weights + 4 * n;
          float sum[kGroup];
          for (std::int64_t c = 0; c < kGroup; ++c) sum[c] = m[0][c] * w[0] + m[1][c] * w[1] + m[2][c] * w[2] + m[3][c] * w[3];
          std::copy_n(sum, count, to + n * a.channels);
        }
      }
    }
}

void sample_map_backward_cpu(const SampleArgs& a, const float* grad_out, float* grad_map) {
  constexpr std::int64_t kGroup = 16;  // channels summed at a time
#pragma omp parallel for schedule(static, 256)
  for (std::int64_t i = 0; i < a.images * a.plane; ++i) {
    const std::int64_t s = i / a.plane, texel = i % a.plane;
    const float* g = grad_out + s * a.points * a.channels;
    for (std::int64_t first = 0; first < a.channels; first += kGroup) {
      const std::int64_t count = std::min(kGroup, a.channels - first);
      float sum[kGroup] = {};
      for (std::int32_t u = a.texel_begin[texel]; u < a.texel_begin[texel + 1]; ++u) {
        const std::int32_t use = a.uses[u];
        const float* row = g + (use >> 2) * a.channels + first;
        for (std::int64_t c = 0; c < count; ++c) sum[c] += a.weights[use] * row[c];
      }
      for (std::int64_t c = 0; c < count; ++c) grad_map[(s * a.channels + first + c) * a.plane + texel] = sum[c];
    }
  }
}

}  // namespace layeravatar::avatar
