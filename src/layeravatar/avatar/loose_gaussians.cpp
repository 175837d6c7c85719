#include "layeravatar/avatar/loose_gaussians.h"

#include <torch/torch.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {

constexpr std::int64_t kOfComponent = 8, kOfBody = 4;

torch::Tensor with_label(const torch::Tensor& labels, int label) { return (labels == label).nonzero().squeeze(1); }

// [Q, count] ids of the candidates nearest to each query, the query itself left out; its own id where there are too few.
torch::Tensor nearest(const torch::Tensor& rest, const torch::Tensor& queries, const torch::Tensor& candidates, std::int64_t count) {
  constexpr std::int64_t kRows = 1024;  // so that the distances stay small
  const torch::Tensor targets = rest.index_select(0, candidates);
  torch::Tensor out = queries.unsqueeze(1).repeat({1, count});
  for (std::int64_t from = 0; from < queries.numel(); from += kRows) {
    const torch::Tensor ids = queries.slice(0, from, from + kRows);
    torch::Tensor distances = torch::cdist(rest.index_select(0, ids), targets, 2, 2);  // by differences
    distances.masked_fill_(ids.unsqueeze(1) == candidates.unsqueeze(0), INFINITY);
    const std::int64_t found = std::min(count, candidates.numel());
    const auto [near, place] = distances.topk(found, 1, false);
    const torch::Tensor chosen = candidates.index_select(0, place.reshape({-1})).reshape_as(place);
    out.slice(0, from, from + kRows).slice(1, 0, found).copy_(torch::where(near.isfinite(), chosen, ids.unsqueeze(1)));
  }
  return out;
}

}  // namespace

LooseGaussians::LooseGaussians(const templates::LayeredTemplate& layers, BaseSizes base_sizes) : base_sizes_(std::move(base_sizes)) {
  const torch::NoGradGuard no_grad;
  rest_ = tensor::from_floats(layers.shifted_positions(), {layers.count(), 3});
  const torch::Tensor labels = torch::tensor(layers.labels, torch::kInt64);
  const torch::Tensor body = with_label(labels, 1);
  std::vector<torch::Tensor> outer{torch::empty({0}, torch::kInt64)}, neighbours{torch::empty({0, kOfComponent + kOfBody}, torch::kInt64)};
  for (const int label : {2, 3, 4, 5}) {
    const torch::Tensor own = with_label(labels, label);
    if (own.numel() == 0) continue;
    outer.push_back(own);
    neighbours.push_back(torch::cat({nearest(rest_, own, own, kOfComponent), nearest(rest_, own, body, kOfBody)}, 1));
  }
  outer_ = torch::cat(outer);
  outer_mask_ = labels > 1;
  neighbours_ = torch::cat(neighbours);
}

torch::Tensor LooseGaussians::find(const GaussianAttributes& attributes) const {
  const torch::NoGradGuard no_grad;
  const torch::Tensor places = rest_ + attributes.offset, visible = attributes.opacity > kVisible;
  const torch::Tensor sizes = base_sizes_(places) * (1 + attributes.radius.slice(1, 0, 2).amax(1));
  const torch::Tensor flat = neighbours_.reshape({-1});
  const auto of_neighbours = [&](const torch::Tensor& t) { return t.index_select(0, flat).reshape({neighbours_.size(0), neighbours_.size(1), -1}); };
  const torch::Tensor apart = (of_neighbours(places) - places.index_select(0, outer_).unsqueeze(1)).norm(2, 2);
  const torch::Tensor reach = kReach * (of_neighbours(sizes).squeeze(2) + sizes.index_select(0, outer_).unsqueeze(1));
  const torch::Tensor touches = ((apart < reach) & of_neighbours(visible).squeeze(2) & visible.index_select(0, outer_).unsqueeze(1)).reshape({-1});
  const torch::Tensor ends = flat.masked_select(touches);
  const torch::Tensor starts = outer_.unsqueeze(1).expand_as(neighbours_).reshape({-1}).masked_select(touches);
  // What hangs on the body, one more ring of neighbours in each round, in either direction.
  torch::Tensor held = visible & ~outer_mask_;
  for (std::int64_t before = -1, now = held.sum().item<std::int64_t>(); now != before;) {
    held.index_put_({starts.masked_select(held.index_select(0, ends))}, true);
    held.index_put_({ends.masked_select(held.index_select(0, starts))}, true);
    before = now;
    now = held.sum().item<std::int64_t>();
  }
  return visible & outer_mask_ & ~held;
}

}  // namespace layeravatar::avatar
