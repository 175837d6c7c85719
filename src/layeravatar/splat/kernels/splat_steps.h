// Steps that the splatter's sources share; not a public header.
#pragma once
#include <vector>

#include "layeravatar/splat/kernels/splat_kernel.h"

namespace layeravatar::splat {

inline constexpr int kTile = 16;  // pixels, both ways

/// Sums over the pixels of one tile, or of a whole splat: with v = dL/d(exponent) and d = mean - pixel.
struct SlotGradient {
  float x = 0, y = 0;               // v d
  float xx = 0, xy = 0, yy = 0;     // v d d
  float opacity = 0, depth = 0;
  float r = 0, g = 0, b = 0;
  SlotGradient& operator+=(const SlotGradient& o) {
    x += o.x, y += o.y, xx += o.xx, xy += o.xy, yy += o.yy, opacity += o.opacity, depth += o.depth;
    r += o.r, g += o.g, b += o.b;
    return *this;
  }
};

void project_and_sort(const SplatInput& input, SplatScratch& scratch);
void screen_to_world(const SplatInput& input, const SplatScratch& scratch, const std::vector<SlotGradient>& slots,
                     const SplatGradients& out);

}  // namespace layeravatar::splat
