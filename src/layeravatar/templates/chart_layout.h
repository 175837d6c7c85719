// Texture coordinates of one layer: the islands of an atlas, evened out and packed into a unit square.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace layeravatar::templates {

/// The representative of i's set; parents[i] == i at a representative.
std::int32_t root_of(std::vector<std::int32_t>& parents, std::int32_t i);

struct ChartFace {
  std::array<std::int32_t, 3> corners;         // indices of texture corners
  std::array<std::array<float, 3>, 3> points;  // metres
  double importance = 1;                       // wanted texels per metre, relative to the other faces
};

/// Moves the corners of each connected island so that, strip by strip along both axes, its scale is even and as the
/// faces' importance asks; then packs the islands into the unit square, `margin` apart. The stretch is monotone, so
/// that what did not overlap in the atlas still does not. Returns each face's island, from 0.
std::vector<std::int32_t> lay_out_charts(std::vector<std::array<double, 2>>& corners, std::span<const ChartFace> faces,
                                         double margin);

}  // namespace layeravatar::templates
