// Looks at texture triangles as pixels.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace layeravatar::templates {

struct ChartCensus {
  std::vector<std::int32_t> owner;  // [size * size] triangle at the texel's centre, -1: none
  std::int64_t covered = 0;
  std::int64_t overlaps = 0;  // texel centres inside more than one triangle, off its edges

  [[nodiscard]] double share() const { return static_cast<double>(covered) / static_cast<double>(owner.size()); }
};

/// Corners in the unit square, three a triangle. A centre nearer to an edge than about a thousandth of a texel is in
/// none.
template <class T>
ChartCensus take_census(const std::vector<std::array<T, 2>>& corners, int size) {
  ChartCensus out;
  out.owner.assign(static_cast<std::size_t>(size) * static_cast<std::size_t>(size), -1);
  for (std::size_t f = 0; f < corners.size() / 3; ++f) {
    std::array<std::array<double, 2>, 3> q;
    for (std::size_t k = 0; k < 3; ++k)
      for (std::size_t e = 0; e < 2; ++e) q[k][e] = static_cast<double>(corners[3 * f + k][e]) * size;
    const auto edge = [&](std::size_t k, double x, double y) {
      const auto &a = q[k], &b = q[(k + 1) % 3];
      return ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / std::hypot(b[0] - a[0], b[1] - a[1]);
    };
    const double side = edge(0, q[2][0], q[2][1]) > 0 ? 1 : -1;
    const auto [x0, x1] = std::minmax({q[0][0], q[1][0], q[2][0]});
    const auto [y0, y1] = std::minmax({q[0][1], q[1][1], q[2][1]});
    for (int y = std::max(0, static_cast<int>(y0)); y <= std::min(size - 1, static_cast<int>(y1)); ++y)
      for (int x = std::max(0, static_cast<int>(x0)); x <= std::min(size - 1, static_cast<int>(x1)); ++x) {
        bool inside = true;
        for (std::size_t k = 0; k < 3; ++k) inside = inside && side * edge(k, x + 0.5, y + 0.5) > 1e-3;
        if (!inside) continue;
        std::int32_t& owner =
            out.owner[static_cast<std::size_t>(y) * static_cast<std::size_t>(size) + static_cast<std::size_t>(x)];
        ++(owner < 0 ? out.covered : out.overlaps);
        owner = static_cast<std::int32_t>(f);
      }
  }
  return out;
}

}  // namespace layeravatar::templates
