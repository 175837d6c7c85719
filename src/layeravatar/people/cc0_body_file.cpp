// The container on disk: the release's array names, ours beside them.
#include <fmt/format.h>

#include <algorithm>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/people/cc0_body.h"

namespace layeravatar::people {
namespace {

using body::kJoints;

io::Array floats(const std::vector<float>& values, std::vector<std::int64_t> shape) {
  return io::make_array<float>(std::move(shape), values);
}

}  // namespace

void write_cc0_body(const std::filesystem::path& path, const Cc0Body& b) {
  const std::int64_t v = b.model.vertex_count(), f = b.model.face_count();
  const auto base = static_cast<std::int64_t>(b.rest_mean.size() / 3);
  io::ArrayMap out;
  out["v_template"] = floats(b.model.v_template, {v, 3});
  out["shapedirs"] = floats(b.model.shapedirs, {v, 3, body::kShapeColumns});
  out["J_regressor"] = floats(b.model.j_regressor, {kJoints, v});
  out["weights"] = floats(b.model.weights, {v, kJoints});
  std::vector<std::int64_t> tree(b.model.parents);
  tree[0] = 4294967295;
  for (int j = 0; j < kJoints; ++j) tree.push_back(j);
  out["kintree_table"] = io::make_array<std::int64_t>({2, kJoints}, tree);
  std::vector<std::int32_t> faces(b.model.faces.begin(), b.model.faces.end());
  out["f"] = io::make_array<std::int32_t>({f, 3}, faces);
  out["posedirs"] = io::make_array(io::DType::kF32, {v, 3, body::kPoseFeatures});
  out["vt"] = floats(b.uvs, {static_cast<std::int64_t>(b.uvs.size() / 2), 2});
  out["ft"] = io::make_array<std::int32_t>({f, 3}, b.uv_faces);
  out["visible_faces"] = io::make_array<std::uint8_t>({f}, b.visible_faces);
  out["rest_mean"] = floats(b.rest_mean, {base, 3});
  out["rest_dirs"] = floats(b.rest_dirs, {base, 3, 10});
  out["base_weights"] = floats(b.base_weights, {base, kJoints});
  out["t_pose_rotations"] = io::make_array<double>({kJoints, 3, 3}, b.t_pose_rotations);
  out["rest_origin"] = io::make_array<float>({3}, b.rest_origin);
  for (std::size_t j = 0; j < b.joint_base_vertices.size(); ++j)
    out[fmt::format("joint_{}", j)] = io::make_array<std::int32_t>(
        {static_cast<std::int64_t>(b.joint_base_vertices[j].size())}, b.joint_base_vertices[j]);
  for (const auto& [name, ids] : b.regions)
    out["region_" + name] = io::make_array<std::int32_t>({static_cast<std::int64_t>(ids.size())}, ids);
  io::write_npz(path, out);
}

Cc0Body read_cc0_body(const std::filesystem::path& path) {
  Cc0Body out;
  out.model = body::read_smplx_npz(path).model;
  if (std::all_of(out.model.posedirs.begin(), out.model.posedirs.end(), [](float x) { return x == 0.0F; }))
    out.model.posedirs.clear();  // there are no pose correctives: nothing to add for each pose
  const io::NpzReader file(path);
  const std::int64_t v = out.model.vertex_count(), f = out.model.face_count();
  const auto read = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    io::Array array = file.read(name);
    io::expect_shape(array, shape, fmt::format("{}: array '{}'", path.string(), name));
    return array;
  };
  const auto ids = [&](const std::string& name, const std::vector<std::int64_t>& shape, std::int64_t limit) {
    const auto wide = io::to_integers(read(name, shape), path.string() + ": array '" + name + "'");
    std::vector<std::int32_t> narrow;
    for (const std::int64_t x : wide) {
      if (x < 0 || x >= limit)
        throw Error(ErrorKind::kInput,
                    fmt::format("{}: array '{}': index {} out of range 0..{}", path.string(), name, x, limit - 1));
      narrow.push_back(static_cast<std::int32_t>(x));
    }
    return narrow;
  };
  out.uvs = io::to_floats(read("vt", {-1, 2}));
  out.uv_faces = ids("ft", {f, 3}, static_cast<std::int64_t>(out.uvs.size() / 2));
  for (const float x : io::to_floats(read("visible_faces", {f}))) out.visible_faces.push_back(x != 0 ? 1 : 0);
  out.rest_mean = io::to_floats(read("rest_mean", {-1, 3}));
  const auto base = static_cast<std::int64_t>(out.rest_mean.size() / 3);
  out.rest_dirs = io::to_floats(read("rest_dirs", {base, 3, 10}));
  out.base_weights = io::to_floats(read("base_weights", {base, kJoints}));
  const auto rotations = io::to_floats(read("t_pose_rotations", {kJoints, 3, 3}));
  out.t_pose_rotations.assign(rotations.begin(), rotations.end());
  const auto origin = io::to_floats(read("rest_origin", {3}));
  std::copy(origin.begin(), origin.end(), out.rest_origin.begin());
  for (int j = 0; j < kJoints; ++j) out.joint_base_vertices.push_back(ids(fmt::format("joint_{}", j), {-1}, base));
  for (const auto& name : file.names())
    if (name.starts_with("region_")) out.regions[name.substr(7)] = ids(name, {-1}, v);
  return out;
}

}  // namespace layeravatar::people
