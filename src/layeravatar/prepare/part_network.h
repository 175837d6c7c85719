// Part segmentation by a TorchScript network, as Sapiens does it (spec/body_and_data.md section 11.4 step A).
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "layeravatar/io/png.h"
#include "layeravatar/nn/torch_script.h"

namespace layeravatar::prepare {

struct PartNetworkOptions {
  int height = 1024, width = 768;  // of the network's input; the picture's aspect is not kept
  int batch = 4;
  std::array<float, 3> mean = {123.5F, 116.5F, 103.5F}, deviation = {58.5F, 57.0F, 57.5F};  // of RGB 0..255

  /// Throws Error(kConfig) naming field, value and allowed range.
  void check() const;
};

class PartNetwork {
 public:
  PartNetwork(const std::filesystem::path& file, torch::Device device, const PartNetworkOptions& options);

  /// The class of every pixel of each picture, [height * width]. Pictures are RGB or RGBA, whose alpha is dropped. Bilinear resize
  /// without filter, (x - mean) / deviation, logits [B, C, h, w] enlarged bilinearly to the picture, the first largest. The last
  /// batch is filled up with zeros. Throws Error(kInput) for a grey picture and an output of another shape.
  std::vector<std::vector<std::int64_t>> classes(std::span<const io::Image> pictures);

  [[nodiscard]] const std::string& sha256() const { return network_.sha256; }
  [[nodiscard]] int batch() const { return options_.batch; }

 private:
  PartNetworkOptions options_;
  nn::ScriptNetwork network_;
};

}  // namespace layeravatar::prepare
