// What the release's template is made from: vertex sets of the body and three meshes (spec/body_and_data.md section 4).
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "layeravatar/io/obj.h"

namespace layeravatar::templates {

inline constexpr std::int64_t kAnySize = -1;
inline constexpr std::int64_t kMouthFaces = 30;  // the last faces of body.obj close the mouth

/// The sizes of the licensed files; nothing else states them.
struct OfficialSizes {
  std::int64_t vertices = 10475;                                         // SMPL-X
  std::int64_t flame_vertices = 5023;                                    // kAnySize: as many as the correspondence has
  std::array<std::int64_t, 4> gaussians = {34858, 21424, 11056, 22152};  // of the four blocks, or kAnySize
};

/// For a template of one's own, on a body of this many vertices.
OfficialSizes custom_sizes(std::int64_t vertices);

/// Vertex ids by name. Lists may overlap and repeat: they are sets.
using VertexSets = std::map<std::string, std::vector<std::int64_t>>;

struct OfficialSources {
  VertexSets parts;                          // of SMPL-X vertices
  VertexSets flame_masks;                    // of FLAME vertices
  std::vector<std::int64_t> smplx_of_flame;  // SMPL-X vertex of each FLAME vertex
  io::ObjMesh body;                          // vertices in SMPL-X order; the last kMouthFaces faces close the mouth
  io::ObjMesh hair_shoes;
  io::ObjMesh bottom_top;  // objects "low" and "up", all faces of "low" first
};

// The parsers and checks throw Error(kInput) "<file>: <message>" with the messages of section 15.

/// smplx_vert_segmentation.json: the parts that the template uses; others are ignored.
VertexSets parse_segmentation(std::string_view text, const std::string& file, std::int64_t vertices);
VertexSets read_segmentation(const std::filesystem::path& path, std::int64_t vertices);

/// Masks that the template needs must be there; the ids of all count.
void check_flame_masks(const VertexSets& masks, std::int64_t flame_vertices, const std::string& file);
/// From an .npz of integer arrays, a .json of lists, or a pickled dict of integer arrays under any other name.
VertexSets read_flame_masks(const std::filesystem::path& path, std::int64_t flame_vertices);

/// SMPL-X__FLAME_vertex_ids.npy.
std::vector<std::int64_t> read_correspondence(const std::filesystem::path& path, const OfficialSizes& sizes);

/// body.obj: one vertex for each of the model's, and faces beside those of the mouth.
void check_body_mesh(const io::ObjMesh& mesh, std::int64_t vertices, const std::string& file);
/// up_and_low.obj: every face is in one of the objects "low" and "up", in this order.
void check_bottom_top_mesh(const io::ObjMesh& mesh, const std::string& file);

struct OfficialPaths {
  std::filesystem::path segmentation, flame_masks, correspondence, body, hair_shoes, bottom_top;
};
/// The release's names in one folder.
OfficialPaths official_paths(const std::filesystem::path& folder);

/// Reads and checks all six files.
OfficialSources read_official_sources(const OfficialPaths& paths, const OfficialSizes& sizes);

}  // namespace layeravatar::templates
