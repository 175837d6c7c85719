// Texture charts packed into a square without overlaps.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace layeravatar::templates {

/// Where a chart of size `width` x `height` (any unit) goes: its corner and the factor on its size.
struct Chart {
  double width = 0, height = 0;
  double x = 0, y = 0, scale = 1;  // result
};

/// Places the charts' boxes into the unit square, `margin` apart and off the border, all with one common factor, the
/// largest that fits a bottom-left skyline in the given order. Throws Error(kInternal) when nothing fits.
void pack_charts(std::vector<Chart>& charts, double margin);

}  // namespace layeravatar::templates
