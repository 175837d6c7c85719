#include "layeravatar/avatar/release_buffers.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "layeravatar/core/error.h"

namespace layeravatar::avatar {
namespace {

using body::kBetas;
using body::kExpressions;
using body::kJoints;
using Shape = std::vector<std::int64_t>;

constexpr const char* kTemplate[] = {"pcd_label", "select_coord", "init_pcd", "init_rot", "face_mask", "hands_mask", "outside_mask", "nose_mask",
                                     "deformer.init_spdir", "deformer.init_podir", "deformer.init_faces", "deformer.init_lbsw"};
constexpr const char* kBodyPart = "deformer.body_model.";
constexpr const char* kBody[] = {"v_template", "shapedirs", "expr_dirs", "posedirs", "J_regressor", "lbs_weights", "parents", "faces_tensor"};

BufferKeys look_up(const StateDict& state, const std::string& prefix, std::span<const char* const> names) {
  BufferKeys out;
  for (const char* const name : names) (state.contains(prefix + name) ? out.found : out.missing).push_back(prefix + name);
  return out;
}

// Arrays under a prefix, their sizes checked.
struct Lookup {
  const StateDict& state;
  const std::string& prefix;
  const std::string& file;

  [[nodiscard]] std::string label(const std::string& name) const { return file + ": array '" + prefix + name + "'"; }
  [[nodiscard]] const io::Array& at(const std::string& name, const Shape& shape) const {
    const io::Array& array = *state.at(prefix + name);
    io::expect_shape(array, shape, label(name));
    return array;
  }
  // Without the leading axis of size 1.
  [[nodiscard]] io::Array without_batch(const std::string& name, Shape shape) const {
    shape.insert(shape.begin(), 1);
    io::Array out = at(name, shape);
    out.shape.erase(out.shape.begin());
    return out;
  }
};

}  // namespace

BufferKeys template_buffers(const StateDict& state, const std::string& prefix) { return look_up(state, prefix, kTemplate); }

BufferKeys body_buffers(const StateDict& state, const std::string& prefix) { return look_up(state, prefix + kBodyPart, kBody); }

templates::LayeredTemplate carried_template(const StateDict& state, const std::string& prefix, const std::string& file) {
  const Lookup look{state, prefix, file};
  io::ArrayMap arrays;
  arrays["part_label_full"] = look.at("pcd_label", {-1});
  io::Array& uvs = arrays["init_uv_smplx_full"] = look.without_batch("select_coord", {-1, 2});
  std::vector<float> values = io::to_floats(uvs);
  for (float& x : values) x = (x + 1) / 2;
  uvs = io::make_array<float>(uvs.shape, values);
  arrays["init_pcd_smplx_full"] = look.without_batch("init_pcd", {-1, 3});
  arrays["init_rot_smplx_full"] = look.at("init_rot", {-1, 3, 3});
  for (const char* const mask : {"face_mask", "hands_mask", "outside_mask", "nose_mask"})
    arrays[std::string(mask) + "_body"] = look.without_batch(mask, {-1});
  arrays["init_spdir_smplx_full"] = look.at("deformer.init_spdir", {-1, 3, body::kShapeColumns});
  arrays["init_podir_smplx_full"] = look.at("deformer.init_podir", {body::kPoseFeatures, -1});
  arrays["init_faces_smplx_full"] = look.without_batch("deformer.init_faces", {-1, 3});
  arrays["init_lbsw_smplx_body"] = look.without_batch("deformer.init_lbsw", {-1, kJoints});
  templates::LayeredTemplate t = templates::from_arrays(arrays, file);
  const std::vector<float> moved = t.shifted_positions();
  for (std::size_t i = 0; i < moved.size(); ++i) t.positions[i] -= moved[i] - t.positions[i];
  return t;
}

body::BodyModel carried_body(const StateDict& state, const std::string& prefix, const std::string& file) {
  const std::string inner = prefix + kBodyPart;
  const Lookup look{state, inner, file};
  body::BodyModel b;
  b.v_template = io::to_floats(look.at("v_template", {-1, 3}));
  const std::int64_t v = b.vertex_count();
  const std::vector<float> betas = io::to_floats(look.at("shapedirs", {v, 3, kBetas})),
                           expressions = io::to_floats(look.at("expr_dirs", {v, 3, kExpressions}));
  b.shapedirs.reserve(betas.size() + expressions.size());
  for (std::ptrdiff_t row = 0; row < 3 * v; ++row) {
    b.shapedirs.insert(b.shapedirs.end(), betas.begin() + kBetas * row, betas.begin() + kBetas * (row + 1));
    b.shapedirs.insert(b.shapedirs.end(), expressions.begin() + kExpressions * row, expressions.begin() + kExpressions * (row + 1));
  }
  b.posedirs = io::to_floats(look.at("posedirs", {body::kPoseFeatures, 3 * v}));
  b.j_regressor = io::to_floats(look.at("J_regressor", {kJoints, v}));
  b.weights = io::to_floats(look.at("lbs_weights", {v, kJoints}));
  b.parents = io::to_integers(look.at("parents", {kJoints}), look.label("parents"));
  b.faces = io::to_integers(look.at("faces_tensor", {-1, 3}), look.label("faces_tensor"));
  try {
    b.prepare();
  } catch (const Error& e) {
    throw Error(ErrorKind::kInput, file + ": body: " + e.what());
  }
  return b;
}

VolumeDifference compare_volume(const StateDict& state, const std::string& prefix, const std::string& file, const body::WeightVolume& ours) {
  VolumeDifference out;
  const std::string inner = prefix + "deformer.deformer.";
  const auto find = [&](const std::string& name, const Shape& shape) -> const io::Array* {
    const auto it = state.find(inner + name);
    if (it == state.end()) return nullptr;
    io::expect_shape(*it->second, shape, file + ": array '" + inner + name + "'");
    out.keys.push_back(inner + name);
    return it->second;
  };
  constexpr auto kSize = body::WeightVolume::kSize;
  if (const io::Array* carried = find("lbs_voxel_final", {1, kJoints, kSize[2], kSize[1], kSize[0]})) {
    const std::vector<float> values = io::to_floats(*carried);
    const auto nodes = ours.nodes();
    const std::size_t count = nodes.size() / kJoints;
    out.weights = 0;
    for (std::size_t n = 0; n < count; ++n)
      for (std::size_t j = 0; j < kJoints; ++j) {
        const double d = std::abs(static_cast<double>(values[j * count + n]) - static_cast<double>(nodes[n * kJoints + j]));
        out.weights = d > out.weights || std::isnan(d) ? d : out.weights;
      }
  }
  const io::Array *half = find("scale", {}), *centre = find("offset", {1, 1, 3});
  if (half != nullptr && centre != nullptr) {
    out.box = std::abs(static_cast<double>(io::to_floats(*half)[0]) - static_cast<double>(ours.half_size()));
    const std::vector<float> c = io::to_floats(*centre);
    for (std::size_t k = 0; k < 3; ++k) {
      const double d = std::abs(static_cast<double>(c[k]) - static_cast<double>(ours.centre()[k]));
      out.box = d > out.box || std::isnan(d) ? d : out.box;
    }
  }
  return out;
}

}  // namespace layeravatar::avatar
