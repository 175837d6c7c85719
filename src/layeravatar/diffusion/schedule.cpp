#include "layeravatar/diffusion/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "layeravatar/core/error.h"

namespace layeravatar::diffusion {
namespace {

std::vector<double> even_betas(std::int64_t steps, double first, double last) {
  LAV_CHECK(steps > 1 && first > 0 && last < 1, "a schedule needs two steps and betas in (0, 1)");
  std::vector<double> out;
  for (std::int64_t i = 0; i < steps; ++i) out.push_back(first + (last - first) * static_cast<double>(i) / static_cast<double>(steps - 1));
  return out;
}

}  // namespace

Schedule::Schedule(const std::vector<double>& betas) : beta_(betas) {
  double product = 1;
  for (const double beta : betas) alpha_bar_.push_back(product *= 1 - beta);
}

Schedule::Schedule(std::int64_t steps, double first_beta, double last_beta) : Schedule(even_betas(steps, first_beta, last_beta)) {}

Schedule Schedule::cosine(std::int64_t steps) {
  LAV_CHECK(steps > 1, "a schedule needs two steps");
  const auto f = [&](std::int64_t t) {
    const double c = std::cos(std::numbers::pi * (static_cast<double>(t) / static_cast<double>(steps) + 0.008) / 2.016);
    return c * c;
  };
  std::vector<double> betas;
  for (std::int64_t t = 0; t < steps; ++t) betas.push_back(std::min(1 - f(t + 1) / f(t), 0.999));
  return Schedule(betas);
}

double Schedule::signal(std::int64_t t) const { return std::sqrt(alpha_bar(t)); }
double Schedule::noise(std::int64_t t) const { return std::sqrt(1 - alpha_bar(t)); }
double Schedule::posterior_variance(std::int64_t t) const {
  return beta(t) * (1 - alpha_bar(t - 1)) / (1 - alpha_bar(t));
}

}  // namespace layeravatar::diffusion
