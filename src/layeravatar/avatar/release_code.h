// Latent codes of the public release into avatars (spec/model.md sections 2.4 and 2.5).
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <string>

#include "layeravatar/avatar/avatar_file.h"
#include "layeravatar/avatar/plane_activation.h"
#include "layeravatar/io/pickle.h"

namespace layeravatar::avatar {

struct ReleaseCode {
  torch::Tensor values;    // float32, of any shape
  bool activated = true;   // false: a leaf of training, before the activation
  std::string key;         // where it stood: "param.code_"; empty for a bare tensor
  std::string scene_name;  // empty where the file does not tell
};

/// Whether the content is a bare tensor, or a dict with param.code (of save_scene) or param.code_ (a cache of training).
bool is_release_code(const io::PickleValue& content);
/// param.code wins where there are both. Throws Error(kInput) when there is none or it does not hold real numbers.
ReleaseCode find_release_code(const io::PickleValue& content, const std::string& file);

/// The avatar of a code, betas zero. A code before its activation goes through `activation`, that of the checkpoint with
/// which it was trained. `rows` is the pack's planes height, 0 accepts any. Throws Error(kInput) for another shape than
/// (12, h, 3h) and for non-finite numbers, Error(kUsage) where an activation is needed and null.
Avatar avatar_of_code(const ReleaseCode& code, const std::string& file, std::int64_t rows, const PlaneActivation* activation);

/// An avatar's .safetensors, or a code's .pth or .pkl, which is told by content. Throws as avatar_of_code and read_avatar.
Avatar read_avatar_or_code(const std::filesystem::path& path, std::int64_t rows, const PlaneActivation* activation);

}  // namespace layeravatar::avatar
