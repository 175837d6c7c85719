// Wavefront OBJ meshes of triangles with texture coordinates and materials (spec/body_and_data.md section 4.3).
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace layeravatar::io {

struct ObjMaterial {
  std::string name;
  std::string texture;  // map_Kd, a path relative to the file's folder; empty: none
};

struct ObjMesh {
  struct Object {
    std::string name;
    std::int64_t first_triangle = 0, triangle_count = 0;
  };
  std::vector<std::array<float, 3>> vertices;
  std::vector<std::array<float, 2>> uvs;                  // v up
  std::vector<std::array<std::int32_t, 3>> triangles;     // vertex ids from 0, global over all objects
  std::vector<std::array<std::int32_t, 3>> uv_triangles;  // uv ids from 0; -1 where a face has none
  std::vector<std::int32_t> materials;                    // [triangles] ids in material_list, -1: none
  std::vector<ObjMaterial> material_list;
  std::vector<Object> objects;  // of the `o` lines, in the file's order
};

struct ObjOptions {
  bool uvs = true;         // every face needs texture coordinates
  bool materials = false;  // reads the files of `mtllib`; else `usemtl` and `mtllib` are ignored
  bool polygons = false;   // cuts faces of more corners into fans of triangles; else they are refused
};

/// Of `v` and `vt` the first 3 and 2 numbers count; negative indices count from the last; normals,
/// smoothing and group lines are ignored. Throws Error(kInput), "<file>: line n: " and one of "cannot read number 'x'",
/// "index i out of range 1..m", "face has k corners; expected 3", "face without texture coordinates", "unknown line
/// 'x'".
/// With `materials`, `library` gives the text of a library by the relative path that names it.
using ObjLibrary = std::function<std::string(const std::filesystem::path& path)>;
ObjMesh parse_obj(std::string_view text, const std::string& file, const ObjOptions& options = {}, const ObjLibrary& library = {});

/// A material library: `newmtl` and `map_Kd` (without options); other lines are ignored.
std::vector<ObjMaterial> parse_mtl(std::string_view text, const std::string& file);

/// Libraries must lie in the file's folder or below: a path that is absolute or holds ".." is refused, as is a
/// texture's. A name of `usemtl` that no library has throws Error(kInput).
ObjMesh read_obj(const std::filesystem::path& path, const ObjOptions& options = {});

/// The shortest decimals that read back as the same floats. Triangles are grouped by runs of equal material; objects
/// are not written. `library` is the name after `mtllib`; empty: no materials.
std::string format_obj(const ObjMesh& mesh, const std::string& library);
std::string format_mtl(const std::vector<ObjMaterial>& materials);

}  // namespace layeravatar::io
