#include "layeravatar/avatar/compose.h"

#include <torch/torch.h>

#include <algorithm>
#include <limits>

#include "layeravatar/core/error.h"
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

}  // namespace

// The nearest body point of each point with the label, as sorted unique ids; of equally near ones the lowest index.
std::vector<std::int64_t> Composer::nearest(const std::vector<float>& p, const templates::LayeredTemplate& layers, int label) const {
  std::vector<std::uint8_t> hit(static_cast<std::size_t>(body_count_), 0);
  const std::int64_t n = layers.count();
#pragma omp parallel for schedule(dynamic, 256)
  for (std::int64_t i = 0; i < n; ++i) {
    if (layers.labels[static_cast<std::size_t>(i)] != label) continue;
    float best = std::numeric_limits<float>::infinity();
    std::int64_t at = 0;
    for (std::int64_t b = 0; b < body_count_; ++b) {
      const float dx = p[static_cast<std::size_t>(3 * i)] - p[static_cast<std::size_t>(3 * b)],
                  dy = p[static_cast<std::size_t>(3 * i + 1)] - p[static_cast<std::size_t>(3 * b + 1)],
                  dz = p[static_cast<std::size_t>(3 * i + 2)] - p[static_cast<std::size_t>(3 * b + 2)];
      const float d = dx * dx + dy * dy + dz * dz;
      if (d < best) best = d, at = b;
    }
#pragma omp atomic write
    hit[static_cast<std::size_t>(at)] = 1;
  }
  std::vector<std::int64_t> out;
  for (std::size_t b = 0; b < hit.size(); ++b)
    if (hit[b] != 0) out.push_back(static_cast<std::int64_t>(b));
  return out;
}

Composer::Composer(const templates::LayeredTemplate& layers)
    : body_count_(layers.body_count()), top_(with_label(layers, 2)), bottom_(with_label(layers, 5)),
      hair_(with_label(layers, 3)), shoes_(with_label(layers, 4)) {
  const std::vector<float> positions = layers.shifted_positions();
  under_top_ = ids(nearest(positions, layers, 2));
  under_bottom_ = ids(nearest(positions, layers, 5));
  under_shoes_ = ids(nearest(positions, layers, 4));
  const auto held = layers.offset_mask();
  std::vector<std::int64_t> free;
  for (std::size_t i = 0; i < held.size(); ++i)
    if (held[i] == 0 && layers.hands_mask[i] == 0) free.push_back(static_cast<std::int64_t>(i));
  free_ = ids(std::move(free));
}

torch::Tensor Composer::compose_official(const torch::Tensor& samples) const {
  tensor::expect_shape(samples, {5, -1, 13}, "samples");
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
  tensor::expect_shape(samples, {5, -1, 13}, "samples");
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
