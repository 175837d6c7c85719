#include "layeravatar/avatar/compose.h"

#include <torch/torch.h>

#include <vector>

#include "layeravatar/avatar/attributes.h"
#include "layeravatar/avatar/kernels/nearest_kernel.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {

torch::Tensor ids(std::vector<std::int64_t> values) { return torch::tensor(values, torch::kInt64); }

torch::Tensor with_label(const templates::LayeredTemplate& layers, int label) {
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i < layers.labels.size(); ++i)
    if (layers.labels[i] == label) out.push_back(static_cast<std::int64_t>(i));
  return ids(std::move(out));
}

void copy_rows(torch::Tensor& out, const torch::Tensor& from, const torch::Tensor& rows) {
  out.index_copy_(0, rows, from.index_select(0, rows));
}

void copy_offsets(torch::Tensor& out, const torch::Tensor& from, const torch::Tensor& rows) {
  torch::Tensor offsets = out.slice(1, 1, 4);
  offsets.index_copy_(0, rows, from.slice(1, 1, 4).index_select(0, rows));
}

// Body points that are nearest to some point with the label, each once.
torch::Tensor under(const templates::LayeredTemplate& layers, const std::vector<float>& positions, int label) {
  const auto body = static_cast<std::size_t>(layers.body_count());
  std::vector<float> queries;
  for (std::size_t i = 0; i < layers.labels.size(); ++i)
    if (layers.labels[i] == label)
      queries.insert(queries.end(), {positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]});
  std::vector<std::uint8_t> hit(body, 0);
  if (body > 0)
    for (const std::int32_t b : nearest_points({positions.data(), 3 * body}, queries))
      hit[static_cast<std::size_t>(b)] = 1;
  std::vector<std::int64_t> out;
  for (std::size_t b = 0; b < body; ++b)
    if (hit[b] != 0) out.push_back(static_cast<std::int64_t>(b));
  return ids(std::move(out));
}

}  // namespace

Composer::Composer(const templates::LayeredTemplate& layers)
    : count_(layers.count()),
      top_(with_label(layers, 2)),
      bottom_(with_label(layers, 5)),
      hair_(with_label(layers, 3)),
      shoes_(with_label(layers, 4)) {
  const std::vector<float> positions = layers.shifted_positions();
  under_top_ = under(layers, positions, 2);
  under_bottom_ = under(layers, positions, 5);
  under_shoes_ = under(layers, positions, 4);
  const auto held = layers.offset_mask();
  std::vector<std::int64_t> free;
  for (std::size_t i = 0; i < held.size(); ++i)
    if (held[i] == 0 && layers.hands_mask[i] == 0) free.push_back(static_cast<std::int64_t>(i));
  free_ = ids(std::move(free));
}

torch::Tensor Composer::compose_official(const torch::Tensor& samples) const {
  tensor::expect_shape(samples, {5, count_, kAttributeChannels}, "samples");
  const torch::NoGradGuard no_grad;
  torch::Tensor out = samples[0].clone();
  copy_offsets(out, samples[3], free_);
  copy_offsets(out, samples[4], under_shoes_);
  copy_offsets(out, samples[1], under_top_);
  copy_offsets(out, samples[2], under_bottom_);
  copy_rows(out, samples[1], top_);
  copy_rows(out, samples[2], bottom_);
  copy_rows(out, samples[3], hair_);
  copy_rows(out, samples[4], shoes_);
  return out;
}

torch::Tensor Composer::compose_default(const torch::Tensor& samples, const Donors& donors) const {
  tensor::expect_shape(samples, {5, count_, kAttributeChannels}, "samples");
  const torch::NoGradGuard no_grad;
  torch::Tensor out = samples[0].clone();
  if (donors.shoes) copy_offsets(out, samples[4], under_shoes_);
  if (donors.top) copy_offsets(out, samples[1], under_top_);
  if (donors.bottom) copy_offsets(out, samples[2], under_bottom_);
  if (donors.top) copy_rows(out, samples[1], top_);
  if (donors.bottom) copy_rows(out, samples[2], bottom_);
  if (donors.hair) copy_rows(out, samples[3], hair_);
  if (donors.shoes) copy_rows(out, samples[4], shoes_);
  return out;
}

}  // namespace layeravatar::avatar
