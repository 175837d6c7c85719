#include "layeravatar/templates/chart_layout.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "layeravatar/templates/uv_packer.h"

namespace layeravatar::templates {
namespace {

using Vec2 = std::array<double, 2>;

// Piecewise linear and increasing over [low, low + step * slopes.size()].
struct Stretch {
  double low = 0, step = 1;
  std::vector<double> slopes, starts;

  [[nodiscard]] double operator()(double x) const {
    const double at = std::clamp((x - low) / step, 0.0, static_cast<double>(slopes.size()));
    const auto bin = std::min(static_cast<std::size_t>(at), slopes.size() - 1);
    return starts[bin] + slopes[bin] * (at - static_cast<double>(bin)) * step;
  }
};

double length(const std::array<double, 3>& v) { return std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]); }

// Metres per texture unit along an axis, weighted by importance, averaged over strips.
Stretch stretch_of(const std::vector<Vec2>& corners, std::span<const ChartFace> faces,
                   const std::vector<std::size_t>& own, std::size_t axis) {
  double low = 1e300, high = -1e300;
  for (const std::size_t f : own)
    for (const std::int32_t id : faces[f].corners) {
      const double x = corners[static_cast<std::size_t>(id)][axis];
      low = std::min(low, x), high = std::max(high, x);
    }
  const auto bins = static_cast<std::size_t>(std::clamp(std::sqrt(static_cast<double>(own.size())) / 2, 1.0, 48.0));
  Stretch out;
  out.low = low;
  out.step = std::max(high - low, 1e-12) / static_cast<double>(bins);
  std::vector<double> sum(bins, 0), weight(bins, 0);
  for (const std::size_t f : own) {
    const ChartFace& face = faces[f];
    const Vec2 &a = corners[static_cast<std::size_t>(face.corners[0])],
               &b = corners[static_cast<std::size_t>(face.corners[1])],
               &c = corners[static_cast<std::size_t>(face.corners[2])];
    const double det = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    if (std::abs(det) < 1e-14) continue;
    std::array<double, 3> e1{}, e2{}, along{};
    for (std::size_t k = 0; k < 3; ++k) {
      e1[k] = face.points[1][k] - face.points[0][k];
      e2[k] = face.points[2][k] - face.points[0][k];
      along[k] =
          (axis == 0 ? e1[k] * (c[1] - a[1]) - e2[k] * (b[1] - a[1]) : e2[k] * (b[0] - a[0]) - e1[k] * (c[0] - a[0])) /
          det;
    }
    const double area =
        0.5 * length({e1[1] * e2[2] - e1[2] * e2[1], e1[2] * e2[0] - e1[0] * e2[2], e1[0] * e2[1] - e1[1] * e2[0]});
    const auto [x0, x1] = std::minmax({a[axis], b[axis], c[axis]});
    const auto first = static_cast<std::size_t>(std::clamp((x0 - low) / out.step, 0.0, static_cast<double>(bins - 1)));
    const auto last = static_cast<std::size_t>(std::clamp((x1 - low) / out.step, 0.0, static_cast<double>(bins - 1)));
    const double share = area * face.importance * face.importance / static_cast<double>(last - first + 1);
    for (std::size_t i = first; i <= last; ++i) {
      sum[i] += share * face.importance * length(along);
      weight[i] += share;
    }
  }
  const double mean = std::accumulate(sum.begin(), sum.end(), 0.0) /
                      std::max(std::accumulate(weight.begin(), weight.end(), 0.0), 1e-300);
  out.slopes.resize(bins);
  for (std::size_t i = 0; i < bins; ++i)
    out.slopes[i] = weight[i] > 0 ? std::clamp(sum[i] / weight[i], mean / 6, mean * 6) : mean;
  for (int round = 0; round < 2; ++round) {
    const std::vector<double> old = out.slopes;
    for (std::size_t i = 0; i < bins; ++i)
      out.slopes[i] = 0.25 * old[i == 0 ? 0 : i - 1] + 0.5 * old[i] + 0.25 * old[std::min(i + 1, bins - 1)];
  }
  out.starts.resize(bins);
  for (std::size_t i = 1; i < bins; ++i) out.starts[i] = out.starts[i - 1] + out.slopes[i - 1] * out.step;
  return out;
}

}  // namespace

std::int32_t root_of(std::vector<std::int32_t>& parents, std::int32_t i) {
  while (parents[static_cast<std::size_t>(i)] != i) {
    std::int32_t& up = parents[static_cast<std::size_t>(i)];
    i = up = parents[static_cast<std::size_t>(up)];
  }
  return i;
}

std::vector<std::int32_t> lay_out_charts(std::vector<Vec2>& corners, std::span<const ChartFace> faces, double margin) {
  std::vector<std::int32_t> root(corners.size());
  std::iota(root.begin(), root.end(), 0);
  const auto find = [&](std::int32_t i) { return root_of(root, i); };
  for (const ChartFace& face : faces)
    for (std::size_t k = 1; k < 3; ++k) root[static_cast<std::size_t>(find(face.corners[k]))] = find(face.corners[0]);
  std::map<std::int32_t, std::int32_t> island_of_root;
  std::vector<std::int32_t> island(faces.size());
  std::vector<std::vector<std::size_t>> members;
  for (std::size_t f = 0; f < faces.size(); ++f) {
    const auto [it, fresh] =
        island_of_root.try_emplace(find(faces[f].corners[0]), static_cast<std::int32_t>(members.size()));
    if (fresh) members.emplace_back();
    island[f] = it->second;
    members[static_cast<std::size_t>(it->second)].push_back(f);
  }
  std::vector<std::array<Stretch, 2>> stretches;
  for (const auto& own : members)
    stretches.push_back({stretch_of(corners, faces, own, 0), stretch_of(corners, faces, own, 1)});
  for (std::size_t c = 0; c < corners.size(); ++c)
    if (const auto it = island_of_root.find(find(static_cast<std::int32_t>(c))); it != island_of_root.end())
      for (std::size_t axis = 0; axis < 2; ++axis)
        corners[c][axis] = stretches[static_cast<std::size_t>(it->second)][axis](corners[c][axis]);
  std::vector<Chart> charts(members.size());
  for (std::size_t i = 0; i < members.size(); ++i)
    for (const std::size_t f : members[i]) {
      const auto& ids = faces[f].corners;
      charts[i].triangles.push_back({corners[static_cast<std::size_t>(ids[0])],
                                     corners[static_cast<std::size_t>(ids[1])],
                                     corners[static_cast<std::size_t>(ids[2])]});
    }
  pack_charts(charts, margin);
  for (std::size_t c = 0; c < corners.size(); ++c)
    if (const auto it = island_of_root.find(find(static_cast<std::int32_t>(c))); it != island_of_root.end())
      corners[c] = charts[static_cast<std::size_t>(it->second)].place(corners[c]);
  return island;
}

}  // namespace layeravatar::templates
