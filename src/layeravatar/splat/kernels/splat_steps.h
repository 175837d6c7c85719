// Steps that the splatter's sources share; not a public header.
#pragma once
#include "layeravatar/splat/kernels/splat_kernel.h"

namespace layeravatar::splat {

inline constexpr int kTile = 16;          // pixels, both ways
inline constexpr int kBlock = 4;          // pixels, both ways
inline constexpr int kBlocks = 16;        // in a tile: block 4 * column + row
inline constexpr int kBlockPixels = 16;   // pixel 4 * row + column
inline constexpr int kImages = 6;         // pictures with colours: full, then the components
inline constexpr int kOutputs = 7;        // transmittances: the pictures', then the inner body's
inline constexpr int kFull = 0, kInner = 6;

inline constexpr float kNearDepth = 0.2F;
inline constexpr float kViewLimit = 1.3F;  // times the tangent of the half field of view
inline constexpr float kDilation = 0.3F;   // pixels squared

/// Sums over the pixels of one tile, or of a whole splat: with v = dL/d(exponent) and d = mean - pixel. One cache line.
struct alignas(64) SlotGradient {
  float x, y, xx, xy;  // v d, v d d
  float yy, opacity, depth, r;
  float g, b, unused[6];
};

/// One tile's place in the image.
struct TilePlace {
  int x, y;           // first pixel
  int rows, columns;  // inside the image
};

inline TilePlace place_of(const SplatInput& in, const SplatScratch& s, std::int64_t tile) {
  const int x = static_cast<int>(tile % s.tiles_x) * kTile, y = static_cast<int>(tile / s.tiles_x) * kTile;
  const int rows = in.view.height - y, columns = in.view.width - x;
  return {x, y, rows < kTile ? rows : kTile, columns < kTile ? columns : kTile};
}

/// Image `index` of [*, H, W] at the first pixel of a tile, or null.
template <class Float>
Float* plane_at(Float* images, int index, const SplatInput& in, const TilePlace& p) {
  if (images == nullptr) return nullptr;
  return images + (static_cast<std::int64_t>(index) * in.view.height + p.y) * in.view.width + p.x;
}

void project(const SplatInput& input, SplatScratch& scratch, std::int64_t begin, std::int64_t end);
void project_and_sort(const SplatInput& input, SplatScratch& scratch);
void screen_to_world(const SplatInput& input, const SplatScratch& scratch, const PooledArray<SlotGradient>& of_slot, const SplatGradients& out);

}  // namespace layeravatar::splat
