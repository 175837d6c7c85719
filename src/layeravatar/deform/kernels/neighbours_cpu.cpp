#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "layeravatar/deform/kernels/neighbours.h"

namespace layeravatar::deform {
namespace {

constexpr int kMostCells = 96;  // along the longest side

struct Grid {
  float low[3], cell, inverse;
  int size[3];
  std::vector<std::int32_t> start;               // [cells + 1]
  std::vector<std::array<float, 3>> points;      // by cell
  std::vector<std::int32_t> ids;                 // by cell

  [[nodiscard]] int along(float x, int axis) const {
    return std::clamp(static_cast<int>((x - low[axis]) * inverse), 0, size[axis] - 1);
  }
  [[nodiscard]] std::int64_t cell_at(int x, int y, int z) const {
    return (static_cast<std::int64_t>(z) * size[1] + y) * size[0] + x;
  }
};

Grid make_grid(const float* points, std::int64_t n) {
  Grid g;
  float high[3];
  for (int k = 0; k < 3; ++k) g.low[k] = high[k] = points[k];
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < 3; ++k) g.low[k] = std::min(g.low[k], points[3 * i + k]), high[k] = std::max(high[k], points[3 * i + k]);
  const float extent = std::max({high[0] - g.low[0], high[1] - g.low[1], high[2] - g.low[2], 1e-6F});
  const int cells = std::clamp(static_cast<int>(std::sqrt(static_cast<float>(n)) * 0.75F), 1, kMostCells);
  g.cell = extent / static_cast<float>(cells);
  g.inverse = 1.0F / g.cell;
  for (int k = 0; k < 3; ++k) g.size[k] = std::min(cells, static_cast<int>((high[k] - g.low[k]) * g.inverse) + 1);
  const std::int64_t total = static_cast<std::int64_t>(g.size[0]) * g.size[1] * g.size[2];
  g.start.assign(static_cast<std::size_t>(total) + 1, 0);
  std::vector<std::int64_t> own(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    own[static_cast<std::size_t>(i)] = g.cell_at(g.along(points[3 * i], 0), g.along(points[3 * i + 1], 1), g.along(points[3 * i + 2], 2));
    ++g.start[static_cast<std::size_t>(own[static_cast<std::size_t>(i)]) + 1];
  }
  for (std::size_t c = 0; c + 1 < g.start.size(); ++c) g.start[c + 1] += g.start[c];
  std::vector<std::int32_t> next(g.start.begin(), g.start.end() - 1);
  g.points.resize(static_cast<std::size_t>(n));
  g.ids.resize(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(own[static_cast<std::size_t>(i)])]++);
    g.points[at] = {points[3 * i], points[3 * i + 1], points[3 * i + 2]};
    g.ids[at] = static_cast<std::int32_t>(i);
  }
  return g;
}

}  // namespace

void mean_squared_neighbour_distance(const float* points, std::int64_t n, float* out) {
  if (n == 0) return;
  for (std::int64_t i = 0; i < 3 * n; ++i)
    if (!std::isfinite(points[i])) {  // a diverged run must end in its own message, not in an endless search
      std::fill(out, out + n, std::numeric_limits<float>::quiet_NaN());
      return;
    }
  const Grid g = make_grid(points, n);
  const int widest = std::max({g.size[0], g.size[1], g.size[2]});
#pragma omp parallel for schedule(dynamic, 512)
  for (std::int64_t slot = 0; slot < n; ++slot) {
    const auto& p = g.points[static_cast<std::size_t>(slot)];
    const int at[3] = {g.along(p[0], 0), g.along(p[1], 1), g.along(p[2], 2)};
    constexpr float kNone = std::numeric_limits<float>::infinity();
    float best[3] = {kNone, kNone, kNone};
    for (int ring = 0; ring <= widest; ++ring) {
      for (int z = std::max(at[2] - ring, 0); z <= std::min(at[2] + ring, g.size[2] - 1); ++z)
        for (int y = std::max(at[1] - ring, 0); y <= std::min(at[1] + ring, g.size[1] - 1); ++y) {
          const bool face = std::abs(z - at[2]) == ring || std::abs(y - at[1]) == ring;
          const int step = face || ring == 0 ? 1 : 2 * ring;  // inside the shell only its two ends along x
          for (int x = at[0] - ring; x <= at[0] + ring; x += step) {
            if (x < 0 || x >= g.size[0]) continue;
            const auto c = static_cast<std::size_t>(g.cell_at(x, y, z));
            for (std::int32_t k = g.start[c]; k < g.start[c + 1]; ++k) {
              if (k == slot) continue;
              const auto& q = g.points[static_cast<std::size_t>(k)];
              const float dx = p[0] - q[0], dy = p[1] - q[1], dz = p[2] - q[2];
              const float d = dx * dx + dy * dy + dz * dz;
              if (d >= best[2]) continue;
              best[2] = d;
              if (best[2] < best[1]) std::swap(best[1], best[2]);
              if (best[1] < best[0]) std::swap(best[0], best[1]);
            }
          }
        }
      // What has not been looked at is farther than `ring` whole cells (less a little for rounding at cell borders).
      const float reached = 0.999F * static_cast<float>(ring) * g.cell;
      if (best[2] <= reached * reached) break;
    }
    float sum = 0;
    for (const float d : best) sum += d == kNone ? 0.0F : d;
    out[g.ids[static_cast<std::size_t>(slot)]] = sum / 3.0F;
  }
}

}  // namespace layeravatar::deform
