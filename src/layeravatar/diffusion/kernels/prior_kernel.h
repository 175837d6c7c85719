// The linear parts of the mixture prior's estimate. Plain C++, no LibTorch. Every result is the same for any number of threads.
#pragma once
#include <cstdint>

namespace layeravatar::diffusion {

/// Q blocks of 8 x 8 texels of planes [images, C, rows, columns], each behind a mask: those of one block of the planes may be several.
struct PriorBlocks {
  std::int64_t images, channels, rows, columns, count;  // count: Q
  const float* cosine;        // [8, 8], a row for each frequency
  const std::int64_t* block;  // [Q] which of the N = C (rows / 8) (columns / 8) blocks
  const float* masks;         // [Q, 64]
  const std::int64_t* order;  // [Q] numbers of the Q by the block that they belong to
  const std::int64_t* begin;  // [N + 1] where each block's lie in `order`
};
/// The cosine transform of each masked block, [images, Q, 64].
void prior_frequencies_cpu(const PriorBlocks& blocks, const float* planes, float* frequencies);
/// Its transpose: planes [images, C, rows, columns].
void prior_planes_cpu(const PriorBlocks& blocks, const float* frequencies, float* planes);

/// A matrix for each of P parts: K rows, of which part p has the columns [columns[p], columns[p + 1]) of `basis`, times step[p, k].
struct PriorBasis {
  std::int64_t images, parts, rank, width;
  const std::int64_t* columns;  // [P + 1]
  const std::int8_t* basis;     // [K, width]
  const float* step;            // [P, K]
};
/// y [images, P, K] of x [images, width].
void prior_to_basis_cpu(const PriorBasis& basis, const float* x, float* y);
/// Its transpose.
void prior_of_basis_cpu(const PriorBasis& basis, const float* y, float* x);

}  // namespace layeravatar::diffusion
