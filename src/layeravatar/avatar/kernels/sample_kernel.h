// Bilinear lookups at fixed places of a map, and their transpose.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace layeravatar::avatar {

/// Four texels and weights of each of N points, in both directions.
struct SampleTaps {
  std::vector<std::int32_t> texels;       // [N, 4] row * width + column
  std::vector<float> weights;             // [N, 4], sum to 1
  std::vector<std::int32_t> texel_begin;  // [h w + 1] where the uses of a texel start
  std::vector<std::int32_t> uses;         // 4 * point + tap, rising within a texel; taps of weight 0 left out
};

/// Border padded, corners not aligned: x = width u - 0.5, y = height v - 0.5, clamped to the texel centres.
SampleTaps make_sample_taps(std::span<const float> uvs, std::int64_t height, std::int64_t width);

struct SampleArgs {
  const std::int32_t* texels;
  const float* weights;
  const std::int32_t* texel_begin;
  const std::int32_t* uses;
  std::int64_t images, channels, plane, points;  // plane = h w
};

/// out[s, n, c] = sum over the taps of n of weight * map[s, c, texel].   map [S, C, h, w], out [S, N, C]
void sample_map_cpu(const SampleArgs& args, const float* map, float* out);
/// grad_map[s, c, texel] = sum over its uses, in the order of points; overwrites.
void sample_map_backward_cpu(const SampleArgs& args, const float* grad_out, float* grad_map);

}  // namespace layeravatar::avatar
