// Binary glTF 2.0 files as one mesh of triangles.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace layeravatar::io {

struct GlbMaterial {
  std::string name;
  std::string picture;                          // bytes of the base colour's PNG or JPEG file; empty: none
  std::array<float, 4> factor = {1, 1, 1, 1};   // base colour, linear, RGBA
  bool opaque = true;                           // alpha does not count
};

struct GlbMesh {
  std::vector<std::array<float, 3>> vertices;          // of all nodes of the scene, in its axes (y up), metres
  std::vector<std::array<float, 2>> uvs;               // [vertices] v up; zero where a mesh has none
  std::vector<std::array<std::int32_t, 3>> triangles;  // ids of vertices and uvs
  std::vector<std::int32_t> materials;                 // [triangles]
  std::vector<GlbMaterial> material_list;              // the last one is that of triangles without material
};

/// Nodes with matrices or translation, rotation and scale; primitives of triangles; buffers and pictures inside the
/// file. Skins, morph targets and animations are left alone, normals are not read. Every size is checked against the
/// file before memory is taken. Throws Error(kInput), "<file>: " and: "not a binary glTF file", "truncated; expected n
/// bytes, found m", "needs the extension 'x'", "accessor i: ...", "node i: ...", "mesh i: ...".
GlbMesh parse_glb(std::string_view bytes, const std::string& file);

}  // namespace layeravatar::io
