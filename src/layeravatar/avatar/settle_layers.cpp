#include "layeravatar/avatar/settle_layers.h"

#include <torch/optim/adam.h>
#include <torch/torch.h>

#include "layeravatar/avatar/attributes.h"

namespace layeravatar::avatar {

torch::Tensor settle_layers(Decoder& decoder, const MapSampler& sampler, const LayerOrder& order, const torch::Tensor& planes) {
  constexpr int kSteps = 25;
  constexpr double kStepSize = 0.04, kFaint = 0.05;  // kFaint: of the greatest gradient, from where steps are smaller
  const torch::AutoGradMode with_gradients(true);
  const std::int64_t h = planes.size(1);
  const torch::Tensor start = planes.slice(0, 0, kPlaneChannels / 2).slice(2, 0, h);
  const torch::Tensor moved = start.clone().requires_grad_(true);
  const auto whole = [&] {
    const torch::Tensor geometry = torch::cat({moved, planes.slice(0, 0, kPlaneChannels / 2).slice(2, h)}, 2);
    return torch::cat({geometry, planes.slice(0, kPlaneChannels / 2)}, 0);
  };
  torch::optim::Adam adam({moved}, torch::optim::AdamOptions(kStepSize));
  for (int step = 0; step < kSteps; ++step) {
    const GaussianAttributes attributes = attributes_from_samples(sampler.sample(decoder.attribute_map(whole().unsqueeze(0)))[0]);
    const torch::Tensor loss = order.loss(attributes.offset, attributes.opacity);
    adam.zero_grad();
    loss.backward();
    if (step == 0)
      static_cast<torch::optim::AdamOptions&>(adam.param_groups()[0].options()).eps(kFaint * moved.grad().abs().max().item<double>() + 1e-12);
    adam.step();
  }
  return whole().detach();
}

}  // namespace layeravatar::avatar
