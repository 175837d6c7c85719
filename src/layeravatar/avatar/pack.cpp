#include "layeravatar/avatar/pack.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <future>
#include <limits>
#include <memory>
#include <string_view>

#include "layeravatar/avatar/pack_reader.h"
#include "layeravatar/body/joint_names.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/safetensors.h"
#include "layeravatar/io/sha1.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/tensor/one_thread.h"

namespace layeravatar::avatar {
namespace {

using body::kBetas;
using body::kJoints;
using body::kShapeColumns;
constexpr std::string_view kParts[] = {"template.", "body.", "decoder_ema.", kDenoiserPrefix, "betas.",
                                       "code_activation."};
constexpr std::int64_t kPoolRows = 4, kPoolColumns = 12;

torch::Tensor pooled(const torch::Tensor& planes) {
  return torch::adaptive_avg_pool2d(planes.unsqueeze(0), {kPoolRows, kPoolColumns}).reshape({-1});
}

// Real numbers in 16 bits, or in 32 where they are kept exactly.
struct Reals {
  Storage storage;

  [[nodiscard]] io::Array operator()(const torch::Tensor& t) const {
    const torch::Tensor stored = !t.is_floating_point() ? t : t.to(storage == Storage::kExact ? torch::kFloat32 : torch::kFloat16);
    LAV_CHECK(torch::isfinite(stored).all().item<bool>(), "a number of the pack does not fit its storage");
    return tensor::to_array(stored);
  }
  [[nodiscard]] io::Array operator()(const std::vector<float>& values, const std::vector<std::int64_t>& shape) const {
    return (*this)(tensor::from_floats(values, shape));
  }
};

// In u8, u16 or i32, whichever is the smallest that holds all.
template <class T>
io::Array integers_array(const std::vector<T>& values, const std::vector<std::int64_t>& shape) {
  const auto as = [&]<class U>(U) {
    std::vector<U> out;
    for (const T v : values) out.push_back(static_cast<U>(v));
    return io::make_array<U>(shape, out);
  };
  const auto holds = [&]<class U>(U) {
    return std::all_of(values.begin(), values.end(), [](T v) { return v >= 0 && v <= std::numeric_limits<U>::max(); });
  };
  if (holds(std::uint8_t{})) return as(std::uint8_t{});
  return holds(std::uint16_t{}) ? as(std::uint16_t{}) : as(std::int32_t{});
}

// Rows of mostly zeros: where each row starts, then column and value of what is not zero.
void put_sparse(io::ArrayMap& out, const std::string& name, const std::vector<float>& values, std::int64_t columns,
                Storage storage) {
  std::vector<std::int32_t> start{0}, column;
  std::vector<float> kept;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] != 0.0F) {
      column.push_back(static_cast<std::int32_t>(static_cast<std::int64_t>(i) % columns));
      kept.push_back(values[i]);
    }
    if (static_cast<std::int64_t>(i + 1) % columns == 0) start.push_back(static_cast<std::int32_t>(kept.size()));
  }
  const auto n = static_cast<std::int64_t>(kept.size());
  out[name + ".start"] = integers_array(start, {static_cast<std::int64_t>(start.size())});
  out[name + ".column"] = integers_array(column, {n});
  out[name + ".value"] = Reals{storage}(kept, {n});
}

// Skinning weights: most joints do not move most points.
void put_weights(io::ArrayMap& out, const std::string& name, const std::vector<float>& values, Storage storage) {
  if (storage == Storage::kSmall) return put_sparse(out, name, values, kJoints, storage);
  out[name] = Reals{storage}(values, {static_cast<std::int64_t>(values.size()) / kJoints, kJoints});
}

// The exponent's bits of no element are all one.
bool finite(const io::Array& array) {
  const auto below = [&]<class Word>(Word exponent) {
    const auto* const words = reinterpret_cast<const Word*>(array.data.data());
    const std::size_t count = array.count();
    Word bad = 0;
    for (std::size_t i = 0; i < count; ++i) bad |= static_cast<Word>((words[i] & exponent) == exponent);
    return bad == 0;
  };
  switch (array.dtype) {
    case io::DType::kF16: return below(std::uint16_t{0x7C00});
    case io::DType::kBF16: return below(std::uint16_t{0x7F80});
    case io::DType::kF32: return below(std::uint32_t{0x7F800000});
    case io::DType::kF64: return below(std::uint64_t{0x7FF0000000000000});
    default: return true;  // whole numbers
  }
}

// A network's tensors, named without `prefix`.
Tensors network(const io::ArrayMap& named, const std::string& file, const std::string& prefix) {
  Tensors out;
  for (const auto& [name, array] : named) {
    const torch::Tensor t = tensor::share_tensor(array);
    if (!finite(array)) throw Error(ErrorKind::kInput, fmt::format("{}: tensor '{}{}' contains non-finite numbers", file, prefix, name));
    out[name] = t.is_floating_point() ? t.to(torch::kFloat32) : t;
  }
  return out;
}

// The ten betas of a 20-column basis; expressions of the default body are zero.
bool has_expressions(const std::vector<float>& dirs) {
  for (std::size_t i = 0; i < dirs.size(); ++i)
    if (i % kShapeColumns >= kBetas && dirs[i] != 0.0F) return true;
  return false;
}

io::Array shape_basis(const std::vector<float>& dirs, const Reals& reals) {
  const auto rows = static_cast<std::int64_t>(dirs.size() / (3 * kShapeColumns));
  const torch::Tensor all = tensor::from_floats(dirs, {rows, 3, kShapeColumns});
  return reals(has_expressions(dirs) ? all : all.slice(2, 0, kBetas).contiguous());
}

}  // namespace

std::array<float, 10> BetasRegression::predict(const torch::Tensor& planes) const {
  std::array<float, 10> out{};
  if (!weight.defined()) return out;
  const torch::NoGradGuard no_grad;
  const torch::Tensor betas = (weight.matmul(pooled(planes)) + bias).clamp(-3.0, 3.0);
  for (std::int64_t k = 0; k < 10; ++k) out[static_cast<std::size_t>(k)] = betas[k].item<float>();
  return out;
}

BetasRegression BetasRegression::fit(const std::vector<torch::Tensor>& planes, const torch::Tensor& betas,
                                     double ridge) {
  const torch::NoGradGuard no_grad;
  LAV_CHECK(!planes.empty() && betas.size(0) == static_cast<std::int64_t>(planes.size()), "one row per planes");
  std::vector<torch::Tensor> rows;
  for (const torch::Tensor& p : planes) rows.push_back(pooled(p));
  const torch::Tensor x = torch::stack(rows).to(torch::kFloat64), y = betas.to(torch::kFloat64);
  const torch::Tensor mean_x = x.mean(0), mean_y = y.mean(0), centred = x - mean_x;
  // Dual form: fewer people than features.
  const torch::Tensor gram = centred.matmul(centred.t());
  const torch::Tensor scale = gram.diagonal().mean() * ridge;
  const torch::Tensor dual = torch::linalg_solve(gram + scale * torch::eye(x.size(0), torch::kFloat64), y - mean_y);
  const torch::Tensor w = dual.t().matmul(centred);
  return {w.to(torch::kFloat32), (mean_y - w.matmul(mean_x)).to(torch::kFloat32)};
}

void write_pack(const std::filesystem::path& path, const ModelPack& pack, Storage storage) {
  const Reals reals{storage};
  io::SafeTensors out;
  out.metadata = {{"format", kPackFormat}, {"config", pack.config.to_json()}};
  io::ArrayMap layers = templates::to_arrays(pack.layers);
  layers["init_spdir_smplx_full"] = shape_basis(pack.layers.shape_dirs, reals);
  layers["init_rot_smplx_full"] = reals(pack.layers.frames, {pack.layers.count(), 3, 3});
  layers.erase("init_lbsw_smplx_body");
  if (layers.contains("init_podir_smplx_full"))
    layers["init_podir_smplx_full"] = reals(tensor::to_tensor(layers["init_podir_smplx_full"]));
  for (const char* const name : {"blocks", "part_label_full", "init_faces_smplx_full"}) {
    io::Array& array = layers.at(name);
    array = integers_array(io::to_integers(array, name), array.shape);
  }
  for (auto& [name, array] : layers) out.tensors["template." + name] = std::move(array);
  put_weights(out.tensors, "template.init_lbsw_smplx_body", pack.layers.body_weights, storage);
  const body::BodyModel& b = pack.body;
  const std::int64_t v = b.vertex_count();
  out.tensors["body.v_template"] = io::make_array<float>({v, 3}, b.v_template);
  out.tensors["body.shapedirs"] = shape_basis(b.shapedirs, reals);
  if (!b.posedirs.empty()) out.tensors["body.posedirs"] = reals(b.posedirs, {body::kPoseFeatures, 3 * v});
  put_sparse(out.tensors, "body.J_regressor", b.j_regressor, v, Storage::kExact);
  put_weights(out.tensors, "body.weights", b.weights, storage);
  out.tensors["body.parents"] = io::make_array<std::int64_t>({kJoints}, b.parents);
  out.tensors["body.f"] = integers_array(b.faces, {b.face_count(), 3});
  for (const auto& [name, t] : pack.decoder) out.tensors["decoder_ema." + name] = tensor::to_array(t);
  for (const auto& [name, t] : pack.unet) out.tensors["diffusion_ema.denoising." + name] = reals(t);
  if (pack.betas.weight.defined()) {
    out.tensors["betas.weight"] = tensor::to_array(pack.betas.weight);
    out.tensors["betas.bias"] = tensor::to_array(pack.betas.bias);
  }
  out.tensors["code_activation.running_mean"] = tensor::to_array(pack.activation.running_mean());
  out.tensors["code_activation.running_var"] = tensor::to_array(pack.activation.running_var());
  io::write_safetensors(path, out);
}

ModelPack read_pack(const std::filesystem::path& path) { return read_pack(open_pack(path)); }

ModelPack read_pack(OpenedPack opened) {
  const std::string& file = opened.file;
  const io::SafeTensors& in = opened.content;
  ModelPack out;
  out.hash = std::async(std::launch::async, [mapped = opened.mapped] { return io::sha1_hex(mapped->bytes()); }).share();
  out.config = opened.config;
  const PackReader reader{in.tensors, file};
  std::future<Tensors> unet = std::async(std::launch::async, [&] {
    layeravatar::tensor::stay_on_one_thread();
    return network(opened.denoiser ? *opened.denoiser : wide_denoiser(in), file, kDenoiserPrefix);
  });
  for (const auto& [name, array] : in.tensors)
    if (std::none_of(std::begin(kParts), std::end(kParts), [&](auto part) { return name.starts_with(part); }))
      reader.reject(fmt::format("unknown tensor '{}'", name));
  TemplateAndBody parts = opened.parts ? std::move(*opened.parts) : read_template_and_body(opened);
  out.layers = std::move(parts.layers);
  out.body = std::move(parts.body);
  out.volume = std::move(parts.volume);
  out.tables = std::move(parts.tables);
  const std::string decoder = "decoder_ema.";
  out.decoder = network(tensors_below(in.tensors, decoder), file, decoder);
  out.unet = unet.get();
  if (out.decoder.empty()) reader.reject("the decoder's tensors are missing");
  const auto tensor_of = [&](const std::string& name, const std::vector<std::int64_t>& shape) { return tensor::from_floats(reader.floats(name, shape), shape); };
  if (in.tensors.contains("betas.weight")) {
    out.betas.weight = tensor_of("betas.weight", {10, kPoolRows * kPoolColumns * 12});
    out.betas.bias = tensor_of("betas.bias", {10});
  }
  if (in.tensors.contains("code_activation.running_mean")) {
    const torch::Tensor var = tensor_of("code_activation.running_var", {1});
    if (!(var.item<float>() > 0)) reader.reject("tensor 'code_activation.running_var'; expected a positive number");
    out.activation.set_statistics(tensor_of("code_activation.running_mean", {1}), var);
  }
  return out;
}

}  // namespace layeravatar::avatar
