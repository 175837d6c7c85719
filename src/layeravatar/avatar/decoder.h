// Planes to attributes (UVTPDecoder, spec/model.md section 5).
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>

#include <memory>
#include <span>

#include "layeravatar/avatar/attributes.h"
#include "layeravatar/avatar/pack_config.h"

namespace layeravatar::avatar {

/// Parameters are named as in the release: base_net.0, base_bn, density_net.0, offset_net.0, color_net.0, cov_net.0,
/// tex_net.0, tex_net.1. In training mode the batch's statistics normalise, in evaluation mode the running ones.
class Decoder : public torch::nn::Module {
 public:
  /// PyTorch's initialisation; the offset and scale-rotation heads start at almost zero (section 5.5).
  Decoder();
  /// planes [S, 12, h, w] (after the activation) -> [S, 13, h, w], activations applied.
  torch::Tensor attribute_map(const torch::Tensor& planes);
  /// Its first four channels, opacity and offset, which follow from the geometry planes [S, 6, h, w] alone.
  torch::Tensor geometry_map(const torch::Tensor& planes);

 private:
  torch::Tensor texture_map(const torch::Tensor& planes);
  torch::nn::Sequential base_net_, density_net_, offset_net_, color_net_, cov_net_, tex_net_;
  torch::nn::BatchNorm2d base_bn_{nullptr};
};

/// Bilinear lookups at N fixed texture coordinates: border padded, corners not aligned, x = w u - 0.5, y = h v - 0.5
/// (section 5.2). Copies share their taps; safe to use from several threads.
class MapSampler {
 public:
  /// uvs [N, 2] in [0, 1].
  explicit MapSampler(std::span<const float> uvs);
  /// map [S, C, h, w] -> [S, N, C]. Differentiable in the map; values and gradients do not depend on the number of
  /// threads. The taps are computed at the first map of a size.
  [[nodiscard]] torch::Tensor sample(const torch::Tensor& map) const;
  [[nodiscard]] std::int64_t count() const;

 private:
  struct Taps;
  std::shared_ptr<Taps> taps_;
};

}  // namespace layeravatar::avatar
