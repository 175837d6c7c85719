#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "layeravatar/core/error.h"
#include "layeravatar/geometry/rasterize.h"

namespace layeravatar::geometry {

template <class Drop>
Visibility rasterize(std::span<const std::array<float, 3>> vertices_in_world,
                     std::span<const std::array<std::int32_t, 3>> triangles, const Camera& camera, Drop drop) {
  constexpr double kNear = 0.1;
  struct Pixel {
    double x, y, z;
  };
  std::vector<Pixel> projected;
  projected.reserve(vertices_in_world.size());
  const auto& m = camera.camera_from_world;
  for (const auto& p : vertices_in_world) {
    double q[3];
    for (int r = 0; r < 3; ++r) q[r] = m[4 * r] * p[0] + m[4 * r + 1] * p[1] + m[4 * r + 2] * p[2] + m[4 * r + 3];
    projected.push_back({camera.focal * q[0] / q[2] + (camera.width - 1) / 2.0,
                         camera.focal * q[1] / q[2] + (camera.height - 1) / 2.0, q[2]});
  }
  Visibility out;
  out.width = camera.width;
  out.height = camera.height;
  const auto pixels = static_cast<std::size_t>(camera.width) * static_cast<std::size_t>(camera.height);
  out.triangle.assign(pixels, -1);
  out.barycentric.assign(pixels, {0, 0, 0});
  out.depth.assign(pixels, std::numeric_limits<float>::infinity());
  for (std::size_t t = 0; t < triangles.size(); ++t) {
    Pixel c[3];
    bool visible = true;
    for (std::size_t k = 0; k < 3; ++k) {
      const auto id = triangles[t][k];
      LAV_CHECK(id >= 0 && static_cast<std::size_t>(id) < projected.size(), "triangle index out of range");
      c[k] = projected[static_cast<std::size_t>(id)];
      visible = visible && c[k].z > kNear && std::isfinite(c[k].x + c[k].y);
    }
    const double area = (c[1].x - c[0].x) * (c[2].y - c[0].y) - (c[1].y - c[0].y) * (c[2].x - c[0].x);
    if (!visible || area == 0) continue;
    const auto first = [](double low, double limit) { return static_cast<int>(std::clamp(std::ceil(low), 0.0, limit)); };
    const auto last = [](double high, double limit) { return static_cast<int>(std::clamp(std::floor(high), -1.0, limit)); };
    const int x0 = first(std::min({c[0].x, c[1].x, c[2].x}), camera.width);
    const int x1 = last(std::max({c[0].x, c[1].x, c[2].x}), camera.width - 1);
    const int y0 = first(std::min({c[0].y, c[1].y, c[2].y}), camera.height);
    const int y1 = last(std::max({c[0].y, c[1].y, c[2].y}), camera.height - 1);
    for (int y = y0; y <= y1; ++y)
      for (int x = x0; x <= x1; ++x) {
        const double b1 = ((x - c[0].x) * (c[2].y - c[0].y) - (y - c[0].y) * (c[2].x - c[0].x)) / area;
        const double b2 = ((c[1].x - c[0].x) * (y - c[0].y) - (c[1].y - c[0].y) * (x - c[0].x)) / area;
        const double b0 = 1 - b1 - b2;
        if (b0 < 0 || b1 < 0 || b2 < 0) continue;
        const double inverse = b0 / c[0].z + b1 / c[1].z + b2 / c[2].z;
        const auto z = static_cast<float>(1 / inverse);
        const auto at = static_cast<std::size_t>(y) * static_cast<std::size_t>(camera.width) + static_cast<std::size_t>(x);
        if (z >= out.depth[at]) continue;
        const std::array<float, 3> weights{static_cast<float>(b0 / c[0].z / inverse),
                                           static_cast<float>(b1 / c[1].z / inverse),
                                           static_cast<float>(b2 / c[2].z / inverse)};
        if (drop(t, weights)) continue;
        out.depth[at] = z;
        out.triangle[at] = static_cast<std::int32_t>(t);
        out.barycentric[at] = weights;
      }
  }
  return out;
}

inline Visibility rasterize(std::span<const std::array<float, 3>> vertices_in_world,
                            std::span<const std::array<std::int32_t, 3>> triangles, const Camera& camera) {
  return rasterize(vertices_in_world, triangles, camera,
                   [](std::size_t, const std::array<float, 3>&) { return false; });
}

}  // namespace layeravatar::geometry
