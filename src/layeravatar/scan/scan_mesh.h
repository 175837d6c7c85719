// A textured scan of a person as its files have it (spec/body_and_data.md section 11.1).
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/scan/mesh_renderer.h"

namespace layeravatar::scan {

struct ScanMaterial {
  std::string name;
  io::Image texture;  // RGB, or RGBA for cut-outs; what is of one colour has one texel
};

struct ScanMesh {
  std::vector<Point> vertices;            // in the scan's own unit and frame until it is normalised
  std::vector<std::array<float, 2>> uvs;  // v up
  std::vector<Triangle> triangles, uv_triangles;
  std::vector<std::int32_t> materials;    // [triangles]
  std::vector<ScanMaterial> material_list;
};

/// OBJ with its material libraries, or binary glTF; textures are PNG or JPEG. Faces of more corners are cut into
/// triangles. Triangles of an OBJ without material or texture take the picture that the data sets keep beside the mesh:
/// material0.jpeg, or the mesh's name with .png, .jpeg or .jpg. Triangles without area and normals of the file are of no
/// matter. Throws Error(kInput) with the readers' messages, and "<file>: holds no triangles", "<file>: n of m vertices
/// belong to no triangle; is the file cut short?" (more than half), "<file>: material 'x' has no texture".
ScanMesh read_scan(const std::filesystem::path& file);

/// Whether the texture is cut out there (alpha below kAlphaTest); of its full size.
bool is_hole(const ScanMesh& mesh, std::size_t triangle, const std::array<float, 3>& barycentric);

/// What a renderer needs of a scan, which must outlive it.
Surface surface_of(const ScanMesh& mesh);
std::vector<TexturePyramid> textures_of(const ScanMesh& mesh);

}  // namespace layeravatar::scan
