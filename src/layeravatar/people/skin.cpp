#include "layeravatar/people/skin.h"

#include <algorithm>
#include <cmath>

#include "layeravatar/core/error.h"

namespace layeravatar::people {
namespace {

constexpr double kBeyond = 2.0;    // texels beyond a chart
constexpr double kLegRise = 0.35;  // of the leg openings towards the sides
constexpr double kSoft = 0.05;     // decimetres over which the cloth's edge fades

/// Of a joint of the mean body, decimetres.
std::array<double, 3> mean_joint(const Cc0Body& body, int joint) {
  std::array<double, 3> out{};
  const auto& ids = body.joint_base_vertices[static_cast<std::size_t>(joint)];
  for (const auto id : ids)
    for (std::size_t k = 0; k < 3; ++k)
      out[k] += body.rest_mean[3 * static_cast<std::size_t>(id) + k] / static_cast<double>(ids.size());
  return out;
}

/// Where cloth is: a point of the mean body in the rest A-pose to 0..1.
class Underwear {
 public:
  explicit Underwear(const Cc0Body& body) {
    const auto shoulder = mean_joint(body, 16), neck = mean_joint(body, 12), hip = mean_joint(body, 1);
    side_ = shoulder[0] - 0.15;
    top_ = shoulder[1] + 0.55;
    front_ = neck[1] - 1.5;  // of the neckline in the middle
    back_ = neck[1] - 0.9;
    middle_ = neck[2];
    bottom_ = hip[1] - 1.1;  // between the legs: 2 cm below the crotch
    armpit_ = shoulder[1] - 1.0;
  }

  double operator()(const std::array<double, 3>& p) const {
    // The neckline runs as a parabola from the middle to the straps.
    const double lowest = p[2] > middle_ ? front_ : back_, x = p[0] / (0.75 * side_);
    const double neckline = std::min(top_, lowest + (top_ - lowest) * x * x);
    const double side = side_ + 0.3 * std::max(0.0, armpit_ - p[1]);  // between trunk and hanging arms
    const double leg = bottom_ + kLegRise * std::abs(p[0]);
    const double inside = std::min({neckline - p[1], p[1] - leg, side - std::abs(p[0])});
    return std::clamp(inside / kSoft + 0.5, 0.0, 1.0);
  }

 private:
  double side_, top_, front_, back_, middle_, bottom_, armpit_;
};

}  // namespace

std::vector<float> underwear_coverage(const BaseMesh& base, const Cc0Body& body, int size) {
  LAV_CHECK(size > 0 && size <= 8192, "size of a texture");
  const Underwear cloth(body);
  const auto width = static_cast<std::size_t>(size);
  std::vector<float> out(width * width, 0.0F);
  std::vector<double> beyond(width * width, kBeyond);  // how far outside its triangle a texel's value was found
  for (std::size_t q = 0; q < base.quads.size(); ++q) {
    if (base.groups[static_cast<std::size_t>(base.quad_group[q])] != "body") continue;
    for (const std::size_t k : {1, 2}) {
      const std::size_t corner[3] = {0, k, k + 1};
      double x[3], y[3];
      std::array<double, 3> p[3];
      for (std::size_t c = 0; c < 3; ++c) {
        const auto& uv = base.uvs[static_cast<std::size_t>(base.quad_uvs[q][corner[c]])];
        x[c] = static_cast<double>(uv[0]) * size - 0.5;
        y[c] = (1 - static_cast<double>(uv[1])) * size - 0.5;
        const auto v = static_cast<std::size_t>(base.quads[q][corner[c]]);
        p[c] = {body.rest_mean[3 * v], body.rest_mean[3 * v + 1], body.rest_mean[3 * v + 2]};
      }
      const double area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0]);
      if (area == 0) continue;
      double height[3];  // of the triangle above the edge opposite a corner, texels
      for (std::size_t c = 0; c < 3; ++c) {
        const std::size_t a = (c + 1) % 3, b = (c + 2) % 3;
        height[c] = std::abs(area) / std::max(std::hypot(x[b] - x[a], y[b] - y[a]), 1e-9);
      }
      const auto first = [&](const double* v) {
        return std::clamp(static_cast<int>(std::floor(std::min({v[0], v[1], v[2]}) - kBeyond)), 0, size - 1);
      };
      const auto last = [&](const double* v) {
        return std::clamp(static_cast<int>(std::ceil(std::max({v[0], v[1], v[2]}) + kBeyond)), 0, size - 1);
      };
      for (int ty = first(y); ty <= last(y); ++ty)
        for (int tx = first(x); tx <= last(x); ++tx) {
          double b[3];
          b[1] = ((tx - x[0]) * (y[2] - y[0]) - (ty - y[0]) * (x[2] - x[0])) / area;
          b[2] = ((x[1] - x[0]) * (ty - y[0]) - (y[1] - y[0]) * (tx - x[0])) / area;
          b[0] = 1 - b[1] - b[2];
          const double out_by = std::max({0.0, -b[0] * height[0], -b[1] * height[1], -b[2] * height[2]});
          const std::size_t at = static_cast<std::size_t>(ty) * width + static_cast<std::size_t>(tx);
          if (out_by >= beyond[at]) continue;
          beyond[at] = out_by;
          std::array<double, 3> point{};
          for (std::size_t c = 0; c < 3; ++c)
            for (std::size_t d = 0; d < 3; ++d) point[d] += b[c] * p[c][d];
          out[at] = static_cast<float>(cloth(point));
        }
    }
  }
  return out;
}

io::Image paint_skin(const io::Image& skin, const std::array<float, 3>& tone, const std::vector<float>& coverage,
                     const std::array<float, 3>& cloth) {
  const auto size = static_cast<int>(std::lround(std::sqrt(static_cast<double>(coverage.size()))));
  const auto side = static_cast<std::size_t>(size);
  LAV_CHECK(size > 0 && side * side == coverage.size(), "a square coverage");
  io::Image out{skin.width, skin.height, 3, {}};
  const auto channels = static_cast<std::size_t>(skin.channels), width = static_cast<std::size_t>(skin.width);
  out.pixels.reserve(3 * width * static_cast<std::size_t>(skin.height));
  for (int y = 0; y < skin.height; ++y)
    for (int x = 0; x < skin.width; ++x) {
      const auto from = channels * (static_cast<std::size_t>(y) * width + static_cast<std::size_t>(x));
      const auto row = static_cast<std::size_t>(static_cast<std::int64_t>(y) * size / skin.height);
      const auto column = static_cast<std::size_t>(static_cast<std::int64_t>(x) * size / skin.width);
      const float cover = coverage[row * side + column];
      for (std::size_t k = 0; k < 3; ++k) {
        const float own = std::min(255.0F, tone[k] * static_cast<float>(skin.pixels[from + std::min(k, channels - 1)]));
        out.pixels.push_back(static_cast<std::uint8_t>(std::lround(own + cover * (255 * cloth[k] - own))));
      }
    }
  return out;
}

}  // namespace layeravatar::people
