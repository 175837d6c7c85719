// Multi-view pictures and exact labels of a textured mesh (spec/body_and_data.md section 11.2).
#pragma once
#include <cstdint>
#include <vector>

#include "layeravatar/geometry/camera.h"
#include "layeravatar/io/png.h"
#include "layeravatar/people/dressed_person.h"
#include "layeravatar/scan/mesh_renderer.h"

namespace layeravatar::data {

/// Rows from the top. Colours are blended with white by coverage and truncated to 8 bits (traps 51, 52).
struct RenderedView {
  io::Image colour;  // RGBA, alpha is coverage
  std::vector<std::uint8_t>
      labels;  // [H * W] 0..5, that of most samples; 0 where less than half of the pixel is covered
};

/// Draws one person with scan::MeshRenderer, whose rules hold, with the release's four texture levels. Unlit but for the
/// baked shade. The mesh must outlive the renderer.
class PersonRenderer {
 public:
  /// Throws Error(kInternal) for an index out of range or a material without texture.
  explicit PersonRenderer(const people::TexturedMesh& mesh);

  /// `supersample` x `supersample` samples a pixel (1..8), box filter. Texels of RGBA materials whose alpha lies below
  /// people::kAlphaTest are cut away, tested at each sample.
  [[nodiscard]] RenderedView view(const geometry::Camera& camera, int supersample = 2) const;

 private:
  std::vector<std::uint8_t> labels_;  // [triangles]
  scan::MeshRenderer renderer_;
};

/// One view of a mesh.
RenderedView render_view(const people::TexturedMesh& mesh, const geometry::Camera& camera, int supersample = 2);

}  // namespace layeravatar::data
