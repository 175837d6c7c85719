#include "layeravatar/templates/uv_packer.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "layeravatar/core/error.h"

namespace layeravatar::templates {
namespace {

constexpr int kCells = 256;  // of a side of the square
constexpr int kWords = kCells / 64;
using Row = std::array<std::uint64_t, kWords>;
using Point = std::array<double, 2>;

// Cells that a chart touches; rows from y = 0.
struct Mask {
  int width = 0, height = 0;
  std::vector<Row> rows;
};

Row shifted(const Row& row, int by) {
  Row out{};
  const int words = by / 64, bits = by % 64;
  for (int w = kWords - 1; w >= words; --w) {
    const auto from = static_cast<std::size_t>(w - words);
    out[static_cast<std::size_t>(w)] = row[from] << bits;
    if (bits != 0 && from > 0) out[static_cast<std::size_t>(w)] |= row[from - 1] >> (64 - bits);
  }
  return out;
}

// Separating axes of a triangle and the cell [x, x + 1] x [y, y + 1] whose boxes overlap.
bool touches(const std::array<Point, 3>& t, double x, double y) {
  for (std::size_t k = 0; k < 3; ++k) {
    const Point &a = t[k], &b = t[(k + 1) % 3], &c = t[(k + 2) % 3];
    const double nx = b[1] - a[1], ny = a[0] - b[0];
    const double inner = nx * (c[0] - a[0]) + ny * (c[1] - a[1]);
    const double centre = nx * (x + 0.5 - a[0]) + ny * (y + 0.5 - a[1]), reach = 0.5 * (std::abs(nx) + std::abs(ny));
    if (inner >= 0 ? centre + reach < 0 || centre - reach > inner : centre - reach > 0 || centre + reach < inner)
      return false;
  }
  return true;
}

struct Outline {
  Mask mask;
  Point low{};  // lower left of the turned chart, in its own unit
};

// False when the chart is larger than the square.
bool outline_of(const Chart& chart, bool turned, double scale, Outline& out) {
  const auto turn = [&](const Point& p) { return turned ? Point{-p[1], p[0]} : p; };
  Point low{1e300, 1e300}, high{-1e300, -1e300};
  for (const auto& t : chart.triangles)
    for (const Point& corner : t) {
      const Point p = turn(corner);
      for (std::size_t k = 0; k < 2; ++k) low[k] = std::min(low[k], p[k]), high[k] = std::max(high[k], p[k]);
    }
  out.low = low;
  out.mask.width = static_cast<int>((high[0] - low[0]) * scale * kCells) + 1;
  out.mask.height = static_cast<int>((high[1] - low[1]) * scale * kCells) + 1;
  if (out.mask.width > kCells || out.mask.height > kCells) return false;
  out.mask.rows.assign(static_cast<std::size_t>(out.mask.height), Row{});
  for (const auto& t : chart.triangles) {
    std::array<Point, 3> cell;
    for (std::size_t k = 0; k < 3; ++k) {
      const Point p = turn(t[k]);
      cell[k] = {(p[0] - low[0]) * scale * kCells, (p[1] - low[1]) * scale * kCells};
    }
    const auto [x0, x1] = std::minmax({cell[0][0], cell[1][0], cell[2][0]});
    const auto [y0, y1] = std::minmax({cell[0][1], cell[1][1], cell[2][1]});
    for (int y = static_cast<int>(y0); y <= std::min(static_cast<int>(y1), out.mask.height - 1); ++y)
      for (int x = static_cast<int>(x0); x <= std::min(static_cast<int>(x1), out.mask.width - 1); ++x)
        if (touches(cell, x, y))
          out.mask.rows[static_cast<std::size_t>(y)][static_cast<std::size_t>(x / 64)] |= 1ULL << (x % 64);
  }
  return true;
}

bool collides(const std::vector<Row>& chart, const std::vector<Row>& taken, int y) {
  for (std::size_t r = 0; r < chart.size(); ++r) {
    const Row &a = chart[r], &b = taken[static_cast<std::size_t>(y) + r];
    for (std::size_t w = 0; w < kWords; ++w)
      if ((a[w] & b[w]) != 0) return true;
  }
  return false;
}

// Marks the chart's cells and all within `reach` of them.
void occupy(std::vector<Row>& taken, const std::vector<Row>& chart, int y, int reach) {
  for (int r = 0; r < static_cast<int>(chart.size()); ++r) {
    Row wide = chart[static_cast<std::size_t>(r)];
    const Row& thin = chart[static_cast<std::size_t>(r)];
    for (int s = 1; s <= reach; ++s) {
      const Row left = shifted(thin, s);
      for (std::size_t w = 0; w < kWords; ++w) {
        wide[w] |= left[w] | (thin[w] >> s);
        if (w + 1 < kWords) wide[w] |= thin[w + 1] << (64 - s);
      }
    }
    for (int row = std::max(0, y + r - reach); row <= std::min(kCells - 1, y + r + reach); ++row)
      for (std::size_t w = 0; w < kWords; ++w) taken[static_cast<std::size_t>(row)][w] |= wide[w];
  }
}

// The two largest charts stand or lie as the lowest bits of `way` say, the others as fits best; each goes to the lowest
// place or, by the third bit, to that nearest to the lower left corner.
bool place_all(std::vector<Chart>& charts, const std::vector<std::size_t>& order, double scale, int margin,
               unsigned way) {
  const int x_counts = static_cast<int>(way / 8);
  const int border = (margin + 1) / 2;
  std::vector<Row> taken(kCells, Row{});
  for (std::size_t i = 0; i < order.size(); ++i) {
    Chart& chart = charts[order[i]];
    int best = 3 * kCells, best_y = 0;
    std::vector<Row> best_rows;
    for (const bool turned : {false, true}) {
      if (i < 2 && turned != (((way >> i) & 1U) != 0)) continue;
      Outline outline;
      if (!outline_of(chart, turned, scale, outline)) continue;
      const Mask& mask = outline.mask;
      std::vector<Row> rows(mask.rows.size());
      for (int x = border; x + mask.width <= kCells - border; ++x) {
        std::transform(mask.rows.begin(), mask.rows.end(), rows.begin(),
                       [&](const Row& row) { return shifted(row, x); });
        const int side = x_counts * (x + mask.width) / 2;
        for (int y = border; y + mask.height <= kCells - border && y + mask.height + side < best; ++y) {
          if (collides(rows, taken, y)) continue;
          best = y + mask.height + side, best_y = y, best_rows = rows;
          chart.turned = turned;
          chart.offset = {static_cast<double>(x) / kCells - scale * outline.low[0],
                          static_cast<double>(y) / kCells - scale * outline.low[1]};
          break;
        }
      }
    }
    if (best_rows.empty()) return false;
    occupy(taken, best_rows, best_y, margin);
    chart.scale = scale;
  }
  return true;
}

double area_of(const Chart& chart) {
  double sum = 0;
  for (const auto& t : chart.triangles)
    sum += 0.5 * std::abs((t[1][0] - t[0][0]) * (t[2][1] - t[0][1]) - (t[1][1] - t[0][1]) * (t[2][0] - t[0][0]));
  return sum;
}

double side_of(const Chart& chart) {
  Point low{1e300, 1e300}, high{-1e300, -1e300};
  for (const auto& t : chart.triangles)
    for (const Point& p : t)
      for (std::size_t k = 0; k < 2; ++k) low[k] = std::min(low[k], p[k]), high[k] = std::max(high[k], p[k]);
  return std::max(high[0] - low[0], high[1] - low[1]);
}

}  // namespace

void pack_charts(std::vector<Chart>& charts, double margin) {
  if (charts.empty()) return;
  std::vector<double> area, side;
  for (const Chart& chart : charts) {
    area.push_back(area_of(chart));
    side.push_back(side_of(chart));
  }
  std::vector<std::size_t> by_area(charts.size());
  std::iota(by_area.begin(), by_area.end(), 0);
  std::vector<std::size_t> by_side = by_area;
  std::stable_sort(by_area.begin(), by_area.end(), [&](std::size_t a, std::size_t b) { return area[a] > area[b]; });
  std::stable_sort(by_side.begin(), by_side.end(), [&](std::size_t a, std::size_t b) { return side[a] > side[b]; });
  const int cells = static_cast<int>(std::ceil(margin * kCells));
  double low = 0, high = 1 / std::sqrt(std::max(std::accumulate(area.begin(), area.end(), 0.0), 1e-300));
  std::vector<Chart> best;
  // Some two in three of the square can be filled: the first tries are about there.
  for (int round = 0; round < 12 && (best.empty() || high - low > 0.002 * high); ++round) {
    const double mid = round == 0 ? 0.76 * high : 0.5 * (low + high);
    bool fits = false;
    for (unsigned way = 0; way < 24 && !fits; ++way)
      fits = place_all(charts, (way & 4U) != 0 ? by_side : by_area, mid, cells, way);
    if (fits) best = charts;
    (fits ? low : high) = mid;
  }
  LAV_CHECK(!best.empty(), "the charts do not fit into a square");
  charts = std::move(best);
}

}  // namespace layeravatar::templates
