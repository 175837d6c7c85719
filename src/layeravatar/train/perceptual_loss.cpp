#include "layeravatar/train/perceptual_loss.h"

#include <algorithm>
#include <cmath>

namespace layeravatar::train {
namespace {

constexpr double kImage = 1024, kFirstRow = 20, kRows = 256, kColumn = 119, kLastColumn = 238;

}  // namespace

Crop draw_crop(std::mt19937_64& engine, std::int64_t image_size) {
  const double scale = static_cast<double>(image_size) / kImage;
  const double row = kFirstRow + static_cast<double>(engine() % static_cast<std::uint64_t>(kRows)), z = std::normal_distribution<double>()(engine);
  const double column = std::clamp(std::trunc(kColumn + z * kColumn / 3), 0.0, kLastColumn);
  return {static_cast<std::int64_t>(row * scale), static_cast<std::int64_t>(column * scale), image_size / 2};
}

PerceptualLoss::PerceptualLoss(const std::filesystem::path& network) : network_(nn::load_script(network, torch::kCPU)) {
  for (torch::Tensor p : network_.module.parameters()) p.requires_grad_(false);
}

torch::Tensor PerceptualLoss::distance(const torch::Tensor& image, const torch::Tensor& target, const Crop& crop) {
  const auto features = [&](const torch::Tensor& of) {
    const torch::Tensor part = of.slice(1, crop.row, crop.row + crop.side).slice(2, crop.column, crop.column + crop.side);
    return nn::call_script(network_, {part.clamp(0, 1).unsqueeze(0) * 255}, {{"resize_images", false}, {"return_lpips", true}});
  };
  torch::Tensor wanted;
  {
    const torch::NoGradGuard no_grad;
    wanted = features(target);
  }
  return (features(image) - wanted).square().sum();
}

}  // namespace layeravatar::train
