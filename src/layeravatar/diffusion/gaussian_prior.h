// What a whole avatar has in common, as a Gaussian over the planes: the linear part of denoising.
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

#include <array>
#include <string>
#include <vector>

#include "layeravatar/diffusion/block_cosine.h"
#include "layeravatar/diffusion/schedule.h"

namespace layeravatar::diffusion {

/// A Gaussian over planes: mean + sum_k c_k basis_k with c_k ~ N(0, deviation_k^2), and independent noise around it. A garment
/// lies in many charts of the planes, far apart for convolutions; the posterior mean of this Gaussian holds them together,
/// and what it cannot know is left to the network. Not in the release.
/// All lives in the frequencies of block_cosine: mean and basis in the ninth of its
/// coefficients with the greatest mean square over the planes; the others have mean zero and a deviation for each channel and
/// frequency. Around mean and basis, coefficients move by kDrift: planes do while they are trained.
/// Buffers, M = C h w / 9: index [M] int32 of the coefficients, mean [M], basis [K, M] int8 in units of step [K], deviation
/// [K], rest [C, 8, 8]; zero until fitted.
class GaussianPrior : public torch::nn::Module {
 public:
  static constexpr std::int64_t kBlock = kCosineBlock;
  static constexpr std::int64_t kKeptOneOf = 9;
  static constexpr double kDrift = 0.01;
  /// Of planes [channels, rows, columns], rows and columns multiples of kBlock.
  GaussianPrior(std::int64_t channels, std::array<int, 2> image_size, std::int64_t rank);
  /// From planes [C, h, w]; with n of them at most n - 1 components get a deviation.
  void fit(const std::vector<torch::Tensor>& planes);
  [[nodiscard]] bool fitted() const;
  /// Of buffers from a file: every index lies in the planes, else Error(kInput) that begins with `what`.
  void check(const std::string& what) const;
  /// E[x0 | x_t] with x_t = a x0 + s noise at steps t [B]; x [B, C, h, w] -> the same shape.
  [[nodiscard]] torch::Tensor estimate(const torch::Tensor& x, const torch::Tensor& t) const;
  /// E[v | x_t] of v = a noise - s x0, from the estimate [B, C, h, w] of x0.
  [[nodiscard]] torch::Tensor velocity(const torch::Tensor& x, const torch::Tensor& estimate, const torch::Tensor& t) const;
  /// How far v lies from that, root of the mean square over texels: [B, 1, 1, 1].
  [[nodiscard]] torch::Tensor deviation(const torch::Tensor& t) const;
  /// [1, C, h, w]
  [[nodiscard]] torch::Tensor mean() const;
  [[nodiscard]] std::int64_t rank() const { return deviation_.size(0); }
  /// sum_k c_k deviation_k basis_k, planes [C, h, w], of c [K], and its transpose, by which a gradient comes back.
  [[nodiscard]] torch::Tensor of_components(const torch::Tensor& c) const;
  [[nodiscard]] torch::Tensor to_components(const torch::Tensor& planes) const;
  /// Of the coefficients of each channel and frequency around the mean, over all blocks: [C, 8, 8].
  [[nodiscard]] torch::Tensor frequency_deviation() const;

 private:
  [[nodiscard]] torch::Tensor planes(const torch::Tensor& all) const;                 // of coefficients [B, C h w]
  [[nodiscard]] torch::Tensor planes_of_kept(const torch::Tensor& kept) const;  // [M], zero elsewhere -> [C, h, w]
  [[nodiscard]] torch::Tensor by_frequency(const torch::Tensor& coefficients) const;  // sums over blocks, [C, 8, 8]
  [[nodiscard]] torch::Tensor basis() const;                                          // [K, M], float32
  [[nodiscard]] torch::Tensor rest_variance() const;                                  // [C h w], zero where index points

  Schedule schedule_;
  std::int64_t channels_, rows_, columns_;
  torch::Tensor index_, mean_, basis_, step_, deviation_, rest_;
};

}  // namespace layeravatar::diffusion
