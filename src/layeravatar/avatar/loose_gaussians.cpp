#include "layeravatar/avatar/loose_gaussians.h"

#include <torch/torch.h>

#include <utility>

#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {

LooseGaussians::LooseGaussians(const templates::LayeredTemplate& layers, const OuterNeighbours& outer, BaseSizes base_sizes)
    : base_sizes_(std::move(base_sizes)), rest_(tensor::from_floats(layers.shifted_positions(), {layers.count(), 3})),
      outer_(torch::tensor(outer.outer, torch::kInt64)), outer_mask_(torch::tensor(layers.labels, torch::kInt64) > 1),
      neighbours_(torch::tensor(outer.neighbours, torch::kInt64).reshape({-1, kOfComponent + kOfBody})) {}

LooseGaussians::LooseGaussians(const templates::LayeredTemplate& layers, BaseSizes base_sizes)
    : LooseGaussians(layers, outer_neighbours(layers), std::move(base_sizes)) {}

torch::Tensor LooseGaussians::find(const GaussianAttributes& attributes) const {
  const torch::NoGradGuard no_grad;
  const torch::Tensor places = rest_ + attributes.offset, visible = attributes.opacity > kVisible, seen = attributes.opacity > kFaint;
  const torch::Tensor sizes = base_sizes_(places) * (1 + attributes.radius.slice(1, 0, 2).amax(1));
  const torch::Tensor flat = neighbours_.reshape({-1});
  const auto of_neighbours = [&](const torch::Tensor& t) { return t.index_select(0, flat).reshape({neighbours_.size(0), neighbours_.size(1), -1}); };
  const torch::Tensor apart = (of_neighbours(places) - places.index_select(0, outer_).unsqueeze(1)).norm(2, 2);
  const torch::Tensor reach = kReach * (of_neighbours(sizes).squeeze(2) + sizes.index_select(0, outer_).unsqueeze(1));
  const torch::Tensor touches = (apart < reach).reshape({-1});
  const torch::Tensor ends = flat.masked_select(touches);
  const torch::Tensor starts = outer_.unsqueeze(1).expand_as(neighbours_).reshape({-1}).masked_select(touches);
  // What hangs on the body, one more ring of neighbours in each round, in either direction. What is faint hangs, and holds nothing.
  torch::Tensor held = visible & ~outer_mask_;
  for (std::int64_t before = -1, now = held.sum().item<std::int64_t>(); now != before;) {
    held.index_put_({starts.masked_select((held & visible).index_select(0, ends))}, true);
    held.index_put_({ends.masked_select((held & visible).index_select(0, starts))}, true);
    before = now;
    now = held.sum().item<std::int64_t>();
  }
  return seen & outer_mask_ & ~held;
}

}  // namespace layeravatar::avatar
