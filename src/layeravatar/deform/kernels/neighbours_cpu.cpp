#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "layeravatar/deform/kernels/neighbours.h"

namespace layeravatar::deform {
namespace {

constexpr int kLanes = 8;  // points of one cell that are searched for together
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

constexpr float kWantedInCell = 8;  // points in an occupied cell, on average
constexpr int kMostAlongAxis = 512;
constexpr std::int64_t kMostCells = std::int64_t{1} << 20;
constexpr float kFarthest = 1e15F;  // metres; squares beyond it overflow
constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Triple = std::array<std::size_t, 3>;

// Cells of equal size in a box that holds nearly all points; the outermost cells also hold what lies beyond it.
struct Grid {
  std::array<float, 3> low{};
  float cell = 1, inverse = 1;
  Triple size{1, 1, 1};
  std::vector<std::int32_t> cell_of;       // [n] of each point
  std::vector<std::int32_t> start;         // [cells + 1] first slot of a cell; x fastest, then y, then z
  std::array<std::vector<float>, 3> axes;  // coordinates by slot, padded to whole lanes
  std::vector<std::int32_t> ids;           // [n] point in a slot

  [[nodiscard]] std::size_t along(float x, std::size_t axis) const {
    return static_cast<std::size_t>(std::clamp((x - low[axis]) * inverse, 0.0F, static_cast<float>(size[axis] - 1)));
  }
  [[nodiscard]] std::size_t cells() const { return size[0] * size[1] * size[2]; }
};

struct Box {
  std::array<float, 3> low, high;
};

// Of a regular sample of the points, without its outermost hundredths, widened by a quarter: far strays must not
// stretch the grid.
Box box_of(const float* points, std::int64_t n) {
  constexpr std::int64_t kSample = 1024;
  const std::int64_t stride = (n + kSample - 1) / kSample;
  Box box{};
  std::vector<float> values;
  for (std::size_t k = 0; k < 3; ++k) {
    values.clear();
    for (std::int64_t i = 0; i < n; i += stride) values.push_back(points[3 * i + static_cast<std::int64_t>(k)]);
    std::sort(values.begin(), values.end());
    const std::size_t cut = values.size() / 100;
    const float low = values[cut], high = values[values.size() - 1 - cut];
    const float margin = 0.25F * (high - low);
    box.low[k] = std::max(values.front(), low - margin);
    box.high[k] = std::min(values.back(), high + margin);
  }
  return box;
}

void fit_cells(Grid& g, const Box& box, float cell) {
  std::array<float, 3> extent;
  for (std::size_t k = 0; k < 3; ++k) extent[k] = box.high[k] - box.low[k];
  const float widest = std::max({extent[0], extent[1], extent[2]});
  cell = std::max(cell, widest / kMostAlongAxis);
  if (!(cell > 0) || !std::isfinite(1.0F / cell)) cell = 1;
  for (;; cell *= 1.25F) {
    for (std::size_t k = 0; k < 3; ++k) g.size[k] = static_cast<std::size_t>(extent[k] / cell) + 1;
    if (static_cast<std::int64_t>(g.cells()) <= kMostCells) break;
  }
  g.low = box.low;
  g.cell = cell;
  g.inverse = 1.0F / cell;
}

// Fills cell_of and start; returns the number of occupied cells.
std::int64_t count_points(Grid& g, const float* points, std::int64_t n) {
  g.start.assign(g.cells() + 1, 0);
  for (std::int64_t i = 0; i < n; ++i) {
    const float* p = points + 3 * i;
    const std::size_t c = (g.along(p[2], 2) * g.size[1] + g.along(p[1], 1)) * g.size[0] + g.along(p[0], 0);
    g.cell_of[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(c);
    ++g.start[c + 1];
  }
  return std::count_if(g.start.begin(), g.start.end(), [](std::int32_t count) { return count != 0; });
}

Grid make_grid(const float* points, std::int64_t n) {
  Grid g;
  g.cell_of.resize(static_cast<std::size_t>(n));
  const Box box = box_of(points, n);
  std::array<float, 3> extent;
  for (std::size_t k = 0; k < 3; ++k) extent[k] = box.high[k] - box.low[k];
  std::sort(extent.begin(), extent.end());
  fit_cells(g, box, std::sqrt(extent[2] * extent[1] * kWantedInCell / static_cast<float>(n)));
  // The points lie on surfaces: so many times more of them in a cell, the square root smaller the cell.
  const float mean = static_cast<float>(n) / static_cast<float>(count_points(g, points, n));
  if (mean > 1.3F * kWantedInCell || mean < 0.7F * kWantedInCell) {
    fit_cells(g, box, g.cell * std::sqrt(kWantedInCell / mean));
    count_points(g, points, n);
  }
  for (std::size_t c = 0; c + 1 < g.start.size(); ++c) g.start[c + 1] += g.start[c];
  std::vector<std::int32_t> next(g.start.begin(), g.start.end() - 1);
  for (auto& axis : g.axes) axis.assign(static_cast<std::size_t>(n) + kLanes, 0.0F);
  g.ids.resize(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    const auto slot = static_cast<std::size_t>(next[static_cast<std::size_t>(g.cell_of[i])]++);
    for (std::size_t k = 0; k < 3; ++k) g.axes[k][slot] = points[3 * i + k];
    g.ids[slot] = static_cast<std::int32_t>(i);
  }
  return g;
}

// The cells within `radius` of a cell, both ends included.
struct Block {
  Triple low, high;
};

Block block_around(const Grid& g, const Triple& at, std::size_t radius) {
  Block b;
  for (std::size_t k = 0; k < 3; ++k) {
    b.low[k] = at[k] - std::min(at[k], radius);
    b.high[k] = std::min(at[k] + radius, g.size[k] - 1);
  }
  return b;
}

// Square of a distance below which every point lies in the block. Indices of cells are rounded: 0.999.
float safe_square(const Grid& g, const Block& block, std::size_t slot) {
  float reach = kInfinity;
  for (std::size_t k = 0; k < 3; ++k) {
    const float x = g.axes[k][slot];
    if (block.low[k] > 0) reach = std::min(reach, x - (g.low[k] + static_cast<float>(block.low[k]) * g.cell));
    if (block.high[k] + 1 < g.size[k])
      reach = std::min(reach, g.low[k] + static_cast<float>(block.high[k] + 1) * g.cell - x);
  }
  reach = std::max(reach, 0.0F) * 0.999F;
  return reach * reach;
}

// The four smallest squared distances, ascending, from each of kLanes points to the points of a block. A point finds
// itself among them, at exactly 0.
inline __attribute__((always_inline)) void four_nearest(const Grid& g, const Block& block, const Lanes (&p)[3],
                                                        Lanes (&best)[4]) {
  Lanes b0 = Lanes{} + kInfinity, b1 = b0, b2 = b0, b3 = b0;
  const float* xs = g.axes[0].data();
  const float* ys = g.axes[1].data();
  const float* zs = g.axes[2].data();
  for (std::size_t z = block.low[2]; z <= block.high[2]; ++z)
    for (std::size_t y = block.low[1]; y <= block.high[1]; ++y) {
      const std::size_t row = (z * g.size[1] + y) * g.size[0];  // cells along x follow one another
      const std::int32_t end = g.start[row + block.high[0] + 1];
      for (std::int32_t k = g.start[row + block.low[0]]; k < end; ++k) {
        const Lanes dx = p[0] - xs[k], dy = p[1] - ys[k], dz = p[2] - zs[k];
        const Lanes d = dx * dx + dy * dy + dz * dz;
        const Lanes d1 = b0 < d ? d : b0;
        b0 = d < b0 ? d : b0;
        const Lanes d2 = b1 < d1 ? d1 : b1;
        b1 = d1 < b1 ? d1 : b1;
        const Lanes d3 = b2 < d2 ? d2 : b2;
        b2 = d2 < b2 ? d2 : b2;
        b3 = d3 < b3 ? d3 : b3;
      }
    }
  best[0] = b0, best[1] = b1, best[2] = b2, best[3] = b3;
}

__attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"))) void search_cell(const Grid& g,
                                                                                                std::size_t cell,
                                                                                                float* out) {
  const Triple at = {cell % g.size[0], cell / g.size[0] % g.size[1], cell / g.size[0] / g.size[1]};
  const auto begin = static_cast<std::size_t>(g.start[cell]), end = static_cast<std::size_t>(g.start[cell + 1]);
  for (std::size_t slot = begin; slot < end; slot += kLanes) {
    const std::size_t count = std::min<std::size_t>(kLanes, end - slot);
    Lanes p[3], best[4];
    for (std::size_t k = 0; k < 3; ++k)
      for (std::size_t l = 0; l < kLanes; ++l) p[k][l] = g.axes[k][slot + l];
    bool certain = false;
    for (std::size_t radius = 1; !certain; radius *= 2) {
      const Block block = block_around(g, at, radius);
      four_nearest(g, block, p, best);
      certain = true;
      for (std::size_t l = 0; l < count; ++l) certain = certain && best[3][l] <= safe_square(g, block, slot + l);
    }
    for (std::size_t l = 0; l < count; ++l) {
      float sum = 0;
      for (std::size_t k = 1; k < 4; ++k) sum += best[k][l] < kInfinity ? best[k][l] : 0.0F;
      out[g.ids[slot + l]] = sum / 3.0F;
    }
  }
}

}  // namespace

void mean_squared_neighbour_distance(const float* points, std::int64_t n, float* out) {
  if (n == 0) return;
  if (!std::all_of(points, points + 3 * n, [](float x) { return std::abs(x) < kFarthest; })) {
    std::fill(out, out + n, std::numeric_limits<float>::quiet_NaN());
    return;
  }
  const Grid g = make_grid(points, n);
  const auto cells = static_cast<std::int64_t>(g.cells());
#pragma omp parallel for schedule(dynamic, 256)
  for (std::int64_t c = 0; c < cells; ++c) search_cell(g, static_cast<std::size_t>(c), out);
}

}  // namespace layeravatar::deform
