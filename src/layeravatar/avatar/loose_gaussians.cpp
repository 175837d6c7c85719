#include "layeravatar/avatar/loose_gaussians.h"

#include <torch/torch.h>

#include <utility>
#include <vector>

#include "layeravatar/avatar/kernels/nearest_kernel.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {

constexpr std::int64_t kOfComponent = 8, kOfBody = 4;

// Ids, and their places one after another.
struct Group {
  std::vector<std::int64_t> ids;
  std::vector<float> places;
};

Group with_label(const templates::LayeredTemplate& layers, const std::vector<float>& rest, std::int32_t label) {
  Group out;
  for (std::size_t i = 0; i < layers.labels.size(); ++i) {
    if (layers.labels[i] != label) continue;
    out.ids.push_back(static_cast<std::int64_t>(i));
    out.places.insert(out.places.end(), {rest[3 * i], rest[3 * i + 1], rest[3 * i + 2]});
  }
  return out;
}

// [Q, count] ids of the candidates nearest to each query, the query itself left out; its own id where there are too few.
torch::Tensor nearest(const Group& queries, const Group& candidates, std::int64_t count) {
  const std::vector<std::int32_t> found = nearest_points(candidates.places, queries.places, count + 1);
  std::vector<std::int64_t> out;
  for (std::size_t q = 0; q < queries.ids.size(); ++q) {
    std::int64_t left = count;
    for (std::size_t k = 0; k < static_cast<std::size_t>(count + 1) && left > 0; ++k) {
      const std::int32_t place = found[q * static_cast<std::size_t>(count + 1) + k];
      if (place < 0 || candidates.ids[static_cast<std::size_t>(place)] == queries.ids[q]) continue;
      out.push_back(candidates.ids[static_cast<std::size_t>(place)]);
      --left;
    }
    out.insert(out.end(), static_cast<std::size_t>(left), queries.ids[q]);
  }
  return torch::tensor(out, torch::kInt64).reshape({-1, count});
}

}  // namespace

LooseGaussians::LooseGaussians(const templates::LayeredTemplate& layers, BaseSizes base_sizes) : base_sizes_(std::move(base_sizes)) {
  const torch::NoGradGuard no_grad;
  const std::vector<float> rest = layers.shifted_positions();
  rest_ = tensor::from_floats(rest, {layers.count(), 3});
  const Group body = with_label(layers, rest, 1);
  std::vector<torch::Tensor> outer{torch::empty({0}, torch::kInt64)}, neighbours{torch::empty({0, kOfComponent + kOfBody}, torch::kInt64)};
  for (const std::int32_t label : {2, 3, 4, 5}) {
    const Group own = with_label(layers, rest, label);
    if (own.ids.empty()) continue;
    outer.push_back(torch::tensor(own.ids, torch::kInt64));
    neighbours.push_back(torch::cat({nearest(own, own, kOfComponent), nearest(own, body, kOfBody)}, 1));
  }
  outer_ = torch::cat(outer);
  outer_mask_ = torch::tensor(layers.labels, torch::kInt64) > 1;
  neighbours_ = torch::cat(neighbours);
}

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
