// Codes to planes and back (NormalizedTanhCode, spec/model.md section 2.2).
#pragma once
#include <torch/types.h>

namespace layeravatar::avatar {

/// planes = 2 tanh((code g + 0 - m g) / 2) with g = 0.5 / (sqrt(q) + 1e-5); m and q are running statistics of codes.
class PlaneActivation {
 public:
  PlaneActivation();
  [[nodiscard]] torch::Tensor forward(const torch::Tensor& code) const;
  /// In float32; planes are clamped to 2 (1 - 1e-5) first.
  [[nodiscard]] torch::Tensor inverse(const torch::Tensor& planes) const;
  /// m and q move by 0.001 towards the mean and the unbiased variance of all elements.
  void update_statistics(const torch::Tensor& codes);

  [[nodiscard]] const torch::Tensor& running_mean() const { return running_mean_; }  // [1]
  [[nodiscard]] const torch::Tensor& running_var() const { return running_var_; }    // [1]
  void set_statistics(const torch::Tensor& mean, const torch::Tensor& var);

 private:
  torch::Tensor running_mean_, running_var_;
};

}  // namespace layeravatar::avatar
