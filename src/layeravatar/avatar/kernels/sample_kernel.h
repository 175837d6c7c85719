// Bilinear lookups at fixed texture coordinates, and their transpose.
#pragma once
#include <cstdint>

namespace layeravatar::avatar {

struct SampleArgs {
  const float* uvs;   // [points, 2]
  std::int64_t images, channels, height, width, points;
};

/// out[s, n, c] = bilinear map[s, c] at uv n.   map [S, C, h, w], out [S, N, C]
void sample_map_cpu(const SampleArgs& args, const float* map, float* out);
/// grad_map[s, c] += the transpose; overwrites. One thread per channel: the order of sums is fixed.
void sample_map_backward_cpu(const SampleArgs& args, const float* grad_out, float* grad_map);

}  // namespace layeravatar::avatar
