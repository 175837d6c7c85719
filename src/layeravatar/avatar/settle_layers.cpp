#include "layeravatar/avatar/settle_layers.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "layeravatar/avatar/attributes.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {

// Adds to gradient [N, 4] that of factor / 2 times the squares by which the clothes' opacity, samples [N, 4] begin with it, differs from `wanted`.
void hold_opacity(const torch::Tensor& samples, const torch::Tensor& clothes, const torch::Tensor& wanted, float factor, torch::Tensor& gradient) {
  const float *now = tensor::floats(samples, "samples"), *then = tensor::floats(wanted, "opacity");
  const bool* own = clothes.data_ptr<bool>();
  float* to = tensor::mutable_floats(gradient, "gradient");
  for (std::int64_t i = 0; i < samples.size(0); ++i)
    if (own[i]) to[4 * i] += factor * (now[4 * i] - then[i]);
}

// Adam in one pass over some columns of planes [C, h, w].
class ColumnsAdam {
 public:
  ColumnsAdam(const torch::Tensor& planes, std::int64_t begin, std::int64_t end)
      : rows_(planes.size(0) * planes.size(1)), pitch_(planes.size(2)), begin_(begin), end_(end), first_(static_cast<std::size_t>(rows_ * (end - begin))), second_(first_.size()) {}

  /// Steps are smaller where the gradient is below `faint` times the greatest of the first step.
  void step(const torch::Tensor& gradient, double rate, double faint, torch::Tensor& planes) {
    constexpr double kFirst = 0.9, kSecond = 0.999;  // decay of the moments
    const float* g = tensor::floats(gradient, "gradient");
    float* x = tensor::mutable_floats(planes, "planes");
    const std::int64_t width = end_ - begin_;
    if (++steps_ == 1) {
      float most = 0;
      for (std::int64_t row = 0; row < rows_; ++row)
        for (std::int64_t k = begin_; k < end_; ++k) most = std::max(most, std::abs(g[row * pitch_ + k]));
      epsilon_ = static_cast<float>(faint * static_cast<double>(most) + 1e-12);
    }
    const auto size = static_cast<float>(rate / (1 - std::pow(kFirst, steps_))), unbias = static_cast<float>(1 / std::sqrt(1 - std::pow(kSecond, steps_)));
    constexpr auto kOld = static_cast<float>(kFirst), kNew = static_cast<float>(1 - kFirst), kOldSquare = static_cast<float>(kSecond), kNewSquare = static_cast<float>(1 - kSecond);
#pragma omp parallel for schedule(static)
    for (std::int64_t row = 0; row < rows_; ++row) {
      const float* of = g + row * pitch_ + begin_;
      float *to = x + row * pitch_ + begin_, *m = first_.data() + row * width, *v = second_.data() + row * width;
#pragma omp simd
      for (std::int64_t k = 0; k < width; ++k) {
        m[k] = kOld * m[k] + kNew * of[k];
        v[k] = kOldSquare * v[k] + kNewSquare * of[k] * of[k];
        to[k] -= size * m[k] / (std::sqrt(v[k]) * unbias + epsilon_);
      }
    }
  }

 private:
  std::int64_t rows_, pitch_, begin_, end_;
  int steps_ = 0;
  float epsilon_ = 0;
  std::vector<float> first_, second_;
};

}  // namespace

torch::Tensor settle_layers(Decoder& decoder, const MapSampler& sampler, const LayerOrder& order, const LooseGaussians& loose, const torch::Tensor& planes,
                            const torch::Tensor& kept, double apart) {
  constexpr int kSteps = 25;
  constexpr double kStepSize = 0.04, kFaint = 0.05;
  const torch::AutoGradMode with_gradients(true);
  const std::int64_t h = planes.size(1), channels = kPlaneChannels / 2;
  torch::Tensor floating, opacity;
  {
    const torch::NoGradGuard no_grad;
    const GaussianAttributes drawn = attributes_from_samples(sampler.sample(decoder.attribute_map(planes.unsqueeze(0)))[0]);
    floating = loose.find(drawn);
    opacity = drawn.opacity * ~floating;
  }
  const torch::Tensor& clothes = loose.outer_mask();
  const double count = floating.sum().item<double>();
  torch::Tensor geometry = planes.slice(0, 0, channels).clone().requires_grad_(true), values = geometry.detach();  // which share their numbers
  ColumnsAdam body(geometry, 0, h), outer(geometry, h, 3 * h);
  for (int step = 0; step < kSteps; ++step) {
    const torch::Tensor samples = sampler.sample(decoder.geometry_map(geometry.unsqueeze(0)))[0];  // opacity, offset
    // Garments do not give way to skin.
    torch::Tensor gradient = order.skin_gradient(samples.detach(), apart);
    if (count > 0) hold_opacity(samples.detach(), clothes, opacity, static_cast<float>(2 / count), gradient);
    geometry.mutable_grad() = torch::Tensor();
    samples.backward(gradient);
    torch::Tensor moved = geometry.grad().contiguous();
    if (kept.defined()) moved.masked_fill_(kept.slice(0, 0, channels), 0);
    body.step(moved, kStepSize, kFaint, values);
    if (count > 0) outer.step(moved, kStepSize, kFaint, values);
  }
  return torch::cat({values, planes.slice(0, channels)}, 0);
}

}  // namespace layeravatar::avatar
