// One-to-four subdivision of a mesh whose new vertices are merged by position (spec/body_and_data.md section 5.3).
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace layeravatar::templates {

using Triangle = std::array<std::int32_t, 3>;

struct Subdivision {
  std::vector<std::array<std::int32_t, 2>> ends;  // of each midpoint; midpoints are numbered after all old vertices
  std::vector<Triangle> faces;                    // [4 n] children of face k are 4 k .. 4 k + 3
};

/// Divides all n faces over points [P, width], width at most 3. Edges (0, 1) of all faces come first, then (1, 2), then
/// (2, 0); midpoints that agree after rounding to 1e-8 are one vertex with the ends of the first.
Subdivision subdivide(std::span<const float> points, std::size_t width, std::span<const Triangle> faces);

/// Rows of `values` [P, width], then the mean of both ends for each midpoint.
std::vector<float> with_midpoints(std::span<const float> values, std::size_t width, const Subdivision& division);

}  // namespace layeravatar::templates
