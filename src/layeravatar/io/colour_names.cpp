#include "layeravatar/io/colour_names.h"

#include <cmath>
#include <limits>

namespace layeravatar::io {
namespace {

struct Named {
  const char* name;
  std::array<double, 3> rgb;
};
constexpr Named kNamed[] = {
    {"black", {0.10, 0.10, 0.10}},  {"grey", {0.45, 0.45, 0.45}},   {"white", {0.86, 0.86, 0.86}},  {"red", {0.62, 0.16, 0.16}},
    {"orange", {0.80, 0.45, 0.15}}, {"yellow", {0.78, 0.70, 0.22}}, {"green", {0.22, 0.52, 0.24}},  {"turquoise", {0.22, 0.58, 0.58}},
    {"blue", {0.22, 0.32, 0.66}},   {"navy", {0.12, 0.15, 0.32}},   {"purple", {0.45, 0.22, 0.58}}, {"pink", {0.78, 0.42, 0.58}},
    {"brown", {0.36, 0.23, 0.14}},  {"beige", {0.74, 0.64, 0.50}}};

// CIELAB with lightness by half, as cloth is compared (CMC 2:1): hue tells more.
std::array<double, 3> lab(const std::array<double, 3>& rgb) {
  std::array<double, 3> linear{};
  for (std::size_t k = 0; k < 3; ++k) linear[k] = rgb[k] <= 0.04045 ? rgb[k] / 12.92 : std::pow((rgb[k] + 0.055) / 1.055, 2.4);
  const auto f = [](double t) { return t > 216.0 / 24389 ? std::cbrt(t) : (24389.0 / 27 * t + 16) / 116; };
  const double x = f((0.4124564 * linear[0] + 0.3575761 * linear[1] + 0.1804375 * linear[2]) / 0.95047);
  const double y = f(0.2126729 * linear[0] + 0.7151522 * linear[1] + 0.0721750 * linear[2]);
  const double z = f((0.0193339 * linear[0] + 0.1191920 * linear[1] + 0.9503041 * linear[2]) / 1.08883);
  return {(116 * y - 16) / 2, 500 * (x - y), 200 * (y - z)};
}

}  // namespace

std::optional<std::array<double, 3>> named_colour(const std::string& text) {
  for (const Named& one : kNamed)
    if (text == one.name) return one.rgb;
  if (text.size() != 7 || text[0] != '#' || text.find_first_not_of("0123456789abcdefABCDEF", 1) != std::string::npos) return std::nullopt;
  std::array<double, 3> out{};
  for (std::size_t k = 0; k < 3; ++k) out[k] = std::stoi(text.substr(1 + 2 * k, 2), nullptr, 16) / 255.0;
  return out;
}

std::string nearest_colour_name(const std::array<double, 3>& rgb) {
  const auto own = lab(rgb);
  const char* best = "";
  double least = std::numeric_limits<double>::max();
  for (const Named& one : kNamed) {
    const auto other = lab(one.rgb);
    double distance = 0;
    for (std::size_t k = 0; k < 3; ++k) distance += (own[k] - other[k]) * (own[k] - other[k]);
    if (distance < least) least = distance, best = one.name;
  }
  return best;
}

std::vector<std::string> colour_names() {
  std::vector<std::string> out;
  for (const Named& one : kNamed) out.emplace_back(one.name);
  return out;
}

}  // namespace layeravatar::io
