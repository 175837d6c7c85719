// An avatar: planes, body shape and where it came from, one .safetensors file.
#pragma once
#include <torch/types.h>

#include <array>
#include <filesystem>
#include <map>
#include <string>

namespace layeravatar::avatar {

struct Avatar {
  torch::Tensor planes;                           // [12, h, 3h] float32, after the activation
  std::array<float, 10> betas{};
  std::map<std::string, std::string> provenance;  // pack, seed, sampler, donors, ...
};

/// float32. Throws Error(kOutput) when the file cannot be written, Error(kInternal) for planes of a wrong shape.
void write_avatar(const std::filesystem::path& path, const Avatar& avatar);
/// `rows` is the pack's planes height; 0 accepts any. Planes may be stored in 16 bits. Throws Error(kInput), one line
/// with file and tensor: not an avatar, a tensor missing, unknown or of a wrong shape or type, non-finite numbers.
Avatar read_avatar(const std::filesystem::path& path, std::int64_t rows = 0);

}  // namespace layeravatar::avatar
