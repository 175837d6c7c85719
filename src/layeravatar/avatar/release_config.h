// What the names, shapes and configuration text of a released checkpoint say about the model (spec/model.md sections 3.3
// and 16). No LibTorch.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layeravatar/avatar/pack_config.h"

namespace layeravatar::avatar {

/// Shapes of a network's tensors under their names in a checkpoint, without the prefix.
using Shapes = std::map<std::string, std::vector<std::int64_t>>;

/// The denoiser's tensors for a configuration without a prior: 488 with the release's. Nothing of their size is allocated.
Shapes release_unet_shapes(const PackConfig& config);

/// Sets base channels, channel factors, blocks per level and attention from the denoiser's tensors; `planes_height` is
/// set before, since attention is written in relation to it. Sizes are taken where most tensors of a block agree, so that
/// a wrong tensor is found by a comparison with release_unet_shapes. Throws Error(kInput) naming the file: no denoiser's
/// tensors, a setting out of range, channels that the heads do not divide; Error(kConfig) for a planes height that the
/// levels do not divide.
void set_unet_from_shapes(const Shapes& shapes, const std::string& file, PackConfig& config);

/// "k: expected (2, 3), found (2, 4)" for the first ten names at which the two differ, joined by "; "; "none" stands for a
/// tensor that is missing or too many. Empty where the shapes are equal.
std::string shape_differences(const Shapes& expected, const Shapes& found);

/// What weights do not tell, from the text of an mmcv configuration (Python source): code_size, img_size or image_size,
/// num_heads. Nothing where the text does not say it in plain numbers.
struct TextSettings {
  std::optional<int> planes_height, image_size, heads;
};
TextSettings settings_from_text(std::string_view text);

}  // namespace layeravatar::avatar
