// The U-Net's forward pass on the CPU without LibTorch's layers: for sampling, where nobody asks for gradients.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "layeravatar/diffusion/packed_unet.h"
#include "layeravatar/diffusion/unet.h"

namespace layeravatar::diffusion {

/// UNet::forward from prepacked weights: activations stay in blocks of channels, 3 x 3 convolutions use Winograd's minimal
/// filtering where the image is large enough, and read their input through norm, modulation, SiLU, concatenation and doubling,
/// none of which is written to memory. With Precision::kBfloat16 of the network and a processor with AMX, convolutions but the
/// last one multiply bfloat16 and add up in float32; maps stay float32.
class UNetEngine {
 public:
  /// Cheap: weights are packed at the first step, and again when the network's precision or a parameter has changed.
  /// `begun`, unless null: packed from the same parameters, or about to be; taken as long as precision and parameters stay.
  explicit UNetEngine(std::shared_ptr<UNet> unet, std::shared_ptr<PackedUNet> begun = nullptr);
  ~UNetEngine();
  UNetEngine(const UNetEngine&) = delete;
  UNetEngine& operator=(const UNetEngine&) = delete;

  /// x [B, C, h, w] float32 on the CPU, t [B] integer steps -> [B, C, h, w]; no gradients. The bits do not depend on the number
  /// of threads. In float32 within 1e-5 of UNet::forward's largest value. Not for several threads at once.
  /// Throws Error(kInternal) when a shape or type is wrong.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& t, const Classes* classes = nullptr);
  /// Packs the weights now where they are not.
  void prepare();
  /// Bytes of packed weights and of activations.
  [[nodiscard]] std::size_t memory() const;
  /// Multiply-adds of the convolutions' matrix products in a step of one image, and bytes of their packed weights; zero before they are packed.
  using Work = PackedUNet::Work;
  [[nodiscard]] Work work() const;

 private:
  std::shared_ptr<UNet> unet_;
  std::shared_ptr<PackedUNet> packed_;
  std::vector<std::int64_t> versions_;  // of the parameters that it was packed from
  bool ready_ = false;
};

}  // namespace layeravatar::diffusion
