#include "layeravatar/templates/layered_template.h"

#include <fmt/format.h>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/body/pose_params.h"
#include "layeravatar/core/error.h"
#include "layeravatar/core/finite.h"

namespace layeravatar::templates {
namespace {

[[noreturn]] void reject(const std::string& file, const std::string& name, const std::string& what) {
  throw Error(ErrorKind::kInput, fmt::format("{}: array '{}': {}", file, name, what));
}

}  // namespace

std::vector<float> LayeredTemplate::shifted_positions() const {
  constexpr float kShift = 0.01F;  // metres
  std::vector<float> out = positions;
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i] != 1)
      for (std::size_t k = 0; k < 3; ++k) out[3 * i + k] += kShift * frames[9 * i + 3 * k + 2];
  return out;
}

std::vector<std::uint8_t> LayeredTemplate::weights_mask() const {
  std::vector<std::uint8_t> out(face_mask.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = face_mask[i] | hands_mask[i] | outside_mask[i];
  return out;
}

std::vector<std::uint8_t> LayeredTemplate::offset_mask() const {
  std::vector<std::uint8_t> out(face_mask.size());
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = (face_mask[i] | outside_mask[i]) != 0 && nose_mask[i] == 0 ? 1 : 0;
  return out;
}

io::ArrayMap to_arrays(const LayeredTemplate& t) {
  const std::int64_t n = t.count(), nb = t.body_count(), m = t.dense_count();
  const auto mask = [&](const std::vector<std::uint8_t>& values) {
    io::Array out = io::make_array(io::DType::kBool, {nb});
    for (std::size_t i = 0; i < values.size(); ++i) out.at<bool>()[i] = values[i] != 0;
    return out;
  };
  io::ArrayMap out;
  out["blocks"] = io::make_array<std::int64_t>({4}, t.blocks);
  out["init_pcd_smplx_full"] = io::make_array<float>({n, 3}, t.positions);
  out["init_rot_smplx_full"] = io::make_array<float>({n, 3, 3}, t.frames);
  out["init_uv_smplx_full"] = io::make_array<float>({n, 2}, t.uvs);
  out["part_label_full"] = io::make_array<std::int32_t>({n}, t.labels);
  out["init_faces_smplx_full"] = io::make_array<std::int32_t>({n, 3}, t.faces);
  out["init_spdir_smplx_full"] = io::make_array<float>({m, 3, body::kShapeColumns}, t.shape_dirs);
  if (!t.pose_dirs.empty())
    out["init_podir_smplx_full"] = io::make_array<float>({body::kPoseFeatures, 3 * m}, t.pose_dirs);
  out["init_lbsw_smplx_body"] = io::make_array<float>({nb, body::kJoints}, t.body_weights);
  out["face_mask_body"] = mask(t.face_mask);
  out["hands_mask_body"] = mask(t.hands_mask);
  out["outside_mask_body"] = mask(t.outside_mask);
  out["nose_mask_body"] = mask(t.nose_mask);
  return out;
}

LayeredTemplate from_arrays(const io::ArrayMap& arrays, const std::string& file) {
  const auto need = [&](const std::string& name, const std::vector<std::int64_t>& shape) -> const io::Array& {
    const auto it = arrays.find(name);
    if (it == arrays.end()) throw Error(ErrorKind::kInput, fmt::format("{}: array '{}' is missing", file, name));
    io::expect_shape(it->second, shape, fmt::format("{}: array '{}'", file, name));
    return it->second;
  };
  const auto floats = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    std::vector<float> out = io::to_floats(need(name, shape));
    if (!all_finite(out)) reject(file, name, "contains non-finite numbers");
    return out;
  };
  const auto integers = [&](const std::string& name, const std::vector<std::int64_t>& shape, std::int64_t limit) {
    std::vector<std::int32_t> out;
    for (const std::int64_t x : io::to_integers(need(name, shape), fmt::format("{}: array '{}'", file, name))) {
      if (x < 0 || x >= limit) reject(file, name, fmt::format("index {}; expected 0..{}", x, limit - 1));
      out.push_back(static_cast<std::int32_t>(x));
    }
    return out;
  };
  LayeredTemplate t;
  t.positions = floats("init_pcd_smplx_full", {-1, 3});
  const auto n = static_cast<std::int64_t>(t.positions.size() / 3);
  t.frames = floats("init_rot_smplx_full", {n, 3, 3});
  t.uvs = floats("init_uv_smplx_full", {n, 2});
  t.labels = integers("part_label_full", {n}, 6);
  t.shape_dirs = floats("init_spdir_smplx_full", {-1, 3, body::kShapeColumns});
  t.faces = integers("init_faces_smplx_full", {n, 3}, t.dense_count());
  if (arrays.contains("init_podir_smplx_full"))
    t.pose_dirs = floats("init_podir_smplx_full", {body::kPoseFeatures, 3 * t.dense_count()});
  if (arrays.contains("blocks")) {
    const auto blocks = io::to_integers(need("blocks", {4}), file + ": array 'blocks'");
    std::int64_t sum = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      if (blocks[k] < 0 || blocks[k] > n) reject(file, "blocks", fmt::format("count {}; expected 0..{}", blocks[k], n));
      sum += t.blocks[k] = blocks[k];
    }
    if (sum != n) reject(file, "blocks", fmt::format("counts sum to {}; expected {}", sum, n));
  } else {
    std::size_t block = 0;
    for (const std::int32_t label : t.labels) {
      const std::size_t own = label == 1 ? 0 : label == 5 ? 2 : label == 2 ? 3 : 1;
      if (own < block) reject(file, "part_label_full", "the blocks body, hair and shoes, bottom, top are out of order");
      block = own;
      ++t.blocks[own];
    }
  }
  const std::int64_t nb = t.body_count();
  for (std::int64_t i = 0; i < n; ++i)
    if ((t.labels[static_cast<std::size_t>(i)] == 1) != (i < nb))
      reject(file, "part_label_full", "label 1 and the body block differ");
  t.body_weights = floats("init_lbsw_smplx_body", {nb, body::kJoints});
  const auto mask = [&](const std::string& name) {
    std::vector<std::uint8_t> out;
    for (const float x : io::to_floats(need(name, {nb}))) out.push_back(x != 0 ? 1 : 0);
    return out;
  };
  t.face_mask = mask("face_mask_body");
  t.hands_mask = mask("hands_mask_body");
  t.outside_mask = mask("outside_mask_body");
  t.nose_mask = mask("nose_mask_body");
  return t;
}

}  // namespace layeravatar::templates
