// Distances between two sets of features (spec/model.md section 11.4 and 16): Fréchet (FID) and kernel (KID).
#pragma once
#include <torch/types.h>

#include <cstdint>

namespace layeravatar::eval {

/// Mean and covariance of rows that come bit by bit, in double.
class Moments {
 public:
  /// rows [n, D], any n.
  void add(const torch::Tensor& rows);
  /// As if the other's rows had been added.
  void merge(const Moments& other);

  [[nodiscard]] std::int64_t count() const { return count_; }
  [[nodiscard]] const torch::Tensor& mean() const { return mean_; }  // [D] float64
  /// [D, D] float64, divided by n - 1. Throws Error(kInternal) for fewer than two rows.
  [[nodiscard]] torch::Tensor covariance() const;

 private:
  std::int64_t count_ = 0;
  torch::Tensor mean_, scatter_;  // scatter [D, D]: sum of the outer products of what is left after the mean
};

struct FrechetDistance {
  double mean = 0;        // |mu_a - mu_b|^2
  double covariance = 0;  // tr(A) + tr(B) - 2 tr((A B)^(1/2))
  [[nodiscard]] double total() const { return mean + covariance; }
};

/// Of two Gaussians with means [D] and covariances [D, D] float64. The root's trace is the sum of the roots of the eigenvalues of
/// A^(1/2) B A^(1/2), which are those of A B; negative ones, of rounding, count as zero. So singular covariances, of fewer rows than features, need no
/// addition to their diagonal.
FrechetDistance frechet_distance(const torch::Tensor& mean_a, const torch::Tensor& covariance_a, const torch::Tensor& mean_b, const torch::Tensor& covariance_b);

struct KernelOptions {
  int subsets = 100;
  std::int64_t largest = 1000;  // rows of a subset; fewer where a set has fewer
  std::uint64_t seed = 0;
};

/// Squared maximum mean discrepancy of two sets [n, D] and [m, D] float32, two rows or more each, with the kernel (x y / D + 1)^3: the mean over
/// subsets drawn without replacement from both, unbiased, so it may be negative. Not scaled; tables show it times 1000.
double kernel_distance(const torch::Tensor& a, const torch::Tensor& b, const KernelOptions& options = {});

}  // namespace layeravatar::eval
