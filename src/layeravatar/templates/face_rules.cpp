#include "layeravatar/templates/face_rules.h"

#include <algorithm>
#include <cmath>

namespace layeravatar::templates {
namespace {

using Vec3 = std::array<double, 3>;

Vec3 unit(const Vec3& v) {
  const double n = std::max(std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]), 1e-12);
  return {v[0] / n, v[1] / n, v[2] / n};
}

Vec3 cross(const Vec3& a, const Vec3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

}  // namespace

std::array<std::array<std::int32_t, 3>, 4> one_to_four(const std::array<std::int32_t, 3>& face,
                                                       const std::array<std::int32_t, 3>& midpoints) {
  const auto [a, b, c] = face;
  const auto [ab, bc, ca] = midpoints;
  return {{{a, ab, ca}, {ab, b, bc}, {ca, bc, c}, {ab, bc, ca}}};
}

std::array<float, 9> tangent_frame(const std::array<std::array<float, 3>, 3>& points,
                                   const std::array<std::array<double, 2>, 3>& uvs) {
  Vec3 e1, e2, tangent;
  for (std::size_t k = 0; k < 3; ++k) e1[k] = points[1][k] - points[0][k], e2[k] = points[2][k] - points[0][k];
  const double d1x = uvs[1][0] - uvs[0][0], d1y = uvs[1][1] - uvs[0][1];
  const double d2x = uvs[2][0] - uvs[0][0], d2y = uvs[2][1] - uvs[0][1];
  const double g = 1 / (d1x * d2y - d1y * d2x + 1e-12);
  for (std::size_t k = 0; k < 3; ++k) tangent[k] = g * (e1[k] * d2y - e2[k] * d1y);
  tangent = unit(tangent);
  const Vec3 normal = unit(cross(e1, e2)), bitangent = unit(cross(normal, tangent));
  std::array<float, 9> out;
  for (std::size_t k = 0; k < 3; ++k) {
    out[3 * k] = static_cast<float>(tangent[k]);
    out[3 * k + 1] = static_cast<float>(bitangent[k]);
    out[3 * k + 2] = static_cast<float>(normal[k]);
  }
  return out;
}

}  // namespace layeravatar::templates
