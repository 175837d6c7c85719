// Other colours for garments and hair, with the texture's detail kept.
#pragma once
#include <array>

#include "layeravatar/io/png.h"

namespace layeravatar::people {

struct Recolour {
  enum class Kind { kKeep, kHue, kTint } kind = Kind::kKeep;
  double turn = 0;                      // kHue: rotation of the hue, 0..1 is a full turn
  double saturation = 1, value = 1;     // kHue: factors
  std::array<double, 3> tint{1, 1, 1};  // kTint: the mean colour wanted, 0..1
  double contrast = 1;                  // kTint: of the luminance about its mean
};

/// RGB or RGBA; alpha stays. Means are taken over texels with alpha above one half.
io::Image recolour(const io::Image& image, const Recolour& how);

}  // namespace layeravatar::people
