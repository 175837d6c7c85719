// What lies under a garment in the rest pose, and how it is kept from showing through.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "layeravatar/geometry/ray_caster.h"
#include "layeravatar/people/human_assets.h"

namespace layeravatar::people {

using Quads = std::vector<std::array<std::int32_t, 4>>;

/// (0,1,2) and (0,2,3) of every quad.
std::vector<std::array<std::int32_t, 3>> triangles_of(const Quads& quads);

/// A garment's surface, decimetres.
class Cloth {
 public:
  Cloth(const std::vector<Point>& rest, const Quads& quads);

  /// Way from a point along its outward normal to the cloth: positive up to `above` where the point lies under it,
  /// negative down to -`below` where it sticks out. Nothing where neither is the case.
  [[nodiscard]] std::optional<float> gap(const Point& point, const Point& normal, float above, float below) const;

  /// To the nearest vertex of an open border; infinite without one.
  [[nodiscard]] float border_distance(const Point& point) const;

 private:
  geometry::RayCaster caster_;
  std::vector<Point> border_;
};

/// Moves points inwards until they lie at least `room` under the cloth, where they lie less far under it or stick out
/// by at most `below`.
void settle(std::vector<Point>& points, const std::vector<Point>& normals, const Cloth& cloth, float room, float below);

/// 1 where some cloth lies above the point within `reach` and its border is farther away than `margin`: there the point
/// is never seen, also in moderate poses.
std::vector<std::uint8_t> well_covered(const std::vector<Point>& points, const std::vector<Point>& normals,
                                       const std::vector<const Cloth*>& cloths, float reach, float margin);

}  // namespace layeravatar::people
