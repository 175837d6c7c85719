#include <algorithm>
#include <cstring>

#include "layeravatar/core/clones.h"
#include "layeravatar/diffusion/kernels/prior_kernel.h"

namespace layeravatar::diffusion {
namespace {

constexpr std::int64_t kSide = 8, kInBlock = kSide * kSide;
constexpr std::int64_t kRows = 4;       // products with so many rows of the basis at a time
constexpr std::int64_t kColumns = 256;  // sums of so many columns at a time

using Row = float __attribute__((vector_size(kSide * sizeof(float))));

// out = a b, each [8, 8].
inline __attribute__((always_inline)) void multiply(const float* a, const float* b, float* out) {
  Row rows[kSide];
  std::memcpy(rows, b, sizeof rows);
  for (std::int64_t r = 0; r < kSide; ++r) {
    Row sum = a[kSide * r] * rows[0];
    for (std::int64_t k = 1; k < kSide; ++k) sum += a[kSide * r + k] * rows[k];
    std::memcpy(out + kSide * r, &sum, sizeof sum);
  }
}

struct Cosine {
  float rows[kInBlock], transposed[kInBlock];
  explicit Cosine(const float* m) {
    for (std::int64_t r = 0; r < kSide; ++r)
      for (std::int64_t c = 0; c < kSide; ++c) rows[kSide * r + c] = transposed[kSide * c + r] = m[kSide * r + c];
  }
};

LAV_CLONES void to_frequencies(const Cosine& m, const float* texels, std::int64_t pitch, const float* mask, float* out) {
  float masked[kInBlock], half[kInBlock];
  for (std::int64_t r = 0; r < kSide; ++r)
    for (std::int64_t c = 0; c < kSide; ++c) masked[kSide * r + c] = texels[r * pitch + c] * mask[kSide * r + c];
  multiply(masked, m.transposed, half);
  multiply(m.rows, half, out);
}

LAV_CLONES void add_texels(const Cosine& m, const float* frequencies, const float* mask, std::int64_t pitch, float* texels) {
  float half[kInBlock], whole[kInBlock];
  multiply(frequencies, m.rows, half);
  multiply(m.transposed, half, whole);
  for (std::int64_t r = 0; r < kSide; ++r)
    for (std::int64_t c = 0; c < kSide; ++c) texels[r * pitch + c] += whole[kSide * r + c] * mask[kSide * r + c];
}

// Where block b of an image begins.
std::int64_t place_of(const PriorBlocks& blocks, std::int64_t b) {
  const std::int64_t across = blocks.columns / kSide;
  return (b / across * kSide) * blocks.columns + b % across * kSide;
}

// Products of x [n] with the rows of `basis`, `pitch` apart; rows behind the last are the last one again.
LAV_CLONES void dot_rows(const std::int8_t* basis, std::int64_t pitch, std::int64_t rows, const float* x, std::int64_t n, float* sums) {
  const std::int8_t *a = basis, *b = basis + std::min<std::int64_t>(1, rows - 1) * pitch, *c = basis + std::min<std::int64_t>(2, rows - 1) * pitch,
                    *d = basis + (rows - 1) * pitch;
  float sa = 0, sb = 0, sc = 0, sd = 0;
#pragma omp simd reduction(+ : sa, sb, sc, sd)
  for (std::int64_t i = 0; i < n; ++i) {
    sa += x[i] * static_cast<float>(a[i]);
    sb += x[i] * static_cast<float>(b[i]);
    sc += x[i] * static_cast<float>(c[i]);
    sd += x[i] * static_cast<float>(d[i]);
  }
  sums[0] = sa, sums[1] = sb, sums[2] = sc, sums[3] = sd;
}

LAV_CLONES void combine_rows(const std::int8_t* basis, std::int64_t pitch, const float* y, const float* step, std::int64_t rank, std::int64_t n, float* out) {
  float sums[kColumns] = {};
  for (std::int64_t k = 0; k < rank; ++k) {
    const float factor = y[k] * step[k];
    const std::int8_t* row = basis + k * pitch;
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) sums[i] += factor * static_cast<float>(row[i]);
  }
  std::copy_n(sums, n, out);
}

}  // namespace

void prior_frequencies_cpu(const PriorBlocks& blocks, const float* planes, float* frequencies) {
  const Cosine cosine(blocks.cosine);
  const std::int64_t image = blocks.channels * blocks.rows * blocks.columns;
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < blocks.images * blocks.count; ++i) {
    const std::int64_t q = i % blocks.count;
    to_frequencies(cosine, planes + i / blocks.count * image + place_of(blocks, blocks.block[q]), blocks.columns, blocks.masks + q * kInBlock, frequencies + i * kInBlock);
  }
}

void prior_planes_cpu(const PriorBlocks& blocks, const float* frequencies, float* planes) {
  const Cosine cosine(blocks.cosine);
  const std::int64_t image = blocks.channels * blocks.rows * blocks.columns, count = image / kInBlock;
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < blocks.images * count; ++i) {
    const std::int64_t b = i % count;
    float* const to = planes + i / count * image + place_of(blocks, b);
    for (std::int64_t r = 0; r < kSide; ++r) std::fill_n(to + r * blocks.columns, kSide, 0.0F);
    for (std::int64_t k = blocks.begin[b]; k < blocks.begin[b + 1]; ++k) {
      const std::int64_t q = blocks.order[k];
      add_texels(cosine, frequencies + (i / count * blocks.count + q) * kInBlock, blocks.masks + q * kInBlock, blocks.columns, to);
    }
  }
}

void prior_to_basis_cpu(const PriorBasis& basis, const float* x, float* y) {
  const std::int64_t groups = (basis.rank + kRows - 1) / kRows;
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i = 0; i < basis.images * basis.parts * groups; ++i) {
    const std::int64_t k = i % groups * kRows, p = i / groups % basis.parts, b = i / groups / basis.parts;
    const std::int64_t begin = basis.columns[p], rows = std::min(kRows, basis.rank - k);
    float sums[kRows];
    dot_rows(basis.basis + k * basis.width + begin, basis.width, rows, x + b * basis.width + begin, basis.columns[p + 1] - begin, sums);
    for (std::int64_t r = 0; r < rows; ++r) y[(b * basis.parts + p) * basis.rank + k + r] = sums[r] * basis.step[p * basis.rank + k + r];
  }
}

void prior_of_basis_cpu(const PriorBasis& basis, const float* y, float* x) {
  const std::int64_t chunks = (basis.width + kColumns - 1) / kColumns;
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < basis.images * chunks; ++i) {
    const std::int64_t b = i / chunks, from = i % chunks * kColumns, to = std::min(from + kColumns, basis.width);
    for (std::int64_t p = 0; p < basis.parts; ++p) {
      const std::int64_t begin = std::max(from, basis.columns[p]), end = std::min(to, basis.columns[p + 1]);
      if (begin < end)
        combine_rows(basis.basis + begin, basis.width, y + (b * basis.parts + p) * basis.rank, basis.step + p * basis.rank, basis.rank, end - begin, x + b * basis.width + begin);
    }
  }
}

}  // namespace layeravatar::diffusion
