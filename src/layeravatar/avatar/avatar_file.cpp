#include "layeravatar/avatar/avatar_file.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include "layeravatar/core/error.h"
#include "layeravatar/io/safetensors.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {
constexpr const char* kFormat = "layeravatar-avatar-1";
}

void write_avatar(const std::filesystem::path& path, const Avatar& avatar) {
  tensor::expect_shape(avatar.planes, {12, -1, -1}, "planes");
  io::SafeTensors out;
  out.metadata = avatar.provenance;
  out.metadata["format"] = kFormat;
  out.tensors["planes"] = tensor::to_array(avatar.planes);
  out.tensors["betas"] = io::make_array<float>({10}, avatar.betas);
  io::write_safetensors(path, out);
}

Avatar read_avatar(const std::filesystem::path& path, std::int64_t rows) {
  const io::SafeTensors in = io::read_safetensors(path);
  const auto format = in.metadata.find("format");
  if (format == in.metadata.end() || format->second != kFormat)
    throw Error(ErrorKind::kInput, fmt::format("{}: not an avatar; expected format '{}'", path.string(), kFormat));
  const auto need = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    const auto it = in.tensors.find(name);
    if (it == in.tensors.end()) throw Error(ErrorKind::kInput, fmt::format("{}: tensor '{}' is missing", path.string(), name));
    io::expect_shape(it->second, shape, fmt::format("{}: tensor '{}'", path.string(), name));
    return tensor::to_tensor(it->second).to(torch::kFloat32);
  };
  Avatar out;
  out.planes = need("planes", {12, rows > 0 ? rows : -1, rows > 0 ? 3 * rows : -1});
  const torch::Tensor betas = need("betas", {10});
  if (!torch::isfinite(out.planes).all().item<bool>() || !torch::isfinite(betas).all().item<bool>())
    throw Error(ErrorKind::kInput, path.string() + ": contains non-finite numbers");
  for (std::size_t k = 0; k < 10; ++k) out.betas[k] = betas.data_ptr<float>()[k];
  out.provenance = in.metadata;
  return out;
}

}  // namespace layeravatar::avatar
