// Multi-view pictures and exact labels of a textured mesh (spec/body_and_data.md section 11.2).
#pragma once
#include <cstdint>
#include <vector>

#include "layeravatar/data/texture_pyramid.h"
#include "layeravatar/geometry/camera.h"
#include "layeravatar/io/png.h"
#include "layeravatar/people/dressed_person.h"

namespace layeravatar::data {

/// Rows from the top. Colours are blended with white by coverage and truncated to 8 bits (traps 51, 52).
struct RenderedView {
  io::Image colour;  // RGBA, alpha is coverage
  std::vector<std::uint8_t>
      labels;  // [H * W] 0..5, that of most samples; 0 where less than half of the pixel is covered
};

/// Draws one mesh from any number of cameras; safe from several threads. Both sides are drawn, the nearer surface wins,
/// at equal depth the earlier triangle; a triangle with a corner nearer than 0.1 m is skipped. Triangles that share an
/// edge leave no gap. Unlit but for the baked shade. The mesh must outlive the renderer.
class PersonRenderer {
 public:
  /// Throws Error(kInternal) for an index out of range or a material without texture.
  explicit PersonRenderer(const people::TexturedMesh& mesh);

  /// `supersample` x `supersample` samples a pixel (1..8), box filter. Texels of RGBA materials whose alpha lies below
  /// people::kAlphaTest are cut away, tested at each sample.
  [[nodiscard]] RenderedView view(const geometry::Camera& camera, int supersample = 2) const;

 private:
  const people::TexturedMesh& mesh_;
  std::vector<TexturePyramid> textures_;  // by material
};

/// One view of a mesh.
RenderedView render_view(const people::TexturedMesh& mesh, const geometry::Camera& camera, int supersample = 2);

}  // namespace layeravatar::data
