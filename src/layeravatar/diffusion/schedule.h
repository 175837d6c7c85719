// Noise levels of a diffusion process (spec/model.md section 4.1). Plain numbers in double.
#pragma once
#include <cstdint>
#include <vector>

namespace layeravatar::diffusion {

/// Linear betas. Index t is the step 0..T-1.
class Schedule {
 public:
  explicit Schedule(std::int64_t steps = 1000, double first_beta = 1e-4, double last_beta = 2e-2);
  /// The squared cosine of arXiv 2102.09672: 1 - beta_t = f((t + 1) / T) / f(t / T), f(x) = cos^2(pi (x + 0.008) / 2.016), beta at most 0.999.
  static Schedule cosine(std::int64_t steps = 1000);
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(beta_.size()); }
  [[nodiscard]] double beta(std::int64_t t) const { return beta_.at(static_cast<std::size_t>(t)); }
  /// Product of 1 - beta up to t; 1 for t = -1.
  [[nodiscard]] double alpha_bar(std::int64_t t) const {
    return t < 0 ? 1.0 : alpha_bar_.at(static_cast<std::size_t>(t));
  }
  [[nodiscard]] double signal(std::int64_t t) const;  // sqrt(alpha_bar)
  [[nodiscard]] double noise(std::int64_t t) const;   // sqrt(1 - alpha_bar)
  /// beta_t (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t)
  [[nodiscard]] double posterior_variance(std::int64_t t) const;

 private:
  explicit Schedule(const std::vector<double>& betas);
  std::vector<double> beta_, alpha_bar_;
};

}  // namespace layeravatar::diffusion
