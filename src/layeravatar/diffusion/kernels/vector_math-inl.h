// Vectors of channels, the exponential and the inner loop of matrix products, compiled once per instruction set.
#if defined(LAYERAVATAR_DIFFUSION_VECTOR_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAYERAVATAR_DIFFUSION_VECTOR_MATH_INL_H
#undef LAYERAVATAR_DIFFUSION_VECTOR_MATH_INL_H
#else
#define LAYERAVATAR_DIFFUSION_VECTOR_MATH_INL_H
#endif

#include <cstddef>

#include "hwy/highway.h"
#include "layeravatar/diffusion/kernels/unet_layers.h"

HWY_BEFORE_NAMESPACE();
namespace layeravatar::diffusion::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Lanes = hn::CappedTag<float, kBlock>;
using V = hn::Vec<Lanes>;
inline constexpr Lanes kLanes{};
inline constexpr int kWidth = static_cast<int>(hn::MaxLanes(Lanes()));
inline constexpr int kParts = kBlock / kWidth;  // vectors per block of channels

HWY_INLINE V load(const float* p) { return hn::LoadU(kLanes, p); }
HWY_INLINE void store(V v, float* p) { hn::StoreU(v, kLanes, p); }
HWY_INLINE V set(float v) { return hn::Set(kLanes, v); }

// e^x to 3e-7 relative; x is clamped to -87..87.
HWY_INLINE V exp_of(V x) {
  const hn::RebindToSigned<Lanes> integers;
  const V magic = set(12582912.0F);  // rounds to whole numbers, which then stand in the lowest bits
  const V limited = hn::Mul(hn::Min(hn::Max(x, set(-87.0F)), set(87.0F)), set(1.44269504F));
  const V whole = hn::Add(limited, magic);
  const V f = hn::Sub(limited, hn::Sub(whole, magic));
  V p = set(1.326472615e-03F);  // 2^f on [-1/2, 1/2], least largest relative error with p(0) = 1
  p = hn::MulAdd(p, f, set(9.671512991e-03F));
  p = hn::MulAdd(p, f, set(5.550733581e-02F));
  p = hn::MulAdd(p, f, set(2.402224243e-01F));
  p = hn::MulAdd(p, f, set(6.931470037e-01F));
  p = hn::MulAdd(p, f, set(1.0F));
  return hn::BitCast(kLanes, hn::Add(hn::BitCast(integers, p), hn::ShiftLeft<23>(hn::BitCast(integers, whole))));
}

HWY_INLINE V silu(V z) {
  const V below = hn::Add(set(1.0F), exp_of(hn::Neg(z)));
  const V guess = hn::ApproximateReciprocal(below);
  return hn::Mul(z, hn::Mul(guess, hn::NegMulAdd(below, guess, set(2.0F))));  // one step of Newton's
}

// Where a product's operands lie: a row of the left one in `blocks` runs of kBlock floats, offsets[i] after its start.
struct Left {
  const float* data;
  std::ptrdiff_t row;
  const std::ptrdiff_t* offsets;
  int blocks;
};
// Row k of the right one at data + k * row; its columns in blocks of kBlock, `block` apart. The result likewise.
struct Right {
  const float* data;
  std::ptrdiff_t row, block;
};
struct Result {
  float* data;
  std::ptrdiff_t row, block;
};

template <int kRows, int kVectors>
HWY_INLINE void multiply_tile(const Left& a, int first_row, const Right& b, const Result& c, bool add) {
  const auto at = [](std::ptrdiff_t block, int v) { return v / kParts * block + v % kParts * kWidth; };
  V sum[kRows][kVectors];
  float* out = c.data + first_row * c.row;
  HWY_UNROLL(24)
  for (int r = 0; r < kRows; ++r)
    HWY_UNROLL(24)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = add ? load(out + r * c.row + at(c.block, v)) : hn::Zero(kLanes);
  const float* right = b.data;
  for (int i = 0; i < a.blocks; ++i) {
    const float* left = a.data + first_row * a.row + a.offsets[i];
    for (int k = 0; k < kBlock; ++k, right += b.row, ++left) {
      V column[kVectors];
      HWY_UNROLL(24)
      for (int v = 0; v < kVectors; ++v) column[v] = load(right + at(b.block, v));
      HWY_UNROLL(24)
      for (int r = 0; r < kRows; ++r) {
        const V one = set(left[r * a.row]);
        HWY_UNROLL(24)
        for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(one, column[v], sum[r][v]);
      }
    }
  }
  HWY_UNROLL(24)
  for (int r = 0; r < kRows; ++r)
    HWY_UNROLL(24)
    for (int v = 0; v < kVectors; ++v) store(sum[r][v], out + r * c.row + at(c.block, v));
}

template <int kRows, int kVectors>
HWY_INLINE void multiply_rows(const Left& a, int rows, const Right& b, const Result& c, bool add) {
  constexpr int kHalf = kRows / 2;
  int r = 0;
  for (; rows - r > kHalf; r += kRows) multiply_tile<kRows, kVectors>(a, r, b, c, add);
  if (r < rows) multiply_tile<kHalf, kVectors>(a, r, b, c, add);
}

// c = a b, or c += a b; `blocks` of columns, up to kPieceBlocks. Operand and result must have room for rows up to the next
// multiple of kRowsMultiple: what lies there is read, multiplied and written.
inline HWY_NOINLINE void multiply(const Left& a, int rows, const Right& b, int blocks, const Result& c, bool add) {
  if constexpr (kParts == 1) {  // 32 registers: sums fill 24 of them
    switch (blocks) {
      case 4: return multiply_rows<6, 4>(a, rows, b, c, add);
      case 3: return multiply_rows<8, 3>(a, rows, b, c, add);
      case 2: return multiply_rows<12, 2>(a, rows, b, c, add);
      default: return multiply_rows<12, 1>(a, rows, b, c, add);
    }
  } else {  // 16 registers: sums fill 12
    for (int block = 0; block < blocks; ++block)
      for (int part = 0; part < kBlock; part += 2 * kWidth)
        multiply_rows<6, 2>(a, rows, {b.data + block * b.block + part, b.row, b.block}, {c.data + block * c.block + part, c.row, c.block}, add);
  }
}

}  // namespace layeravatar::diffusion::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
