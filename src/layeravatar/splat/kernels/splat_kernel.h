// The layered splatter: full image, five components, inner body, depth and component weights from one depth-sorted
// list. Maths: spec/body_and_data.md sections 8 to 10. Plain C++, no LibTorch.
#pragma once
#include <array>
#include <cstdint>

#include "layeravatar/core/pooled_memory.h"

namespace layeravatar::splat {

inline constexpr int kComponents = 5;             // body, top, hair, shoes, bottom
inline constexpr std::uint8_t kNoComponent = 255; // drawn in the full image alone

struct SplatView {
  std::array<float, 12> camera_from_world;  // 3 x 4, row-major
  float focal = 0;                          // pixels
  int width = 0, height = 0;
};

/// N Gaussians.
struct SplatInput {
  const float* means;               // [N, 3]
  const float* covariances;         // [N, 6] xx xy xz yy yz zz
  const float* colours;             // [N, 3]
  const float* opacities;           // [N]
  const std::uint8_t* components;   // [N] 0..4 or kNoComponent
  std::int64_t count;
  SplatView view;
  std::array<float, 3> background;
  float min_opacity;                // Gaussians at or below take part in nothing
  bool with_components;             // component and inner outputs are wanted
  bool empty_is_black;              // an output without Gaussians is zero instead of background
};

/// Planar images; each may be filled or, for the component outputs, null when not wanted.
struct SplatImages {
  float* full;               // [3, H, W]
  float* alpha;              // [H, W]
  float* depth;              // [H, W]
  float* components;         // [5, 3, H, W]
  float* component_alphas;   // [5, H, W]
  float* inner_alpha;        // [H, W]
  float* component_weights;  // [5, H, W]
};

/// One projected Gaussian as the tiles read it: one cache line.
struct alignas(64) ProjectedSplat {
  float x, y;                                // pixels
  float exponent_xx, exponent_xy, exponent_yy;  // the Gaussian is 2^(xx dx^2 + xy dx dy + yy dy^2)
  float opacity;
  float r, g, b;
  float depth;
  // Where alpha may reach 1/255: at dy from the centre, slope dy +- sqrt(half_square (reach - inverse_c dy^2)).
  float slope, half_square, inverse_c, reach;
  float right_dy;  // dy of the rightmost point; the leftmost one has -right_dy
  float top;       // largest dy
};

/// Where a projected Gaussian lies in the lists.
struct SplatTiles {
  std::int16_t x0, x1, y0, y1;  // tiles touched, the ends excluded; none when not visible
  std::uint32_t first_slot;     // of its (splat, tile) pairs, which follow one another row by row of tiles
  std::uint8_t component;
  bool visible;
};

/// One splat in the list of one tile.
struct SplatPair {
  std::uint32_t splat, slot;
  std::uint16_t blocks;  // 4 x 4 pixel blocks that it can reach: bit 4 * column + row
  std::uint8_t component;
};

/// Kept from forward to backward.
struct SplatScratch {
  PooledArray<ProjectedSplat> splats;     // [N]; those of invisible Gaussians are not set
  PooledArray<SplatTiles> places;         // [N]
  PooledArray<SplatPair> pairs;           // by tile, then by depth, then by index
  PooledArray<std::uint32_t> tile_start;  // [tiles + 1]
  PooledArray<std::uint32_t> tile_stop;   // [tiles] where the last output of a tile ends; blocks are set up to there
  std::array<bool, kComponents> component_empty{};
  bool empty = true;
  int tiles_x = 0, tiles_y = 0;
};

/// The result does not depend on the number of threads.
void splat_forward_cpu(const SplatInput& input, const SplatImages& out, SplatScratch& scratch);

/// Gradients of the images (null: zero). Inner alpha moves geometry alone; component weights have no gradient.
struct SplatImageGradients {
  const float* full;
  const float* alpha;
  const float* depth;
  const float* components;
  const float* component_alphas;
  const float* inner_alpha;
};

/// Overwritten; sums over pixels are in a fixed order.
struct SplatGradients {
  float* means;        // [N, 3]
  float* covariances;  // [N, 6]
  float* colours;      // [N, 3]
  float* opacities;    // [N]
};

/// The reference's public gradient (section 9): alpha's clamp at 0.99 is ignored, clamped view angles only stop x and
/// y. `images` are the outputs of the forward pass with the same input.
void splat_backward_cpu(const SplatInput& input, const SplatImages& images, const SplatScratch& scratch,
                        const SplatImageGradients& grad, const SplatGradients& out);

}  // namespace layeravatar::splat
