// Texture charts packed into a square without overlaps.
#pragma once
#include <array>
#include <vector>

namespace layeravatar::templates {

/// Where a chart goes. Its points (any unit, the same for all charts) become offset + scale * p, with p turned a
/// quarter ((x, y) -> (-y, x)) first where `turned`.
struct Chart {
  std::vector<std::array<std::array<double, 2>, 3>> triangles;
  double scale = 1;  // results from here on
  bool turned = false;
  std::array<double, 2> offset{};

  [[nodiscard]] std::array<double, 2> place(const std::array<double, 2>& p) const {
    return turned ? std::array<double, 2>{offset[0] - scale * p[1], offset[1] + scale * p[0]}
                  : std::array<double, 2>{offset[0] + scale * p[0], offset[1] + scale * p[1]};
  }
};

/// Places the charts by their outlines, not their boxes: `margin` apart and half of it off the border of the unit
/// square, all with one common scale, about the largest for which lowest-place-first succeeds. Throws Error(kInternal)
/// when nothing fits.
void pack_charts(std::vector<Chart>& charts, double margin);

}  // namespace layeravatar::templates
