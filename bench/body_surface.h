// Points on a body of 1.7 m made of ellipsoids, dressed in layers of the official counts.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <vector>

namespace layeravatar::bench {

struct SurfacePoint {
  std::array<float, 3> at, normal;  // metres, the pelvis at the origin, y up
  float size;                       // expected root mean square distance to the three nearest points of the layer
  std::uint8_t component;           // 0 body, 1 top, 2 hair, 3 shoes, 4 bottom
};

struct Ellipsoid {
  std::array<double, 3> centre, half;
  [[nodiscard]] double area() const {  // Thomsen's approximation, to 1 %
    const double p = 1.6075, a = std::pow(half[0], p), b = std::pow(half[1], p), c = std::pow(half[2], p);
    return 4 * std::numbers::pi * std::pow((a * b + a * c + b * c) / 3, 1 / p);
  }
};

inline const std::array<Ellipsoid, 11> kBodyParts = {{
    // 1.7 square metres of skin
    {{0, 0.72, 0}, {0.075, 0.12, 0.095}},      // 0 head
    {{0, 0.33, 0}, {0.16, 0.28, 0.11}},        // 1 trunk
    {{0, 0.00, 0}, {0.15, 0.13, 0.12}},        // 2 hips
    {{0.32, 0.48, 0}, {0.18, 0.04, 0.04}},     // 3 upper arms
    {{-0.32, 0.48, 0}, {0.18, 0.04, 0.04}},
    {{0.62, 0.48, 0}, {0.20, 0.035, 0.035}},   // 5 lower arms
    {{-0.62, 0.48, 0}, {0.20, 0.035, 0.035}},
    {{0.10, -0.42, 0}, {0.07, 0.44, 0.07}},    // 7 legs
    {{-0.10, -0.42, 0}, {0.07, 0.44, 0.07}},
    {{0.10, -0.82, 0.05}, {0.045, 0.035, 0.11}},  // 9 feet
    {{-0.10, -0.82, 0.05}, {0.045, 0.035, 0.11}},
}};

/// Interleaved bits of the place in cells of 4 mm: close points come close together, as faces do in a mesh.
inline std::uint64_t curve_place(const SurfacePoint& p) {
  std::uint64_t out = 0;
  for (std::size_t k = 0; k < 3; ++k) {
    const auto cell = static_cast<std::uint64_t>((p.at[k] + 2) * 250);
    for (int bit = 0; bit < 10; ++bit) out |= (cell >> bit & 1) << (3 * bit + static_cast<int>(k));
  }
  return out;
}

/// `count` points spread evenly over some parts, `off` metres outside.
inline void add_layer(std::vector<SurfacePoint>& out, std::int64_t count, const std::vector<int>& parts, float off, std::uint8_t component,
                      std::mt19937& random) {
  const auto begin = static_cast<std::ptrdiff_t>(out.size());
  double area = 0;
  for (const int p : parts) area += kBodyParts[static_cast<std::size_t>(p)].area();
  // Random points: the squared distance to the k-th nearest is k / (pi density) on average.
  const auto size = static_cast<float>(std::sqrt(2 * area / (std::numbers::pi * static_cast<double>(count))));
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  std::int64_t left = count;
  for (std::size_t k = 0; k < parts.size(); ++k) {
    const Ellipsoid& e = kBodyParts[static_cast<std::size_t>(parts[k])];
    const auto share = static_cast<std::int64_t>(static_cast<double>(count) * e.area() / area);
    std::int64_t here = k + 1 == parts.size() ? left : std::min(left, share);
    left -= here;
    const double least = std::min({e.half[0], e.half[1], e.half[2]});
    while (here > 0) {
      std::array<double, 3> u{normal(random), normal(random), normal(random)}, n;
      const double length = std::hypot(u[0], u[1], u[2]);
      double stretch = 0;
      for (std::size_t i = 0; i < 3; ++i) {
        u[i] /= length;
        n[i] = u[i] / e.half[i];
        stretch += n[i] * n[i];
      }
      stretch = std::sqrt(stretch);
      if (uniform(random) > least * stretch) continue;  // the sphere's area element times this is the ellipsoid's
      SurfacePoint p{};
      for (std::size_t i = 0; i < 3; ++i) {
        p.normal[i] = static_cast<float>(n[i] / stretch);
        p.at[i] = static_cast<float>(e.centre[i] + e.half[i] * u[i]) + off * p.normal[i];
      }
      p.size = size;
      p.component = component;
      out.push_back(p);
      --here;
    }
  }
  std::sort(out.begin() + begin, out.end(), [](const auto& a, const auto& b) { return curve_place(a) < curve_place(b); });
}

/// Blocks in the template's order: body, hair and shoes, bottom, top. `scale` times the official counts.
inline std::vector<SurfacePoint> dressed_body(double scale = 1) {
  std::mt19937 random(3);
  std::vector<SurfacePoint> out;
  const auto of = [&](double n) { return static_cast<std::int64_t>(n * scale); };
  add_layer(out, of(34858), {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0, 0, random);
  add_layer(out, of(12000), {0}, 0.01F, 2, random);
  add_layer(out, of(21424) - of(12000), {9, 10}, 0.01F, 3, random);
  add_layer(out, of(11056), {2, 7, 8}, 0.01F, 4, random);
  add_layer(out, of(22152), {1, 3, 4}, 0.01F, 1, random);
  return out;
}

}  // namespace layeravatar::bench
