// Which triangle each pixel centre sees: the exact visibility behind rendered views and label images.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "layeravatar/geometry/camera.h"

namespace layeravatar::geometry {

/// Row-major, one entry per pixel. Where nothing is hit: triangle -1, depth +infinity.
struct Visibility {
  int width = 0, height = 0;
  std::vector<std::int32_t> triangle;
  std::vector<std::array<float, 3>> barycentric;  // perspective-correct, of the triangle's corners
  std::vector<float> depth;                       // metres along the camera's z
};

/// Both sides are drawn; the nearer surface wins, at equal depth the lower triangle index. A triangle with a corner
/// nearer than 0.1 m is skipped. `drop(triangle, barycentric)` may reject a hit (alpha test); may be empty.
/// Throws Error(kInternal) for an index out of range.
template <class Drop>
Visibility rasterize(std::span<const std::array<float, 3>> vertices_in_world,
                     std::span<const std::array<std::int32_t, 3>> triangles, const Camera& camera, Drop drop);

Visibility rasterize(std::span<const std::array<float, 3>> vertices_in_world,
                     std::span<const std::array<std::int32_t, 3>> triangles, const Camera& camera);

}  // namespace layeravatar::geometry

#include "layeravatar/geometry/rasterize_impl.h"
