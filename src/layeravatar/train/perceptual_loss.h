// The perceptual distance of a feature network that the user names (spec/model.md section 8.2, per_loss).
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <random>

#include "layeravatar/nn/torch_script.h"

namespace layeravatar::train {

/// A square of an image, in pixels.
struct Crop {
  std::int64_t row = 0, column = 0, side = 0;
};
/// The release's: half the image's side; row 20 + 0..255 and column 119 (1 + z / 3), z ~ N(0, 1), in 0..238, of 1024 pixels. Other sizes in proportion.
Crop draw_crop(std::mt19937_64& engine, std::int64_t image_size);

/// TorchScript of StyleGAN2-ADA's vgg16.pt or alike: called with an image [1, 3, s, s] in 0..255, resize_images = false and return_lpips = true, it gives
/// features whose squared distance is LPIPS.
class PerceptualLoss {
 public:
  /// Throws Error(kInput): no such file, no TorchScript.
  explicit PerceptualLoss(const std::filesystem::path& network);
  /// Squared distance of the features of two images [3, H, W], clamped to [0, 1], in the crop; a gradient goes to the first. Throws Error(kInput) when the
  /// network does not take such a call.
  torch::Tensor distance(const torch::Tensor& image, const torch::Tensor& target, const Crop& crop);

 private:
  nn::ScriptNetwork network_;
};

}  // namespace layeravatar::train
