#include "layeravatar/avatar/settle_layers.h"

#include <torch/optim/adam.h>
#include <torch/torch.h>

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

}  // namespace

torch::Tensor settle_layers(Decoder& decoder, const MapSampler& sampler, const LayerOrder& order, const LooseGaussians& loose, const torch::Tensor& planes,
                            const torch::Tensor& kept, double apart) {
  constexpr int kSteps = 25;
  constexpr double kStepSize = 0.04, kFaint = 0.05;  // kFaint: of the greatest gradient, from where steps are smaller
  const torch::AutoGradMode with_gradients(true);
  const std::int64_t h = planes.size(1);
  const torch::Tensor geometry = planes.slice(0, 0, kPlaneChannels / 2);
  torch::Tensor body = geometry.slice(2, 0, h).clone().requires_grad_(true), outer = geometry.slice(2, h).clone().requires_grad_(true);
  const auto moved = [&] { return torch::cat({body, outer}, 2); };
  torch::Tensor floating, opacity;
  {
    const torch::NoGradGuard no_grad;
    const GaussianAttributes drawn = attributes_from_samples(sampler.sample(decoder.attribute_map(planes.unsqueeze(0)))[0]);
    floating = loose.find(drawn);
    opacity = drawn.opacity * ~floating;
  }
  const torch::Tensor& clothes = loose.outer_mask();
  const double count = floating.sum().item<double>();
  std::vector<torch::Tensor> leaves{body};
  if (count > 0) leaves.push_back(outer);
  std::vector<torch::optim::OptimizerParamGroup> groups;
  for (const torch::Tensor& leaf : leaves) groups.emplace_back(std::vector<torch::Tensor>{leaf}, std::make_unique<torch::optim::AdamOptions>(kStepSize));
  torch::optim::Adam adam(groups, torch::optim::AdamOptions(kStepSize));
  for (int step = 0; step < kSteps; ++step) {
    const torch::Tensor samples = sampler.sample(decoder.geometry_map(moved().unsqueeze(0)))[0];  // opacity, offset
    // Garments do not give way to skin.
    torch::Tensor gradient = order.skin_gradient(samples.detach(), apart);
    if (count > 0) hold_opacity(samples.detach(), clothes, opacity, static_cast<float>(2 / count), gradient);
    adam.zero_grad();
    samples.backward(gradient);
    if (kept.defined()) {
      const torch::Tensor still = kept.slice(0, 0, kPlaneChannels / 2);
      body.mutable_grad().masked_fill_(still.slice(2, 0, h), 0);
      if (count > 0) outer.mutable_grad().masked_fill_(still.slice(2, h), 0);
    }
    if (step == 0)
      for (auto& group : adam.param_groups())
        static_cast<torch::optim::AdamOptions&>(group.options()).eps(kFaint * group.params()[0].grad().abs().max().item<double>() + 1e-12);
    adam.step();
  }
  return torch::cat({moved().detach(), planes.slice(0, kPlaneChannels / 2)}, 0);
}

}  // namespace layeravatar::avatar
