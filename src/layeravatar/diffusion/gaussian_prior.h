// What a whole avatar has in common, as a Gaussian over coarse planes: the linear part of denoising.
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

#include <array>
#include <vector>

#include "layeravatar/diffusion/schedule.h"

namespace layeravatar::diffusion {

/// A Gaussian of low rank over the means of 4 x 4 texels: mean + sum_k c_k basis_k with c_k ~ N(0, variance_k). A garment lies
/// in many charts of the planes, far apart for convolutions; under strong noise, the posterior mean of this Gaussian holds
/// them together. Not in the release. Nothing of single training people is kept: mean and principal components alone.
/// Buffers: mean [C, h/4, w/4], basis [K, C, h/4, w/4] orthonormal, variance [K]; zero until fitted.
class GaussianPrior : public torch::nn::Module {
 public:
  static constexpr std::int64_t kBlock = 4;
  /// Of planes [channels, rows, columns], both multiples of kBlock.
  GaussianPrior(std::int64_t channels, std::array<int, 2> image_size, std::int64_t rank);
  /// From planes [C, h, w]; with n of them at most n - 1 components get a variance.
  void fit(const std::vector<torch::Tensor>& planes);
  [[nodiscard]] bool fitted() const;
  /// E[x0 | x_t] with x_t = a x0 + s noise at steps t [B]; x [B, C, h, w] -> the same shape, each 4 x 4 texels alike.
  [[nodiscard]] torch::Tensor estimate(const torch::Tensor& x, const torch::Tensor& t) const;
  /// s^2 of the noise s at t, [B, 1, 1, 1]: 0.1 at step 100, 0.6 at 300, 0.99 at 700.
  [[nodiscard]] torch::Tensor weight(const torch::Tensor& t) const;
  /// [1, C, h, w]
  [[nodiscard]] torch::Tensor mean() const;

 private:
  Schedule schedule_;
  torch::Tensor mean_, basis_, variance_;
};

}  // namespace layeravatar::diffusion
