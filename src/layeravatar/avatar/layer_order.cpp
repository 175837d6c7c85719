#include "layeravatar/avatar/layer_order.h"

#include <torch/torch.h>

#include <vector>

#include "layeravatar/avatar/kernels/nearest_kernel.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {

LayerOrder::LayerOrder(const templates::LayeredTemplate& layers, bool shoes) {
  const std::vector<float> positions = layers.shifted_positions();
  const auto body = static_cast<std::size_t>(layers.body_count());
  std::vector<std::int64_t> outer, skin;
  std::vector<float> queries, normals, rest;
  for (std::size_t i = body; i < layers.labels.size(); ++i) {
    if (!shoes && layers.labels[i] == 4) continue;
    outer.push_back(static_cast<std::int64_t>(i));
    queries.insert(queries.end(), {positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]});
  }
  if (body > 0)
    for (const std::int32_t b : nearest_points({positions.data(), 3 * body}, queries)) skin.push_back(b);
  else
    outer.clear();
  for (std::size_t k = 0; k < skin.size(); ++k) {
    const auto i = static_cast<std::size_t>(outer[k]), b = static_cast<std::size_t>(skin[k]);
    float along = 0;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const float n = layers.frames[9 * b + 3 * axis + 2];
      normals.push_back(n);
      along += n * (positions[3 * i + axis] - positions[3 * b + axis]);
    }
    rest.push_back(along);
  }
  const auto pairs = static_cast<std::int64_t>(skin.size());
  outer_ = torch::tensor(outer, torch::kInt64);
  skin_ = torch::tensor(skin, torch::kInt64);
  normals_ = tensor::from_floats(normals, {pairs, 3});
  rest_ = tensor::from_floats(rest, {pairs});
}

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
