// The U-Net's forward pass on the CPU without LibTorch's layers: for sampling, where nobody asks for gradients.
#pragma once
#include <torch/types.h>

#include <memory>

#include "layeravatar/diffusion/unet.h"

namespace layeravatar::diffusion {

/// UNet::forward from prepacked weights: activations stay in blocks of channels, 3 x 3 convolutions use Winograd's minimal
/// filtering where the image is large enough, and read their input through norm, modulation, SiLU, concatenation and doubling,
/// none of which is written to memory. With Precision::kBfloat16 of the network and a processor with AMX, convolutions but the
/// last one multiply bfloat16 and add up in float32; maps stay float32.
class UNetEngine {
 public:
  /// Cheap: weights are packed at the first step, and again when the network's precision or a parameter has changed.
  explicit UNetEngine(std::shared_ptr<UNet> unet);
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
  /// Multiply-adds of the convolutions' matrix products in a step of one image, and bytes of their packed weights; zero before the first step.
  struct Work {
    double products = 0, weight_bytes = 0;
  };
  [[nodiscard]] Work work() const;

 private:
  struct Net;
  std::shared_ptr<UNet> unet_;
  std::unique_ptr<Net> net_;
};

}  // namespace layeravatar::diffusion
