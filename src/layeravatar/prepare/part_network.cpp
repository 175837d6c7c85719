#include "layeravatar/prepare/part_network.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include "layeravatar/core/error.h"
#include "layeravatar/io/array.h"

namespace layeravatar::prepare {

namespace F = torch::nn::functional;

namespace {

torch::Tensor resized(const torch::Tensor& x, std::int64_t height, std::int64_t width) {
  return F::interpolate(x, F::InterpolateFuncOptions().size(std::vector<std::int64_t>{height, width}).mode(torch::kBilinear).align_corners(false));
}

torch::Tensor pixels_of(const io::Image& picture) {  // [1, 3, H, W] float32, 0..255
  if (picture.channels < 3) throw Error(ErrorKind::kInput, fmt::format("expected 3 or 4 channels, found {}", picture.channels));
  const auto bytes = torch::from_blob(const_cast<std::uint8_t*>(picture.pixels.data()), {picture.height, picture.width, picture.channels}, torch::kUInt8);
  return bytes.slice(2, 0, 3).permute({2, 0, 1}).unsqueeze(0).to(torch::kFloat32);
}

}  // namespace

void PartNetworkOptions::check() const {
  const auto within = [](const char* field, int value, int low, int high) {
    if (value < low || value > high) throw Error(ErrorKind::kConfig, fmt::format("{} = {}, must be {}..{}", field, value, low, high));
  };
  within("net-height", height, 1, 8192);
  within("net-width", width, 1, 8192);
  within("batch", batch, 1, 1024);
}

PartNetwork::PartNetwork(const std::filesystem::path& file, torch::Device device, const PartNetworkOptions& options) : options_(options) {
  options_.check();
  network_ = nn::load_script(file, device);
}

std::vector<std::vector<std::int64_t>> PartNetwork::classes(std::span<const io::Image> pictures) {
  const torch::InferenceMode guard;
  const auto mean = torch::tensor(at::ArrayRef<float>(options_.mean)).view({1, 3, 1, 1});
  const auto deviation = torch::tensor(at::ArrayRef<float>(options_.deviation)).view({1, 3, 1, 1});
  std::vector<std::vector<std::int64_t>> out;
  const auto batch = static_cast<std::size_t>(options_.batch);
  for (std::size_t first = 0; first < pictures.size(); first += batch) {
    const std::size_t count = std::min(batch, pictures.size() - first);
    auto input = torch::zeros({options_.batch, 3, options_.height, options_.width});
    for (std::size_t i = 0; i < count; ++i)
      input[static_cast<std::int64_t>(i)].copy_(((resized(pixels_of(pictures[first + i]), options_.height, options_.width) - mean) / deviation)[0]);
    const torch::Tensor logits = nn::run_script(network_, {input.to(network_.device)});
    if (logits.dim() != 4 || logits.size(0) != options_.batch || logits.size(1) < 2 || logits.numel() == 0 || !logits.is_floating_point())
      throw Error(ErrorKind::kInput, fmt::format("{}: expected logits [{}, classes, height, width], found {}", network_.file, options_.batch,
                                                 io::shape_text(logits.sizes().vec())));
    for (std::size_t i = 0; i < count; ++i) {
      const io::Image& picture = pictures[first + i];
      const auto full = resized(logits.slice(0, static_cast<std::int64_t>(i), static_cast<std::int64_t>(i) + 1).to(torch::kFloat32), picture.height, picture.width);
      const auto best = full[0].argmax(0).to(torch::kCPU).contiguous();
      const auto* ids = best.data_ptr<std::int64_t>();
      out.emplace_back(ids, ids + best.numel());
    }
  }
  return out;
}

}  // namespace layeravatar::prepare
