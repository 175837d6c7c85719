#include "layeravatar/avatar/avatar_file.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include "layeravatar/core/error.h"
#include "layeravatar/io/safetensors.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {

constexpr const char* kFormat = "layeravatar-avatar-1";
constexpr const char* kPlanes = "planes";
constexpr const char* kBetas = "betas";

}  // namespace

void write_avatar(const std::filesystem::path& path, const Avatar& avatar) {
  const std::int64_t h = avatar.planes.dim() == 3 ? avatar.planes.size(1) : -1;
  tensor::expect_shape(avatar.planes, {12, h, 3 * h}, kPlanes);
  io::SafeTensors out;
  out.metadata = avatar.provenance;
  out.metadata["format"] = kFormat;
  out.tensors[kPlanes] = tensor::to_array(avatar.planes.detach().to(torch::kFloat32));
  out.tensors[kBetas] = io::make_array<float>({10}, avatar.betas);
  io::write_safetensors(path, out);
}

Avatar read_avatar(const std::filesystem::path& path, std::int64_t rows) {
  const io::SafeTensors in = io::read_safetensors(path);
  const auto format = in.metadata.find("format");
  if (format == in.metadata.end() || format->second != kFormat)
    throw Error(ErrorKind::kInput, fmt::format("{}: not an avatar; expected format '{}'", path.string(), kFormat));
  const auto need = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    const std::string label = fmt::format("{}: tensor '{}'", path.string(), name);
    const auto it = in.tensors.find(name);
    if (it == in.tensors.end()) throw Error(ErrorKind::kInput, label + " is missing");
    io::expect_shape(it->second, shape, label);
    const torch::Tensor stored = tensor::to_tensor(it->second);
    if (!stored.is_floating_point())
      throw Error(ErrorKind::kInput,
                  fmt::format("{}; expected real numbers, found {}", label, io::name_of(it->second.dtype)));
    if (!torch::isfinite(stored).all().item<bool>())
      throw Error(ErrorKind::kInput, label + " contains non-finite numbers");
    return stored.to(torch::kFloat32);
  };
  for (const auto& [name, array] : in.tensors)
    if (name != kPlanes && name != kBetas)
      throw Error(ErrorKind::kInput, fmt::format("{}: unknown tensor '{}'", path.string(), name));
  Avatar out;
  out.planes = need(kPlanes, {12, rows > 0 ? rows : -1, rows > 0 ? 3 * rows : -1});
  if (out.planes.size(1) == 0 || out.planes.size(2) != 3 * out.planes.size(1))
    throw Error(ErrorKind::kInput,
                fmt::format("{}: tensor '{}'; expected (12, h, 3h), found (12, {}, {})", path.string(), kPlanes,
                            out.planes.size(1), out.planes.size(2)));
  const torch::Tensor betas = need(kBetas, {10});
  for (std::size_t k = 0; k < 10; ++k) out.betas[k] = betas.data_ptr<float>()[k];
  out.provenance = in.metadata;
  out.provenance.erase("format");
  return out;
}

}  // namespace layeravatar::avatar
