#include "layeravatar/diffusion/schedule.h"

#include <cmath>

#include "layeravatar/core/error.h"

namespace layeravatar::diffusion {

Schedule::Schedule(std::int64_t steps, double first_beta, double last_beta) {
  LAV_CHECK(steps > 1 && first_beta > 0 && last_beta < 1, "a schedule needs two steps and betas in (0, 1)");
  double product = 1;
  for (std::int64_t i = 0; i < steps; ++i) {
    beta_.push_back(first_beta + (last_beta - first_beta) * static_cast<double>(i) / static_cast<double>(steps - 1));
    product *= 1 - beta_.back();
    alpha_bar_.push_back(product);
  }
}

double Schedule::signal(std::int64_t t) const { return std::sqrt(alpha_bar(t)); }
double Schedule::noise(std::int64_t t) const { return std::sqrt(1 - alpha_bar(t)); }
double Schedule::posterior_variance(std::int64_t t) const {
  return beta(t) * (1 - alpha_bar(t - 1)) / (1 - alpha_bar(t));
}

}  // namespace layeravatar::diffusion
