#include "layeravatar/data/render_person.h"

#include <utility>

#include "layeravatar/core/error.h"

namespace layeravatar::data {
namespace {

static_assert(people::kAlphaTest == scan::kAlphaTest);

std::vector<std::uint8_t> labels_of(const people::TexturedMesh& mesh) {
  std::vector<std::uint8_t> out;
  out.reserve(mesh.labels.size());
  for (const auto label : mesh.labels) out.push_back(static_cast<std::uint8_t>(label));
  return out;
}

scan::MeshRenderer renderer_of(const people::TexturedMesh& mesh, const std::vector<std::uint8_t>& labels) {
  LAV_CHECK(labels.size() == mesh.triangles.size() && mesh.shade.size() == mesh.vertices.size(),
            "one label per triangle, one shade per vertex");
  std::vector<scan::TexturePyramid> textures;
  for (const auto& material : mesh.material_list) textures.emplace_back(material.texture);
  return {{mesh.vertices, mesh.uvs, mesh.triangles, mesh.uv_triangles, mesh.materials, mesh.shade, labels, {}, {}},
          std::move(textures)};
}

}  // namespace

PersonRenderer::PersonRenderer(const people::TexturedMesh& mesh) : labels_(labels_of(mesh)), renderer_(renderer_of(mesh, labels_)) {}

RenderedView PersonRenderer::view(const geometry::Camera& camera, int supersample) const {
  scan::MeshView view = renderer_.view(camera, supersample, {.labels = true});
  return {std::move(view.colour), std::move(view.labels)};
}

RenderedView render_view(const people::TexturedMesh& mesh, const geometry::Camera& camera, int supersample) {
  return PersonRenderer(mesh).view(camera, supersample);
}

}  // namespace layeravatar::data
