// Settings of a model pack. No LibTorch.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "layeravatar/avatar/vocabulary.h"

namespace layeravatar::avatar {

inline constexpr std::int64_t kPlaneChannels = 12;  // 6 geometry, then 6 texture

/// Sizes and settings; the file carries them as JSON in its metadata.
struct PackConfig {
  std::string profile = "default";    // default or official
  int image_size = 512;               // pixels of shown pictures
  int planes_height = 96;             // rows; three times as many columns
  int unet_base_channels = 128;
  std::vector<double> unet_channel_factors{0.5, 1, 2, 2, 4, 4};
  int unet_resblocks = 2;
  int unet_heads = 4;
  std::vector<int> unet_attention{16, 8, 4};
  int unet_prior_rank = 0;            // 0: the U-Net has no prior, as in the release
  Vocabulary attributes;              // what the prior knows of people; empty: nothing
  std::string provenance;             // how it was trained, free text

  [[nodiscard]] std::string to_json() const;
  /// Throws Error(kInput) "<file>: pack configuration: ...".
  static PackConfig from_json(const std::string& text, const std::string& file);
};

}  // namespace layeravatar::avatar
