#include "layeravatar/avatar/plane_activation.h"

#include <torch/torch.h>

#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {

constexpr double kStd = 0.5, kRange = 2.0, kEps = 1e-5, kMomentum = 0.001;

}  // namespace

PlaneActivation::PlaneActivation()
    : running_mean_(torch::zeros({1})), running_var_(torch::full({1}, kStd * kStd)) {}

torch::Tensor PlaneActivation::forward(const torch::Tensor& code) const {
  const torch::Tensor gain = kStd / (running_var_.sqrt() + kEps);
  return kRange * torch::tanh((code * gain - running_mean_ * gain) / kRange);
}

torch::Tensor PlaneActivation::inverse(const torch::Tensor& planes) const {
  const torch::Tensor gain = kStd / (running_var_.sqrt() + kEps);
  return torch::atanh((planes / kRange).clamp(-1 + kEps, 1 - kEps)) * (kRange / gain) + running_mean_;
}

void PlaneActivation::update_statistics(const torch::Tensor& codes) {
  const torch::NoGradGuard no_grad;
  running_mean_ = running_mean_ * (1 - kMomentum) + codes.mean() * kMomentum;
  running_var_ = running_var_ * (1 - kMomentum) + codes.var() * kMomentum;
}

void PlaneActivation::set_statistics(const torch::Tensor& mean, const torch::Tensor& var) {
  tensor::expect_shape(mean, {1}, "running_mean");
  tensor::expect_shape(var, {1}, "running_var");
  running_mean_ = mean.clone();
  running_var_ = var.clone();
}

}  // namespace layeravatar::avatar
