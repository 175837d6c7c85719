// A checkpoint as the public code saves it, on the recorded small template and body, whole; test programs only.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "layeravatar/avatar/release_checkpoint.h"
#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/testing/deterministic_values.h"

namespace layeravatar::avatar {

/// Recorded shapes under their keys: "official" or "tiny".
inline std::map<std::string, std::vector<std::int64_t>> recorded_shapes(const std::string& which) {
  return nlohmann::json::parse(read_file(LAV_GOLDEN_DIR "/avatar/release_shapes.json")).at(which).get<std::map<std::string, std::vector<std::int64_t>>>();
}

/// The averaged networks of the small recorded checkpoint, statistics, template and body; weights follow from names under
/// the given prefixes of the recipe.
inline io::ArrayMap small_checkpoint(const std::string& decoder_recipe = "decoder_ema.", const std::string& unet_recipe = "unet_ema.") {
  const std::string decoder = "decoder_ema.", unet = "diffusion_ema.denoising.";
  io::ArrayMap out;
  for (const auto& [key, shape] : recorded_shapes("tiny")) {
    const bool is_unet = key.starts_with(unet);
    if (!is_unet && key.find("_net.") == std::string::npos && key.find("base_bn.") == std::string::npos) continue;  // no weight
    const std::string name = key.substr(is_unet ? unet.size() : decoder.size());
    if (name.ends_with("num_batches_tracked")) out[key] = io::make_array<std::int64_t>(shape, std::vector<std::int64_t>{7});
    else out[key] = io::make_array<float>(shape, testing::deterministic_weights((is_unet ? unet_recipe : decoder_recipe) + name, shape));
  }
  out["code_activation.running_mean"] = io::make_array<float>({1}, std::vector<float>{0.02F});
  out["code_activation.running_var"] = io::make_array<float>({1}, std::vector<float>{0.36F});
  const io::ArrayMap t = io::read_npz(LAV_GOLDEN_DIR "/avatar/d_template_small.npz");
  const auto batched = [](io::Array array) {
    array.shape.insert(array.shape.begin(), 1);
    return array;
  };
  out[decoder + "pcd_label"] = t.at("part_label_full");
  std::vector<float> uvs = io::to_floats(t.at("init_uv_smplx_full")), positions = io::to_floats(t.at("init_pcd_smplx_full"));
  const std::vector<float> frames = io::to_floats(t.at("init_rot_smplx_full")), labels = io::to_floats(t.at("part_label_full"));
  for (float& x : uvs) x = 2 * x - 1;
  for (std::size_t i = 0; i < labels.size(); ++i)
    for (std::size_t k = 0; k < 3 && labels[i] != 1.0F; ++k) positions[3 * i + k] += 0.01F * frames[9 * i + 3 * k + 2];
  out[decoder + "select_coord"] = batched(io::make_array<float>(t.at("init_uv_smplx_full").shape, uvs));
  out[decoder + "init_pcd"] = batched(io::make_array<float>(t.at("init_pcd_smplx_full").shape, positions));
  out[decoder + "init_rot"] = t.at("init_rot_smplx_full");
  for (const std::string mask : {"face_mask", "hands_mask", "outside_mask", "nose_mask"}) out[decoder + mask] = batched(t.at(mask + "_body"));
  out[decoder + "deformer.init_spdir"] = t.at("init_spdir_smplx_full");
  out[decoder + "deformer.init_podir"] = t.at("init_podir_smplx_full");
  out[decoder + "deformer.init_faces"] = batched(t.at("init_faces_smplx_full"));
  out[decoder + "deformer.init_lbsw"] = batched(t.at("init_lbsw_smplx_body"));
  const body::BodyModel b = body::read_smplx_npz(LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz").model;
  const std::int64_t v = b.vertex_count();
  const std::string body = decoder + "deformer.body_model.";
  std::vector<float> betas, expressions;
  for (std::size_t i = 0; i < b.shapedirs.size(); ++i) (i % 20 < 10 ? betas : expressions).push_back(b.shapedirs[i]);
  out[body + "v_template"] = io::make_array<float>({v, 3}, b.v_template);
  out[body + "shapedirs"] = io::make_array<float>({v, 3, 10}, betas);
  out[body + "expr_dirs"] = io::make_array<float>({v, 3, 10}, expressions);
  out[body + "posedirs"] = io::make_array<float>({486, 3 * v}, b.posedirs);
  out[body + "J_regressor"] = io::make_array<float>({55, v}, b.j_regressor);
  out[body + "lbs_weights"] = io::make_array<float>({v, 55}, b.weights);
  out[body + "parents"] = io::make_array<std::int64_t>({55}, b.parents);
  out[body + "faces_tensor"] = io::make_array<std::int64_t>({b.face_count(), 3}, b.faces);
  out[decoder + "aabb"] = io::make_array<float>({6}, std::vector<float>{-1, -1, -1, 1, 1, 1});
  const io::ArrayMap volume = io::read_npz(LAV_GOLDEN_DIR "/body/weight_volume.npz");
  io::Array scale = volume.at("scale");
  scale.shape = {};
  out[decoder + "deformer.deformer.scale"] = scale;
  out[decoder + "deformer.deformer.offset"] = volume.at("offset");
  return out;
}

/// As open_release_checkpoint gives it; `arrays` stay the caller's.
inline ReleaseCheckpoint opened(const io::ArrayMap& arrays) {
  ReleaseCheckpoint out;
  out.file = "tiny.pth";
  for (const auto& [key, array] : arrays) out.state[key] = &array;
  return out;
}

}  // namespace layeravatar::avatar
