// Mean squared distance to the three nearest other points (spec/body_and_data.md section 7).
#pragma once
#include <cstdint>
#include <vector>

namespace layeravatar::deform {

/// How far the neighbours were that were found last: where the next search of about the same points starts. They change
/// its time alone.
struct NeighbourSeeds {
  std::vector<float> third;  // [n] square of the distance to the third nearest, by point. Empty: nothing known
  float cell = 0;            // side of the grid's cells, metres
};

/// out[i] = (d1^2 + d2^2 + d3^2) / 3 over the nearest other points, by index: a coincident other point counts as 0.
/// Exact, and the same for any number of threads and any seeds, which are replaced where given. Fewer than four points:
/// what is missing counts as 0. Where a coordinate is not finite or beyond 1e15 m, every result is NaN: a diverged run
/// ends in its caller's own message.
///   points [n, 3], out [n]
void mean_squared_neighbour_distance(const float* points, std::int64_t n, float* out, NeighbourSeeds* seeds = nullptr);

}  // namespace layeravatar::deform
