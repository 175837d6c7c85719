#include "layeravatar/people/recolour.h"

#include <algorithm>
#include <cmath>

#include "layeravatar/core/error.h"

namespace layeravatar::people {
namespace {

std::uint8_t byte(double x) { return static_cast<std::uint8_t>(std::lround(255 * std::clamp(x, 0.0, 1.0))); }

double luminance(const double* c) { return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]; }

// Rotates the hue about the grey axis (a rotation of the colour cube), keeps the luminance.
void turn_hue(double* c, double turn, double saturation, double value) {
  const double a = turn * 2 * 3.14159265358979323846, cosine = std::cos(a), sine = std::sin(a) / std::sqrt(3.0);
  const double y = luminance(c), third = (1 - cosine) / 3;
  const double r = c[0], g = c[1], b = c[2];
  double out[3] = {(cosine + third) * r + (third - sine) * g + (third + sine) * b,
                   (third + sine) * r + (cosine + third) * g + (third - sine) * b,
                   (third - sine) * r + (third + sine) * g + (cosine + third) * b};
  const double moved = luminance(out);
  for (int k = 0; k < 3; ++k) c[k] = value * (y + saturation * (out[k] - moved));
}

// Highlights up to less than twice the mean, without a kink.
double softly_bright(double relative) { return relative <= 1 ? relative : 2 - std::exp(1 - relative); }

// Nears 1 from 0.75 on instead of clipping there.
double below_white(double x) { return x <= 0.75 ? x : 1 - 0.25 * std::exp((0.75 - x) / 0.25); }

}  // namespace

io::Image recolour(const io::Image& image, const Recolour& how) {
  LAV_CHECK(image.channels == 3 || image.channels == 4, "expected RGB or RGBA");
  if (how.kind == Recolour::Kind::kKeep) return image;
  io::Image out = image;
  const std::size_t n = image.pixels.size() / static_cast<std::size_t>(image.channels);
  const auto step = static_cast<std::size_t>(image.channels);
  double sum = 0, count = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (step == 4 && image.pixels[4 * i + 3] < 128) continue;
    const double c[3] = {image.pixels[step * i] / 255.0, image.pixels[step * i + 1] / 255.0,
                         image.pixels[step * i + 2] / 255.0};
    sum += luminance(c);
    count += 1;
  }
  const double mean = std::max(sum / std::max(count, 1.0), 0.02);
  for (std::size_t i = 0; i < n; ++i) {
    double c[3];
    for (std::size_t k = 0; k < 3; ++k) c[k] = image.pixels[step * i + k] / 255.0;
    if (how.kind == Recolour::Kind::kHue) {
      turn_hue(c, how.turn, how.saturation, how.value);
    } else {
      const double relative = std::max(0.0, 1 + how.contrast * (luminance(c) / mean - 1));
      for (std::size_t k = 0; k < 3; ++k) c[k] = below_white(how.tint[k] * softly_bright(relative));
    }
    for (std::size_t k = 0; k < 3; ++k) out.pixels[step * i + k] = byte(c[k]);
  }
  return out;
}

}  // namespace layeravatar::people
