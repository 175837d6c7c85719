#include "layeravatar/templates/subdivision.h"

#include <cmath>
#include <map>

#include "layeravatar/core/error.h"
#include "layeravatar/templates/face_rules.h"

namespace layeravatar::templates {
namespace {

constexpr double kPerUnit = 1e8;  // coordinates that round to the same multiple of 1e-8 are the same

double mean(float a, float b) { return (static_cast<double>(a) + static_cast<double>(b)) / 2; }

}  // namespace

Subdivision subdivide(std::span<const float> points, std::size_t width, std::span<const Triangle> faces) {
  LAV_CHECK(width > 0 && width <= 3 && points.size() % width == 0, "points of up to three coordinates");
  const auto count = static_cast<std::int32_t>(points.size() / width);
  Subdivision out;
  std::map<std::array<double, 3>, std::int32_t> known;
  std::vector<Triangle> midpoints(faces.size());
  for (std::size_t edge = 0; edge < 3; ++edge)
    for (std::size_t f = 0; f < faces.size(); ++f) {
      const std::int32_t a = faces[f][edge], b = faces[f][(edge + 1) % 3];
      LAV_CHECK(a >= 0 && a < count && b >= 0 && b < count, "a face of known points");
      std::array<double, 3> key{};
      for (std::size_t k = 0; k < width; ++k)
        key[k] = std::nearbyint(kPerUnit * mean(points[static_cast<std::size_t>(a) * width + k],
                                                points[static_cast<std::size_t>(b) * width + k]));
      const auto [at, is_new] = known.emplace(key, count + static_cast<std::int32_t>(out.ends.size()));
      if (is_new) out.ends.push_back({a, b});
      midpoints[f][edge] = at->second;
    }
  for (std::size_t f = 0; f < faces.size(); ++f)
    for (const Triangle& child : one_to_four(faces[f], midpoints[f])) out.faces.push_back(child);
  return out;
}

std::vector<float> with_midpoints(std::span<const float> values, std::size_t width, const Subdivision& division) {
  std::vector<float> out(values.begin(), values.end());
  out.reserve(values.size() + width * division.ends.size());
  for (const auto& [a, b] : division.ends)
    for (std::size_t k = 0; k < width; ++k)
      out.push_back(static_cast<float>(
          mean(values[static_cast<std::size_t>(a) * width + k], values[static_cast<std::size_t>(b) * width + k])));
  return out;
}

}  // namespace layeravatar::templates
