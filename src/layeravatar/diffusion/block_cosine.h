// The cosine transform of 8 x 8 texel blocks, as in JPEG: frequencies of planes.
#pragma once
#include <torch/types.h>

#include <cstdint>

namespace layeravatar::diffusion {

inline constexpr std::int64_t kCosineBlock = 8;

/// Orthonormal DCT-II of eight numbers, [8, 8]: a row for each frequency.
torch::Tensor cosine_matrix(const torch::TensorOptions& options);
/// The same down and across each block: [B, C, h, w] -> [B, C, h/8, w/8, 8, 8], the last two the frequencies down and across.
/// h and w are multiples of 8, else Error(kInternal).
torch::Tensor block_cosine(const torch::Tensor& planes);
torch::Tensor inverse_block_cosine(const torch::Tensor& frequencies);

}  // namespace layeravatar::diffusion
