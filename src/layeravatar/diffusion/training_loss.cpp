#include "layeravatar/diffusion/training_loss.h"

#include <torch/torch.h>

namespace layeravatar::diffusion {
namespace {

constexpr double kMeanWeight = 0.2266621;  // of sqrt(SNR weighting) over all steps (spec/model.md section 15.1)

}  // namespace

TrainingLoss training_loss(UNet& unet, const Schedule& schedule, const torch::Tensor& x0, const torch::Tensor& t,
                           const torch::Tensor& noise, double weight_scale, Weighting weighting, const Classes* classes) {
  const std::int64_t batch = x0.size(0);
  std::vector<float> signal, sigma, weight;
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto step = t[b].item<std::int64_t>();
    signal.push_back(static_cast<float>(schedule.signal(step)));
    sigma.push_back(static_cast<float>(schedule.noise(step)));
    weight.push_back(weighting == Weighting::kFlat ? static_cast<float>(kMeanWeight)
                                                   : static_cast<float>(schedule.signal(step) * schedule.noise(step)));
  }
  const torch::Tensor a = torch::tensor(signal).reshape({batch, 1, 1, 1}),
                      s = torch::tensor(sigma).reshape({batch, 1, 1, 1});
  const torch::Tensor v_hat = unet.forward(a * x0 + s * noise, t, classes);
  const torch::Tensor v = a * noise - s * x0;
  const torch::Tensor each = (v_hat - v).square().mean({1, 2, 3}) * (0.5 * weight_scale) * torch::tensor(weight);
  TrainingLoss out;
  out.value = each.mean();
  std::array<int, 4> counts{};
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto q = static_cast<std::size_t>(4 * t[b].item<std::int64_t>() / schedule.size());
    out.quartiles[q] += each[b].item<double>();
    ++counts[q];
  }
  for (std::size_t q = 0; q < 4; ++q)
    if (counts[q] > 0) out.quartiles[q] /= counts[q];
  return out;
}

}  // namespace layeravatar::diffusion
