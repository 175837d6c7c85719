#include "layeravatar/avatar/plane_owner.h"

#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "layeravatar/avatar/decoder.h"
#include "layeravatar/avatar/kernels/nearest_kernel.h"

namespace layeravatar::avatar {

torch::Tensor plane_owner(const templates::LayeredTemplate& layers, std::int64_t planes_height) {
  constexpr float kNear = 0.03F;
  constexpr std::array<std::uint8_t, 6> kOwnerOfLabel = {0, 0, 1, 0, 3, 4};
  const auto count = static_cast<std::size_t>(layers.count());
  std::vector<std::uint8_t> texture(count), geometry(count);
  for (std::size_t i = 0; i < count; ++i) texture[i] = geometry[i] = kOwnerOfLabel[static_cast<std::size_t>(layers.labels[i])];
  const std::vector<float> positions = layers.shifted_positions();
  const auto body = static_cast<std::size_t>(layers.body_count());
  std::vector<float> clothes;
  std::vector<std::size_t> clothes_ids;
  for (std::size_t i = body; i < count; ++i)
    if (layers.labels[i] == 2 || layers.labels[i] == 4 || layers.labels[i] == 5) {
      clothes.insert(clothes.end(), positions.begin() + static_cast<std::ptrdiff_t>(3 * i), positions.begin() + static_cast<std::ptrdiff_t>(3 * i + 3));
      clothes_ids.push_back(i);
    }
  const std::vector<std::int32_t> over = clothes_ids.empty() ? std::vector<std::int32_t>() : nearest_points(clothes, {positions.data(), 3 * body});
  for (std::size_t b = 0; b < over.size(); ++b) {
    const std::size_t i = clothes_ids[static_cast<std::size_t>(over[b])];
    float square = 0;
    for (std::size_t k = 0; k < 3; ++k) square += (positions[3 * i + k] - positions[3 * b + k]) * (positions[3 * i + k] - positions[3 * b + k]);
    if (square < kNear * kNear) geometry[b] = texture[i];
  }

  const std::int64_t h = planes_height, w = templates::kLayers * h;
  torch::Tensor out = torch::zeros({kPlaneChannels, h, w}, torch::kUInt8);
  for (int layer = 0; layer < templates::kLayers; ++layer) {
    std::vector<float> points, queries;
    std::vector<std::size_t> ids;
    for (std::size_t i = 0; i < count; ++i) {
      const float u = static_cast<float>(templates::kLayers) * layers.uvs[2 * i] - static_cast<float>(layer);
      if (u < 0 || u > 1) continue;
      points.insert(points.end(), {u, layers.uvs[2 * i + 1], 0});
      ids.push_back(i);
    }
    if (ids.empty()) continue;
    for (std::int64_t row = 0; row < h; ++row)
      for (std::int64_t column = 0; column < h; ++column)
        queries.insert(queries.end(), {(static_cast<float>(column) + 0.5F) / static_cast<float>(h), (static_cast<float>(row) + 0.5F) / static_cast<float>(h), 0});
    const std::vector<std::int32_t> nearest = nearest_points(points, queries);
    std::uint8_t* owner = out.data_ptr<std::uint8_t>();
    for (std::int64_t channel = 0; channel < kPlaneChannels; ++channel)
      for (std::int64_t row = 0; row < h; ++row)
        for (std::int64_t column = 0; column < h; ++column) {
          const std::size_t g = ids[static_cast<std::size_t>(nearest[static_cast<std::size_t>(row * h + column)])];
          owner[(channel * h + row) * w + layer * h + column] = channel < kPlaneChannels / 2 ? geometry[g] : texture[g];
        }
  }
  return out;
}

torch::Tensor component_texels(const templates::LayeredTemplate& layers, std::int64_t planes_height, int component, bool with_skin) {
  const torch::Tensor owner = plane_owner(layers, planes_height);
  const std::int64_t h = planes_height;
  torch::Tensor in_body = torch::zeros({kPlaneChannels, h, templates::kLayers * h}, torch::kBool);
  in_body.slice(2, 0, h).fill_(true);
  if (component == 0) return with_skin ? (owner == 0).logical_and(in_body) : in_body;
  if (component == 2) return (owner == 0).logical_and(in_body.logical_not());
  return with_skin ? owner == component : (owner == component).logical_and(in_body.logical_not());
}

torch::Tensor texels_read(const templates::LayeredTemplate& layers, std::int64_t planes_height, int component) {
  constexpr std::int64_t kFilter = 3;  // on either side
  const std::int64_t h = planes_height, w = templates::kLayers * h;
  torch::Tensor out = torch::zeros({h, w}, torch::kBool);
  for (std::size_t i = 0; i < static_cast<std::size_t>(layers.count()); ++i) {
    if (layers.labels[i] != component + 1) continue;
    // The bilinear lookup's four texels, clamped to the planes, and the filter around each.
    const auto first = [](float at, std::int64_t size) { return static_cast<std::int64_t>(std::floor(std::clamp(static_cast<float>(size) * at - 0.5F, 0.0F, static_cast<float>(size - 1)))); };
    const std::int64_t x = first(layers.uvs[2 * i], w), y = first(layers.uvs[2 * i + 1], h);
    out.slice(0, std::max<std::int64_t>(y - kFilter, 0), std::min(y + kFilter + 2, h)).slice(1, std::max<std::int64_t>(x - kFilter, 0), std::min(x + kFilter + 2, w)).fill_(true);
  }
  return out;
}

}  // namespace layeravatar::avatar
