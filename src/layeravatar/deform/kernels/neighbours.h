// Mean squared distance to the three nearest other points (spec/body_and_data.md section 7).
#pragma once
#include <cstdint>

namespace layeravatar::deform {

/// out[i] = (d1^2 + d2^2 + d3^2) / 3 over the nearest other points, by index: a coincident other point counts as 0.
/// Exact, and the same for any number of threads. Fewer than four points: what is missing counts as 0. Where a
/// coordinate is not finite or beyond 1e15 m, every result is NaN: a diverged run ends in its caller's own message.
///   points [n, 3], out [n]
void mean_squared_neighbour_distance(const float* points, std::int64_t n, float* out);

}  // namespace layeravatar::deform
