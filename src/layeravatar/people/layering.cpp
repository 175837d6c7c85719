#include "layeravatar/people/layering.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

namespace layeravatar::people {
namespace {

// Vertices of edges that belong to one quad only.
std::vector<Point> open_border(const std::vector<Point>& rest, const Quads& quads) {
  std::map<std::pair<std::int32_t, std::int32_t>, int> uses;
  for (const auto& q : quads)
    for (std::size_t k = 0; k < 4; ++k)
      if (q[k] != q[(k + 1) % 4]) ++uses[std::minmax({q[k], q[(k + 1) % 4]})];
  std::set<std::int32_t> ids;
  for (const auto& [edge, count] : uses)
    if (count == 1) ids.insert({edge.first, edge.second});
  std::vector<Point> out;
  for (const auto id : ids) out.push_back(rest[static_cast<std::size_t>(id)]);
  return out;
}

}  // namespace

std::vector<std::array<std::int32_t, 3>> triangles_of(const Quads& quads) {
  std::vector<std::array<std::int32_t, 3>> out;
  out.reserve(2 * quads.size());
  for (const auto& q : quads)
    for (const std::size_t k : {1, 2}) out.push_back({q[0], q[k], q[k + 1]});
  return out;
}

Cloth::Cloth(const std::vector<Point>& rest, const Quads& quads)
    : caster_(rest, triangles_of(quads)), border_(open_border(rest, quads)) {}

std::optional<float> Cloth::gap(const Point& point, const Point& normal, float above, float below) const {
  const auto first_hit = [&](float sign, float reach) -> std::optional<float> {
    const Point direction{sign * normal[0], sign * normal[1], sign * normal[2]};
    if (reach <= 0 || !caster_.occluded(point, direction, 0, reach)) return std::nullopt;
    float low = 0, high = reach;
    for (int step = 0; step < 6; ++step) {
      const float middle = 0.5F * (low + high);
      (caster_.occluded(point, direction, 0, middle) ? high : low) = middle;
    }
    return high;
  };
  if (const auto over = first_hit(1, above)) return over;
  if (const auto under = first_hit(-1, below)) return -*under;
  return std::nullopt;
}

float Cloth::border_distance(const Point& point) const {
  float best = std::numeric_limits<float>::infinity();
  for (const Point& b : border_) {
    const float x = point[0] - b[0], y = point[1] - b[1], z = point[2] - b[2];
    best = std::min(best, x * x + y * y + z * z);
  }
  return std::sqrt(best);
}

void settle(std::vector<Point>& points, const std::vector<Point>& normals, const Cloth& cloth, float room,
            float below) {
  const auto count = static_cast<std::int64_t>(points.size());
#pragma omp parallel for schedule(dynamic, 256)
  for (std::int64_t i = 0; i < count; ++i) {
    Point& p = points[static_cast<std::size_t>(i)];
    const Point& n = normals[static_cast<std::size_t>(i)];
    const auto gap = cloth.gap(p, n, room, below);
    if (!gap) continue;
    for (std::size_t k = 0; k < 3; ++k) p[k] -= (room - *gap) * n[k];
  }
}

std::vector<std::uint8_t> well_covered(const std::vector<Point>& points, const std::vector<Point>& normals,
                                       const std::vector<const Cloth*>& cloths, float reach, float margin) {
  std::vector<std::uint8_t> out(points.size(), 0);
  const auto count = static_cast<std::int64_t>(points.size());
#pragma omp parallel for schedule(dynamic, 256)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    for (const Cloth* cloth : cloths)
      if (cloth->gap(points[at], normals[at], reach, 0) && cloth->border_distance(points[at]) > margin) out[at] = 1;
  }
  return out;
}

}  // namespace layeravatar::people
