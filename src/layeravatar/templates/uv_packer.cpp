#include "layeravatar/templates/uv_packer.h"

#include <algorithm>
#include <cmath>

#include "layeravatar/core/error.h"

namespace layeravatar::templates {
namespace {

constexpr int kCells = 2048;  // columns of the skyline

bool place(std::vector<Chart>& charts, double factor, double margin) {
  std::vector<int> skyline(kCells, 0);
  for (Chart& chart : charts) {
    const int w = static_cast<int>(std::ceil((chart.width * factor + margin) * kCells));
    const int h = static_cast<int>(std::ceil((chart.height * factor + margin) * kCells));
    const int limit = kCells - static_cast<int>(std::ceil(margin * kCells));
    int best_y = kCells, best_x = -1;
    for (int x = 0; x + w <= limit; x += 4) {
      const int y = *std::max_element(skyline.begin() + x, skyline.begin() + x + w);
      if (y + h <= limit && y < best_y) best_y = y, best_x = x;
    }
    if (best_x < 0) return false;
    std::fill(skyline.begin() + best_x, skyline.begin() + best_x + w, best_y + h);
    chart.x = static_cast<double>(best_x) / kCells + margin;
    chart.y = static_cast<double>(best_y) / kCells + margin;
    chart.scale = factor;
  }
  return true;
}

}  // namespace

void pack_charts(std::vector<Chart>& charts, double margin) {
  double low = 0, high = 64;
  for (const Chart& c : charts) high = std::min(high, 1 / std::max({c.width, c.height, 1e-9}));
  for (int round = 0; round < 24; ++round) {
    const double mid = 0.5 * (low + high);
    (place(charts, mid, margin) ? low : high) = mid;
  }
  LAV_CHECK(low > 0 && place(charts, low, margin), "the charts do not fit into a square");
}

}  // namespace layeravatar::templates
