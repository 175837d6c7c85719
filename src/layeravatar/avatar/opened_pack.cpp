#include "layeravatar/avatar/opened_pack.h"

#include <fmt/format.h>

#include <utility>

#include "layeravatar/avatar/pack_reader.h"
#include "layeravatar/body/joint_names.h"
#include "layeravatar/core/error.h"
#include "layeravatar/core/finite.h"
#include "layeravatar/core/large_pages.h"

namespace layeravatar::avatar {

OpenedPack open_pack(const std::filesystem::path& path) {
  OpenedPack out;
  out.file = path.string();
  out.mapped = std::make_shared<const MappedFile>(path);
  out.content = io::parse_safetensors(out.mapped->bytes(), out.file, out.mapped);
  const auto& metadata = out.content.metadata;
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != kPackFormat || !metadata.contains("config"))
    throw Error(ErrorKind::kInput, fmt::format("{}: not a model pack; expected format '{}'", out.file, kPackFormat));
  out.config = PackConfig::from_json(metadata.at("config"), out.file);
  return out;
}

io::ArrayMap wide_denoiser(const io::SafeTensors& content) {
  io::ArrayMap out = tensors_below(content.tensors, kDenoiserPrefix);
  for (auto& [name, array] : out) {
    if (array.dtype != io::DType::kF16) continue;
    const std::size_t bytes = array.count() * sizeof(float);
    const std::shared_ptr<void> memory = zeroed_memory(bytes);
    io::to_floats(std::as_const(array).at<io::Half>(), static_cast<float*>(memory.get()));
    array = {io::DType::kF32, array.shape, io::Bytes(memory, {static_cast<const std::byte*>(memory.get()), bytes})};
  }
  return out;
}

io::ArrayMap tensors_below(const io::ArrayMap& tensors, const std::string& prefix) {
  io::ArrayMap out;
  for (auto it = tensors.lower_bound(prefix); it != tensors.end() && it->first.starts_with(prefix); ++it) out[it->first.substr(prefix.size())] = it->second;
  return out;
}

TemplateAndBody read_template_and_body(const OpenedPack& pack) {
  const PackReader reader{pack.content.tensors, pack.file};
  TemplateAndBody out;
  io::ArrayMap layers = tensors_below(pack.content.tensors, "template.");
  const std::int64_t dense = reader.need("template.init_spdir_smplx_full", {-1, 3, -1}).shape[0];
  layers["init_spdir_smplx_full"] =
      io::make_array<float>({dense, 3, body::kShapeColumns}, reader.basis("template.init_spdir_smplx_full", dense));
  const auto blocks = reader.integers("template.blocks", {4});
  const std::int64_t gaussians = reader.need("template.part_label_full", {-1}).shape[0];
  if (blocks[0] < 0 || blocks[0] > gaussians)
    reader.reject(fmt::format("tensor 'template.blocks': count {}; expected 0..{}", blocks[0], gaussians));
  layers["init_lbsw_smplx_body"] =
      io::make_array<float>({blocks[0], body::kJoints}, reader.weights("template.init_lbsw_smplx_body", blocks[0]));
  out.layers = templates::from_arrays(layers, pack.file);
  if (!all_finite(out.layers.shifted_positions())) reader.reject("the template's positions: a shifted one is not finite");
  body::BodyModel& b = out.body;
  b.v_template = reader.floats("body.v_template", {-1, 3});
  const std::int64_t v = b.vertex_count();
  b.shapedirs = reader.basis("body.shapedirs", v);
  if (pack.content.tensors.contains("body.posedirs")) b.posedirs = reader.floats("body.posedirs", {body::kPoseFeatures, 3 * v});
  b.j_regressor = reader.sparse("body.J_regressor", body::kJoints, v, false);
  b.weights = reader.weights("body.weights", v);
  b.parents = reader.integers("body.parents", {body::kJoints});
  b.faces = reader.integers("body.f", {-1, 3});
  try {
    b.prepare();
  } catch (const Error& e) {
    reader.reject(e.what());
  }
  return out;
}

}  // namespace layeravatar::avatar
