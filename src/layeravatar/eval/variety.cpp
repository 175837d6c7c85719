#include "layeravatar/eval/variety.h"

#include <torch/torch.h>

#include "layeravatar/core/error.h"

namespace layeravatar::eval {
namespace {

torch::Tensor distances(const torch::Tensor& a, const torch::Tensor& b) {
  return torch::cdist(a, b) / std::sqrt(static_cast<double>(a.size(1)));
}

double mean_pair(const torch::Tensor& x) {
  const auto n = static_cast<double>(x.size(0));
  return distances(x, x).sum().item<double>() / (n * (n - 1));
}

}  // namespace

Variety variety_of(const torch::Tensor& samples, const torch::Tensor& training) {
  LAV_CHECK(samples.size(0) > 1 && training.size(0) > 1 && samples.size(1) == training.size(1), "two of each, of one size");
  const std::int64_t n = std::min(samples.size(0), training.size(0));
  Variety out;
  out.sample_spread = mean_pair(samples) / mean_pair(training.slice(0, 0, n));
  const torch::Tensor own = distances(training, training).fill_diagonal_(1e30);
  out.nearest_ratio = (std::get<0>(distances(samples, training).min(1)).median() / std::get<0>(own.min(1)).median()).item<double>();
  return out;
}

torch::Tensor look_of(const produce::Studio& studio, const torch::Tensor& planes) {
  const torch::NoGradGuard no_grad;
  const auto posed = produce::pose(studio, produce::decode(studio, planes), {}, body::default_viewing_pose());
  const auto cameras = geometry::turntable_cameras(128);
  return torch::cat({produce::render_view(posed, cameras[0], false).full.flatten(), produce::render_view(posed, cameras[18], false).full.flatten()});
}

}  // namespace layeravatar::eval
