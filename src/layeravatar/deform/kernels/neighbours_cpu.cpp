// Exact nearest neighbours: points sorted into cells, then for each the cells that a ball around it meets.
#include "layeravatar/deform/kernels/neighbours.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layeravatar/deform/kernels/neighbours_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef LAV_DEFORM_NEIGHBOURS_GRID
#define LAV_DEFORM_NEIGHBOURS_GRID
namespace layeravatar::deform {

inline constexpr std::size_t kMostLanes = 16;
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Cells of equal size in a box that holds nearly all points; the outermost cells also hold what lies beyond it.
struct Grid {
  std::array<float, 3> low{};
  float cell = 1, inverse = 1;
  std::array<std::size_t, 3> size{1, 1, 1};
  std::vector<std::int32_t> cell_of;       // [n] of each point
  std::vector<std::int32_t> start;         // [cells + 1] first slot of a cell; x fastest, then y, then z
  std::array<std::vector<float>, 3> axes;  // coordinates by slot, padded to whole vectors
  std::vector<std::int32_t> ids;           // [n] point in a slot

  // Never falls where x rises: what lies between two coordinates lies between their cells.
  [[nodiscard]] std::size_t along(float x, std::size_t axis) const {
    return static_cast<std::size_t>(std::min(std::max((x - low[axis]) * inverse, 0.0F), static_cast<float>(size[axis] - 1)));
  }
  [[nodiscard]] std::size_t cells() const { return size[0] * size[1] * size[2]; }
};

}  // namespace layeravatar::deform
#endif

HWY_BEFORE_NAMESPACE();
namespace layeravatar::deform::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Lanes = hn::CappedTag<float, kMostLanes>;
using V = hn::Vec<Lanes>;

// The four smallest squared distances from p to the points of a block of cells, ascending; infinite where there are
// fewer. A point finds itself among them, at exactly 0.
HWY_INLINE void four_nearest(const Grid& g, const float (&p)[3], const std::size_t (&low)[3], const std::size_t (&high)[3],
                             float (&out)[4]) {
  const Lanes lanes;
  constexpr std::int32_t kStep = static_cast<std::int32_t>(hn::MaxLanes(Lanes()));
  const V x = hn::Set(lanes, p[0]), y = hn::Set(lanes, p[1]), z = hn::Set(lanes, p[2]), infinity = hn::Set(lanes, kInfinity);
  V best[4] = {infinity, infinity, infinity, infinity};  // of each lane
  for (std::size_t cz = low[2]; cz <= high[2]; ++cz)
    for (std::size_t cy = low[1]; cy <= high[1]; ++cy) {
      const std::size_t row = (cz * g.size[1] + cy) * g.size[0];  // cells along x follow one another
      const std::int32_t end = g.start[row + high[0] + 1];
      for (std::int32_t k = g.start[row + low[0]]; k < end; k += kStep) {
        const V dx = hn::Sub(x, hn::LoadU(lanes, g.axes[0].data() + k));
        const V dy = hn::Sub(y, hn::LoadU(lanes, g.axes[1].data() + k));
        const V dz = hn::Sub(z, hn::LoadU(lanes, g.axes[2].data() + k));
        const V square = hn::MulAdd(dz, dz, hn::MulAdd(dy, dy, hn::Mul(dx, dx)));
        V d = hn::IfThenElse(hn::FirstN(lanes, static_cast<std::size_t>(end - k)), square, infinity);
        for (int b = 0; b < 3; ++b) {
          const V farther = hn::Max(best[b], d);
          best[b] = hn::Min(best[b], d);
          d = farther;
        }
        best[3] = hn::Min(best[3], d);
      }
    }
  for (float& least : out) {  // takes one value out of its lane at a time
    const V least_of_all = hn::MinOfLanes(lanes, best[0]);
    least = hn::GetLane(least_of_all);
    const auto lane = static_cast<float>(hn::FindFirstTrue(lanes, hn::Eq(best[0], least_of_all)));
    const auto taken = hn::Eq(hn::Iota(lanes, 0), hn::Set(lanes, lane));
    for (int b = 0; b < 3; ++b) best[b] = hn::IfThenElse(taken, best[b + 1], best[b]);
    best[3] = hn::IfThenElse(taken, infinity, best[3]);
  }
}

// Slots begin..end. `third` [n] is read where known, and written; null: neither.
void search_slots(const Grid& g, std::size_t begin, std::size_t end, bool known, float* third, float* out) {
  for (std::size_t slot = begin; slot < end; ++slot) {
    const float p[3] = {g.axes[0][slot], g.axes[1][slot], g.axes[2][slot]};
    const std::int32_t id = g.ids[slot];
    // Last time's neighbours and a little, or a ball that holds eight points of a surface as dense as the grid supposes.
    float bound = known ? 1.2F * third[id] : 0.32F * g.cell * g.cell;
    const float size = std::max({std::abs(p[0]), std::abs(p[1]), std::abs(p[2])});
    float nearest[4];
    for (;; bound = 4 * std::max(bound, 1e-12F * g.cell * g.cell)) {
      const float radius = 1.001F * std::sqrt(bound) + 4e-7F * size;  // the slack covers rounding
      std::size_t low[3], high[3];
      bool everything = true;
      for (std::size_t k = 0; k < 3; ++k) {
        low[k] = g.along(p[k] - radius, k), high[k] = g.along(p[k] + radius, k);
        everything = everything && low[k] == 0 && high[k] + 1 == g.size[k];
      }
      four_nearest(g, p, low, high, nearest);
      if (everything || nearest[3] <= bound) break;
    }
    float sum = 0;
    for (int k = 1; k < 4; ++k) sum += nearest[k] < kInfinity ? nearest[k] : 0.0F;
    out[id] = sum / 3.0F;
    if (third != nullptr) third[id] = nearest[3] < kInfinity ? nearest[3] : g.cell * g.cell;
  }
}

}  // namespace layeravatar::deform::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace layeravatar::deform {

HWY_EXPORT(search_slots);

namespace {

constexpr float kWantedInCell = 8;  // points in an occupied cell, on average
constexpr int kMostAlongAxis = 512;
constexpr std::int64_t kMostCells = std::int64_t{1} << 20;
constexpr float kFarthest = 1e15F;  // metres; squares beyond it overflow

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
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < n; ++i) {
    const float* p = points + 3 * i;
    const std::size_t c = (g.along(p[2], 2) * g.size[1] + g.along(p[1], 1)) * g.size[0] + g.along(p[0], 0);
    g.cell_of[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(c);
  }
  for (const std::int32_t c : g.cell_of) ++g.start[static_cast<std::size_t>(c) + 1];
  return std::count_if(g.start.begin(), g.start.end(), [](std::int32_t count) { return count != 0; });
}

// `cell`: a size that fitted before, or 0.
Grid make_grid(const float* points, std::int64_t n, float cell) {
  Grid g;
  g.cell_of.resize(static_cast<std::size_t>(n));
  const Box box = box_of(points, n);
  std::array<float, 3> extent;
  for (std::size_t k = 0; k < 3; ++k) extent[k] = box.high[k] - box.low[k];
  std::sort(extent.begin(), extent.end());
  fit_cells(g, box, cell > 0 ? cell : std::sqrt(extent[2] * extent[1] * kWantedInCell / static_cast<float>(n)));
  // The points lie on surfaces: so many times more of them in a cell, the square root smaller the cell.
  const float mean = static_cast<float>(n) / static_cast<float>(count_points(g, points, n));
  if (mean > 1.3F * kWantedInCell || mean < 0.7F * kWantedInCell) {
    fit_cells(g, box, g.cell * std::sqrt(kWantedInCell / mean));
    count_points(g, points, n);
  }
  for (std::size_t c = 0; c + 1 < g.start.size(); ++c) g.start[c + 1] += g.start[c];
  std::vector<std::int32_t> next(g.start.begin(), g.start.end() - 1);
  for (auto& axis : g.axes) axis.assign(static_cast<std::size_t>(n) + kMostLanes, 0.0F);
  g.ids.resize(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    const auto slot = static_cast<std::size_t>(next[static_cast<std::size_t>(g.cell_of[i])]++);
    for (std::size_t k = 0; k < 3; ++k) g.axes[k][slot] = points[3 * i + k];
    g.ids[slot] = static_cast<std::int32_t>(i);
  }
  return g;
}

}  // namespace

void mean_squared_neighbour_distance(const float* points, std::int64_t n, float* out, NeighbourSeeds* seeds) {
  if (n == 0) return;
  if (!std::all_of(points, points + 3 * n, [](float x) { return std::abs(x) < kFarthest; })) {
    std::fill(out, out + n, std::numeric_limits<float>::quiet_NaN());
    if (seeds != nullptr) *seeds = {};
    return;
  }
  const Grid g = make_grid(points, n, seeds != nullptr ? seeds->cell : 0.0F);
  const auto wanted = static_cast<std::size_t>(n);
  const bool known = seeds != nullptr && seeds->third.size() == wanted;
  if (seeds != nullptr) {
    seeds->cell = g.cell;
    seeds->third.resize(wanted);
  }
  constexpr std::int64_t kChunk = 512;
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t begin = 0; begin < n; begin += kChunk)
    HWY_DYNAMIC_DISPATCH(search_slots)(g, static_cast<std::size_t>(begin), static_cast<std::size_t>(std::min(n, begin + kChunk)), known,
                                       seeds != nullptr ? seeds->third.data() : nullptr, out);
}

}  // namespace layeravatar::deform
#endif
