#include "layeravatar/templates/official_sources.h"

#include <fmt/format.h>

#include <limits>
#include <optional>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/json.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/pickle.h"

namespace layeravatar::templates {
namespace {

using nlohmann::json;

// All of the public file but "head" and "eyeballs", which nothing uses.
constexpr const char* kParts[] = {"leftEye",         "rightEye",    "leftHand",     "rightHand",    "leftHandIndex1",
                                  "rightHandIndex1", "leftFoot",    "rightFoot",    "leftToeBase",  "rightToeBase",
                                  "leftLeg",         "rightLeg",    "leftUpLeg",    "rightUpLeg",   "leftArm",
                                  "rightArm",        "leftForeArm", "rightForeArm", "leftShoulder", "rightShoulder",
                                  "spine",           "spine1",      "spine2",       "hips",         "neck"};
constexpr const char* kMasks[] = {"face", "forehead", "left_ear", "right_ear", "nose", "scalp"};

[[noreturn]] void reject(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file + ": " + what);
}

json parse_object(std::string_view text, const std::string& file) {
  json root = io::parse_json(text, file);
  if (!root.is_object()) reject(file, fmt::format("expected an object of vertex lists, found {}", root.type_name()));
  return root;
}

/// Nothing when it is not a list of integers. What exceeds 64 bits becomes the largest number.
std::optional<std::vector<std::int64_t>> integer_list(const json& value) {
  if (!value.is_array()) return std::nullopt;
  std::vector<std::int64_t> out;
  for (const json& entry : value) {
    if (!entry.is_number_integer()) return std::nullopt;
    constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
    const bool huge = entry.is_number_unsigned() && entry.get<std::uint64_t>() > static_cast<std::uint64_t>(kMax);
    out.push_back(huge ? kMax : entry.get<std::int64_t>());
  }
  return out;
}

VertexSets masks_of_json(const std::filesystem::path& path) {
  VertexSets out;
  const json root = parse_object(read_file(path), path.string());
  for (const auto& [name, value] : root.items()) {
    auto ids = integer_list(value);
    if (!ids) reject(path.string(), fmt::format("mask '{}' is not a list of integers", name));
    out[name] = std::move(*ids);
  }
  return out;
}

VertexSets masks_of_arrays(const io::ArrayMap& arrays, const std::filesystem::path& path) {
  VertexSets out;
  for (const auto& [name, array] : arrays) {
    const std::string label = fmt::format("{}: mask '{}'", path.string(), name);
    io::expect_shape(array, {-1}, label);
    out[name] = io::to_integers(array, label);
  }
  return out;
}

}  // namespace

OfficialSizes custom_sizes(std::int64_t vertices) {
  return {vertices, kAnySize, {kAnySize, kAnySize, kAnySize, kAnySize}};
}

VertexSets parse_segmentation(std::string_view text, const std::string& file, std::int64_t vertices) {
  const json root = parse_object(text, file);
  VertexSets out;
  for (const char* name : kParts) {
    const auto at = root.find(name);
    if (at == root.end()) reject(file, fmt::format("part '{}' is missing", name));
    auto ids = integer_list(*at);
    if (!ids) reject(file, fmt::format("part '{}' is not a list of integers", name));
    for (const std::int64_t id : *ids)
      if (id < 0 || id >= vertices) reject(file, fmt::format("part '{}': vertex id {} out of range", name, id));
    out[name] = std::move(*ids);
  }
  return out;
}

VertexSets read_segmentation(const std::filesystem::path& path, std::int64_t vertices) {
  return parse_segmentation(read_file(path), path.string(), vertices);
}

void check_flame_masks(const VertexSets& masks, std::int64_t flame_vertices, const std::string& file) {
  for (const char* name : kMasks)
    if (!masks.contains(name)) reject(file, fmt::format("mask '{}' is missing", name));
  for (const auto& [name, ids] : masks)
    for (const std::int64_t id : ids)
      if (id < 0 || id >= flame_vertices)
        reject(file, fmt::format("mask '{}': vertex id {}; expected 0..{}", name, id, flame_vertices - 1));
}

VertexSets read_flame_masks(const std::filesystem::path& path, std::int64_t flame_vertices) {
  const std::string kind = path.extension().string();
  VertexSets out;
  if (kind == ".json") {
    out = masks_of_json(path);
  } else if (kind == ".npz") {
    out = masks_of_arrays(io::read_npz(path), path);
  } else {
    const io::PickleValue masks = io::read_pickle(path);
    if (!masks.is(io::PickleValue::Kind::kDict))
      reject(path.string(), fmt::format("expected a dict of masks, found {}", io::name_of(masks.kind())));
    out = masks_of_arrays(io::flatten_arrays(masks, path.string()), path);
  }
  check_flame_masks(out, flame_vertices, path.string());
  return out;
}

std::vector<std::int64_t> read_correspondence(const std::filesystem::path& path, const OfficialSizes& sizes) {
  const io::Array array = io::read_npy(path);
  io::expect_shape(array, {-1}, path.string());
  std::vector<std::int64_t> out = io::to_integers(array, path.string());
  const auto count = static_cast<std::int64_t>(out.size());
  if (sizes.flame_vertices != kAnySize && count != sizes.flame_vertices)
    reject(path.string(), fmt::format("expected {} entries, found {}", sizes.flame_vertices, count));
  for (std::size_t i = 0; i < out.size(); ++i)
    if (out[i] < 0 || out[i] >= sizes.vertices)
      reject(path.string(), fmt::format("entry {}: vertex id {}; expected 0..{}", i, out[i], sizes.vertices - 1));
  return out;
}

void check_body_mesh(const io::ObjMesh& mesh, std::int64_t vertices, const std::string& file) {
  const auto found = static_cast<std::int64_t>(mesh.vertices.size());
  if (found != vertices) reject(file, fmt::format("expected {} vertices (SMPL-X order), found {}", vertices, found));
  if (mesh.triangles.size() <= kMouthFaces)
    reject(file,
           fmt::format("expected more than the {} faces of the mouth, found {}", kMouthFaces, mesh.triangles.size()));
}

void check_bottom_top_mesh(const io::ObjMesh& mesh, const std::string& file) {
  if (!mesh.triangles.empty() && (mesh.objects.empty() || mesh.objects[0].first_triangle > 0))
    reject(file, "a face before the first object; expected objects 'low' and 'up'");
  const io::ObjMesh::Object *low = nullptr, *up = nullptr;
  for (const auto& object : mesh.objects) {
    if (object.triangle_count == 0) continue;
    if (object.name != "low" && object.name != "up") {
      std::string name = object.name.substr(0, 40);
      for (char& c : name) c = c >= ' ' && c < 127 ? c : '?';
      reject(file, fmt::format("object '{}'; expected objects 'low' and 'up'", name));
    }
    auto& known = object.name == "low" ? low : up;
    if (known != nullptr) reject(file, fmt::format("object '{}' is there twice", object.name));
    known = &object;
  }
  if (low == nullptr) reject(file, "object 'low' is missing");
  if (up == nullptr) reject(file, "object 'up' is missing");
  if (up < low) reject(file, "object 'up' comes before 'low'; indices would be wrong");
}

OfficialPaths official_paths(const std::filesystem::path& folder) {
  return {folder / "smplx_vert_segmentation.json",
          folder / "FLAME_masks.pkl",
          folder / "SMPL-X__FLAME_vertex_ids.npy",
          folder / "body.obj",
          folder / "hair_shoes.obj",
          folder / "up_and_low.obj"};
}

OfficialSources read_official_sources(const OfficialPaths& paths, const OfficialSizes& sizes) {
  OfficialSources out;
  out.parts = read_segmentation(paths.segmentation, sizes.vertices);
  out.smplx_of_flame = read_correspondence(paths.correspondence, sizes);
  out.flame_masks = read_flame_masks(paths.flame_masks, static_cast<std::int64_t>(out.smplx_of_flame.size()));
  out.body = io::read_obj(paths.body);
  check_body_mesh(out.body, sizes.vertices, paths.body.string());
  out.hair_shoes = io::read_obj(paths.hair_shoes);
  out.bottom_top = io::read_obj(paths.bottom_top);
  check_bottom_top_mesh(out.bottom_top, paths.bottom_top.string());
  return out;
}

}  // namespace layeravatar::templates
