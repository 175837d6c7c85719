#include "layeravatar/avatar/layer_order.h"

#include <torch/torch.h>

#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {

LayerOrder::LayerOrder(const SkinPairs& pairs)
    : outer_(torch::tensor(pairs.outer, torch::kInt64)), skin_(torch::tensor(pairs.skin, torch::kInt64)),
      normals_(tensor::from_floats(pairs.normals, {static_cast<std::int64_t>(pairs.skin.size()), 3})),
      rest_(tensor::from_floats(pairs.rest, {static_cast<std::int64_t>(pairs.skin.size())})) {}

LayerOrder::LayerOrder(const templates::LayeredTemplate& layers, bool shoes) : LayerOrder(skin_pairs(layers, shoes)) {}

torch::Tensor LayerOrder::loss(const torch::Tensor& offset, const torch::Tensor& opacity, double margin) const {
  if (rest_.numel() == 0) return offset.sum() * 0.0;
  const torch::Tensor apart = offset.index_select(0, outer_) - offset.index_select(0, skin_);
  const torch::Tensor distance = rest_ + (apart * normals_).sum(1);
  const torch::Tensor missing = torch::relu(1.0 - distance / margin);
  return (opacity.detach().index_select(0, outer_) * missing.square()).mean();
}

torch::Tensor LayerOrder::skin_gradient(const torch::Tensor& samples, double margin) const {
  tensor::expect_shape(samples, {-1, 4}, "samples");
  torch::Tensor out = torch::zeros_like(samples);
  const float *at = tensor::floats(samples, "samples"), *normal = tensor::floats(normals_, "normals"), *rest = tensor::floats(rest_, "rest");
  const auto *outer = outer_.data_ptr<std::int64_t>(), *skin = skin_.data_ptr<std::int64_t>();
  float* to = tensor::mutable_floats(out, "gradient");
  const auto inverse = static_cast<float>(1 / margin);
  const float factor = 2 * inverse / static_cast<float>(rest_.numel());
  for (std::int64_t k = 0; k < rest_.numel(); ++k, normal += 3) {
    const float *garment = at + 4 * outer[k], *below = at + 4 * skin[k];
    float distance = rest[k];
    for (int axis = 0; axis < 3; ++axis) distance += (garment[axis + 1] - below[axis + 1]) * normal[axis];
    const float missing = 1 - distance * inverse;
    if (!(missing > 0)) continue;
    for (int axis = 0; axis < 3; ++axis) to[4 * skin[k] + axis + 1] += factor * garment[0] * missing * normal[axis];
  }
  return out;
}

}  // namespace layeravatar::avatar
