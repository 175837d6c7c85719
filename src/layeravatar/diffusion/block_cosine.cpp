#include "layeravatar/diffusion/block_cosine.h"

#include <torch/torch.h>

#include <cmath>
#include <numbers>

#include "layeravatar/core/error.h"

namespace layeravatar::diffusion {
namespace {

using torch::Tensor;

// m X m^T of each block X, as two products with one matrix for all blocks.
Tensor both_sides(const Tensor& blocks, const Tensor& transposed) {
  const Tensor rows = blocks.contiguous().matmul(transposed);
  return rows.transpose(-1, -2).contiguous().matmul(transposed).transpose(-1, -2);
}

}  // namespace

Tensor cosine_matrix(const torch::TensorOptions& options) {
  constexpr auto n = static_cast<double>(kCosineBlock);
  const auto as_double = torch::TensorOptions().dtype(torch::kFloat64);
  const Tensor frequency = torch::arange(kCosineBlock, as_double).unsqueeze(1), place = torch::arange(kCosineBlock, as_double) + 0.5;
  Tensor out = torch::cos(frequency * place * (std::numbers::pi / n)) * std::sqrt(2 / n);
  out[0] *= std::sqrt(0.5);
  return out.to(options);
}

Tensor block_cosine(const Tensor& planes) {
  LAV_CHECK(planes.dim() == 4 && planes.size(2) % kCosineBlock == 0 && planes.size(3) % kCosineBlock == 0, "planes in whole blocks");
  const Tensor m = cosine_matrix(planes.options().requires_grad(false));
  const Tensor blocks = planes.reshape({planes.size(0), planes.size(1), planes.size(2) / kCosineBlock, kCosineBlock,
                                        planes.size(3) / kCosineBlock, kCosineBlock});
  return both_sides(blocks.transpose(3, 4), m.t());
}

Tensor inverse_block_cosine(const Tensor& frequencies) {
  LAV_CHECK(frequencies.dim() == 6 && frequencies.size(4) == kCosineBlock && frequencies.size(5) == kCosineBlock, "frequencies of blocks");
  const Tensor m = cosine_matrix(frequencies.options().requires_grad(false));
  return both_sides(frequencies, m).transpose(3, 4).reshape(
      {frequencies.size(0), frequencies.size(1), frequencies.size(2) * kCosineBlock, frequencies.size(3) * kCosineBlock});
}

}  // namespace layeravatar::diffusion
