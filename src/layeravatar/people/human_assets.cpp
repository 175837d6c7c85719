#include "layeravatar/people/human_assets.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/people/three_json.h"

namespace layeravatar::people {
namespace {
using namespace three_json;

constexpr float kDecimetresPerUnit = 0.001F;

void read_rig(const json& root, const std::string& file, BaseMesh& mesh) {
  const auto& joints = member(member(root, "metadata"), "joint_pos_idxs");
  if (!joints.is_object()) reject(file, "'metadata.joint_pos_idxs' is missing");
  for (const auto& [name, ids] : joints.items()) {
    auto list = numbers<std::int32_t>(ids, "joint_pos_idxs", file, 1);
    if (list.empty()) reject(file, fmt::format("'joint_pos_idxs': joint '{}' has no vertices", name));
    for (const auto id : list) check_index(id, mesh.vertices.size(), "joint_pos_idxs", file);
    mesh.joint_vertices[name] = std::move(list);
  }
  const auto& bones = member(root, "bones");
  if (!bones.is_array() || bones.size() % 2 != 0) reject(file, "'bones': expected pairs of head and tail");
  for (std::size_t i = 0; i < bones.size(); i += 2) {
    const auto& name = member(bones[i], "name");
    const auto& parent = member(bones[i], "parent");
    if (!name.is_string() || !parent.is_number_integer()) reject(file, "'bones': entry without name or parent");
    std::string text = name.get<std::string>();
    const auto suffix = text.find("____head");
    if (suffix == std::string::npos) reject(file, "'bones': expected ____head, found " + text);
    const auto id = parent.get<std::int32_t>();
    const std::int32_t above = id < 0 ? -1 : (id - 1) / 2;
    if (above >= static_cast<std::int32_t>(i / 2))
      reject(file, fmt::format("'bones': parent of bone {} is {}; parents must precede children", i / 2, above));
    mesh.bones.push_back(text.substr(0, suffix));
    mesh.bone_parent.push_back(above);
  }
  const auto ids = numbers<std::int32_t>(member(root, "skinIndices"), "skinIndices", file, 4);
  const auto weights = numbers<float>(member(root, "skinWeights"), "skinWeights", file, 4);
  if (ids.size() != 4 * mesh.vertices.size() || weights.size() != ids.size())
    reject(file, fmt::format("'skinWeights': expected {} numbers, found {}", 4 * mesh.vertices.size(), weights.size()));
  mesh.skin_bones.resize(mesh.vertices.size());
  mesh.skin_weights.resize(mesh.vertices.size());
  for (std::size_t v = 0; v < mesh.vertices.size(); ++v)
    for (std::size_t k = 0; k < 4; ++k) {
      check_index(ids[4 * v + k] / 2, mesh.bones.size(), "skinIndices", file);
      mesh.skin_bones[v][k] = ids[4 * v + k] / 2;
      mesh.skin_weights[v][k] = weights[4 * v + k];
    }
}
}  // namespace

BaseMesh parse_base_mesh(const std::string& json_text, const std::string& file) {
  const json root = parse_json(json_text, file);
  BaseMesh mesh;
  mesh.vertices = points(member(root, "vertices"), file);
  mesh.uvs = first_uv_set(root, file);
  const auto& materials = member(root, "materials");
  if (!materials.is_array()) reject(file, "'materials' is missing");
  for (const auto& material : materials) {
    const auto& name = member(material, "DbgName");
    if (!name.is_string()) reject(file, "'materials': entry without DbgName");
    mesh.groups.push_back(name.get<std::string>());
  }
  Quads quads = read_quads(root, mesh.vertices.size(), mesh.uvs.size(), mesh.groups.size(), file);
  mesh.quads = std::move(quads.vertices);
  mesh.quad_uvs = std::move(quads.uvs);
  mesh.quad_group = std::move(quads.material);
  read_rig(root, file, mesh);
  return mesh;
}

BaseMesh read_base_mesh(const std::filesystem::path& file) { return parse_base_mesh(read_file(file), file.string()); }

MorphTargets::MorphTargets(std::vector<std::string> sorted_names, std::vector<std::int16_t> values,
                           std::int64_t vertices)
    : values_(std::move(values)), vertices_(vertices) {
  LAV_CHECK(std::is_sorted(sorted_names.begin(), sorted_names.end()), "target names must be sorted bytewise");
  LAV_CHECK(values_.size() == sorted_names.size() * static_cast<std::size_t>(vertices) * 3, "one row per target");
  for (std::size_t i = 0; i < sorted_names.size(); ++i) row_[sorted_names[i]] = static_cast<std::int64_t>(i);
}

MorphTargets MorphTargets::read(const std::filesystem::path& package, std::int64_t vertices) {
  const auto list_file = package / "src/json/targets/target-list.json";
  const json root = parse_json(read_file(list_file), list_file.string());
  const auto& targets = member(root, "targets");
  if (!targets.is_object()) reject(list_file.string(), "'targets' is missing");
  std::vector<std::string> names;
  for (const auto& [name, unused] : targets.items()) names.push_back(name);
  std::sort(names.begin(), names.end());
  const auto file = package / "public/data/targets/targets.bin";
  const std::string bytes = read_file(file);
  const std::size_t expected = names.size() * static_cast<std::size_t>(vertices) * 3 * sizeof(std::int16_t);
  if (bytes.size() != expected)
    reject(file.string(), fmt::format("expected {} bytes ({} targets of {} vertices), found {}", expected, names.size(),
                                      vertices, bytes.size()));
  std::vector<std::int16_t> values(expected / sizeof(std::int16_t));
  std::memcpy(values.data(), bytes.data(), expected);
  // Names become paths below data/targets without the suffix.
  for (auto& name : names) {
    if (const auto at = name.find("targets/"); at != std::string::npos) name.erase(0, at + 8);
    if (name.ends_with(".target")) name.resize(name.size() - 7);
  }
  MorphTargets out({}, {}, vertices);
  for (std::size_t i = 0; i < names.size(); ++i) out.row_[names[i]] = static_cast<std::int64_t>(i);
  out.values_ = std::move(values);
  return out;
}

Point MorphTargets::displacement(const std::string& name, std::int64_t vertex) const {
  const auto at = row_.find(name);
  LAV_CHECK(at != row_.end() && vertex >= 0 && vertex < vertices_, "no such target or vertex: " + name);
  const auto* d = values_.data() + (at->second * vertices_ + vertex) * 3;
  return {kDecimetresPerUnit * d[0], kDecimetresPerUnit * d[1], kDecimetresPerUnit * d[2]};
}

void MorphTargets::repair_height_joints(const BaseMesh& base, const std::vector<std::int32_t>& joint_cube,
                                        const std::vector<std::int32_t>& skin, int neighbours) {
  LAV_CHECK(!joint_cube.empty() && neighbours > 0 && skin.size() >= static_cast<std::size_t>(neighbours),
            "too few skin vertices");
  Point centre{};
  for (const auto id : joint_cube)
    for (std::size_t k = 0; k < 3; ++k)
      centre[k] += base.vertices[static_cast<std::size_t>(id)][k] / static_cast<float>(joint_cube.size());
  std::vector<std::pair<float, std::int32_t>> nearest;
  for (const auto id : skin) {
    const auto& p = base.vertices[static_cast<std::size_t>(id)];
    const float x = p[0] - centre[0], y = p[1] - centre[1], z = p[2] - centre[2];
    nearest.emplace_back(x * x + y * y + z * z, id);
  }
  std::partial_sort(nearest.begin(), nearest.begin() + neighbours, nearest.end());
  for (const auto& [name, row] : row_) {
    if (!name.starts_with("macrodetails/height/")) continue;
    auto* values = values_.data() + row * vertices_ * 3;
    for (int k = 0; k < 3; ++k) {
      double sum = 0;
      for (int n = 0; n < neighbours; ++n) sum += values[nearest[static_cast<std::size_t>(n)].second * 3 + k];
      for (const auto id : joint_cube) values[id * 3 + k] = static_cast<std::int16_t>(std::lround(sum / neighbours));
    }
  }
}

std::vector<Point> MorphTargets::morph(const BaseMesh& base, const std::map<std::string, double>& weights) const {
  LAV_CHECK(static_cast<std::int64_t>(base.vertices.size()) == vertices_, "targets are of another mesh");
  std::vector<Point> out = base.vertices;
  for (const auto& [name, weight] : weights) {
    const auto at = row_.find(name);
    if (at == row_.end()) continue;
    const auto* d = values_.data() + at->second * vertices_ * 3;
    const auto scale = static_cast<float>(weight) * kDecimetresPerUnit;
    for (auto& p : out)
      for (float& x : p) x += scale * *d++;
  }
  return out;
}

std::vector<std::int32_t> group_vertices(const BaseMesh& base, const std::string& group) {
  std::vector<std::int32_t> ids;
  for (std::size_t f = 0; f < base.quads.size(); ++f)
    if (base.groups[static_cast<std::size_t>(base.quad_group[f])] == group)
      ids.insert(ids.end(), base.quads[f].begin(), base.quads[f].end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

Point joint_position(const BaseMesh& base, const std::vector<Point>& vertices, const std::string& joint) {
  const auto at = base.joint_vertices.find(joint);
  LAV_CHECK(at != base.joint_vertices.end(), "no joint " + joint);
  Point mean{};
  for (const auto id : at->second)
    for (std::size_t k = 0; k < 3; ++k)
      mean[k] += vertices[static_cast<std::size_t>(id)][k] / static_cast<float>(at->second.size());
  return mean;
}

HumanAssets read_human_assets(const std::filesystem::path& package) {
  BaseMesh base = read_base_mesh(package / "public/data/models/human_full_size.json");
  MorphTargets targets = MorphTargets::read(package, static_cast<std::int64_t>(base.vertices.size()));
  const auto skin = group_vertices(base, "body");
  for (const std::int32_t first : {13838, 14278}) {  // left and right knee cube
    std::vector<std::int32_t> cube(8);
    std::iota(cube.begin(), cube.end(), first);
    targets.repair_height_joints(base, cube, skin);
  }
  return {std::move(base), std::move(targets)};
}

}  // namespace layeravatar::people
