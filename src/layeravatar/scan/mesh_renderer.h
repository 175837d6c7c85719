// Multi-view pictures of a textured mesh (spec/body_and_data.md section 11.2): the one rasteriser behind the scans' and
// the CC0 people's training views.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "layeravatar/geometry/camera.h"
#include "layeravatar/io/png.h"
#include "layeravatar/scan/texture_pyramid.h"

namespace layeravatar::scan {

using Point = std::array<float, 3>;
using Triangle = std::array<std::int32_t, 3>;

/// Cut-outs: what has less alpha is not there.
inline constexpr float kAlphaTest = 0.45F;
inline constexpr std::size_t kLabels = 6;

/// A mesh that lies elsewhere; what is optional may be empty.
struct Surface {
  std::span<const Point> vertices;             // metres, world
  std::span<const std::array<float, 2>> uvs;   // v up
  std::span<const Triangle> triangles, uv_triangles;
  std::span<const std::int32_t> materials;     // [triangles] ids of textures
  std::span<const float> shade;                // [vertices] factor on the colour; optional
  std::span<const std::uint8_t> labels;        // [triangles] 0..5; optional
  std::span<const Point> normals;              // [vertices] unit, for normals and lit pictures; optional
  std::span<const float> openness;             // [vertices] 0..1, for ambient and lit pictures; optional
};

struct Wanted {
  bool labels = false, depth = false, normals = false, ambient = false, lit = false;
};

/// Rows from the top. Colours are blended with white by coverage and truncated to 8 bits (traps 51, 52); alpha is
/// coverage.
struct MeshView {
  io::Image colour;                  // RGBA, unlit but for the baked shade
  std::vector<std::uint8_t> labels;  // [H * W] that of most samples; 0 where less than half of the pixel is covered
  std::vector<float> depth;          // [H * W] metres along the camera's z, of the nearest sample; 0: nothing there
  io::Image normals;                 // RGBA, world axes from -1..1 to 0..255, towards the camera; 0 where nothing is
  io::Image ambient;                 // RGBA, colour by openness
  io::Image lit;                     // RGBA, a lamp above and left of the camera, and ambient light
};

/// Draws one mesh from any number of cameras; safe from several threads, and the same bytes whatever their number. Both
/// sides are drawn, the nearer surface wins, at equal depth the earlier triangle; a triangle with a corner nearer than
/// 0.1 m is skipped. Triangles that share an edge leave no gap. The mesh must outlive the renderer.
class MeshRenderer {
 public:
  /// Throws Error(kInternal) for an index out of range or an array of the wrong size.
  MeshRenderer(const Surface& surface, std::vector<TexturePyramid> textures);

  /// `supersample` x `supersample` samples a pixel (1..8), box filter. Texels of textures with alpha are tested at each
  /// sample. Throws Error(kInternal) for something wanted that the surface cannot give.
  [[nodiscard]] MeshView view(const geometry::Camera& camera, int supersample = 2, const Wanted& wanted = {}) const;

  /// Samples that hit something. What a ray caster does with one ray for each sample; for comparisons.
  [[nodiscard]] std::size_t count_hits(const geometry::Camera& camera, int supersample) const;

 private:
  Surface surface_;
  std::vector<TexturePyramid> textures_;  // by material
};

}  // namespace layeravatar::scan
