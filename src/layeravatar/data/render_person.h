// Multi-view pictures and exact labels of a textured mesh (spec/body_and_data.md section 11.2).
#pragma once
#include <cstdint>
#include <vector>

#include "layeravatar/geometry/camera.h"
#include "layeravatar/io/png.h"
#include "layeravatar/people/dressed_person.h"

namespace layeravatar::data {

/// Rows from the top. Colours are blended with white by coverage and truncated to 8 bits.
struct RenderedView {
  io::Image colour;                 // RGBA, alpha is coverage
  std::vector<std::uint8_t> labels; // [H * W] 0..5; 0 where less than half of the pixel is covered
};

/// `supersample` x `supersample` samples a pixel, box filter; both sides are drawn, the nearer surface wins; texels of
/// RGBA materials below people::kAlphaTest are cut away; unlit but for the baked shade.
RenderedView render_view(const people::TexturedMesh& mesh, const geometry::Camera& camera, int supersample = 2);

}  // namespace layeravatar::data
