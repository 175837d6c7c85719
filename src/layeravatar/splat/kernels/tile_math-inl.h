// Vector maths of one 4 x 4 pixel block, compiled once per instruction set. A vector holds a block, a half or a
// quarter.
#if defined(LAYERAVATAR_SPLAT_TILE_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAYERAVATAR_SPLAT_TILE_MATH_INL_H
#undef LAYERAVATAR_SPLAT_TILE_MATH_INL_H
#else
#define LAYERAVATAR_SPLAT_TILE_MATH_INL_H
#endif

#include <cstring>

#include "hwy/highway.h"
#include "layeravatar/splat/kernels/splat_steps.h"

HWY_BEFORE_NAMESPACE();
namespace layeravatar::splat::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Lanes = hn::CappedTag<float, kBlockPixels>;
using V = hn::Vec<Lanes>;
inline constexpr Lanes kLanes{};
inline constexpr int kWidth = static_cast<int>(hn::MaxLanes(Lanes()));
inline constexpr int kParts = kBlockPixels / kWidth;  // vectors per block

inline constexpr float kMinAlpha = 1.0F / 255.0F;
inline constexpr float kMaxAlpha = 0.99F;
inline constexpr float kMinTransmittance = 1e-4F;

HWY_INLINE V set(float v) { return hn::Set(kLanes, v); }

HWY_INLINE void fill(float* block, float v) {
  for (int at = 0; at < kBlockPixels; at += kWidth) hn::Store(set(v), kLanes, block + at);
}

// 2^x for -100 <= x <= 0 with relative error below 1.8e-7; 2^-100 below that, 0 above 0. Several at a time, step by step: one
// alone is a chain of instructions that wait for each other.
template <int kCount>
HWY_INLINE void exp2_not_above_one(V (&x)[kCount]) {
  const hn::RebindToSigned<Lanes> integers;
  const V magic = set(12582912.0F);  // rounds to whole numbers, which then stand in the lowest bits
  V whole[kCount], f[kCount], p[kCount];
#pragma GCC unroll 4
  for (int k = 0; k < kCount; ++k) {
    const V limited = hn::Max(x[k], set(-100.0F));
    whole[k] = hn::Add(limited, magic);
    f[k] = hn::Sub(limited, hn::Sub(whole[k], magic));
    p[k] = set(1.326472615e-03F);  // least largest relative error on [-1/2, 1/2] with p(0) = 1
  }
  const auto times_f_plus = [&](float coefficient) HWY_ATTR {
#pragma GCC unroll 4
    for (int k = 0; k < kCount; ++k) p[k] = hn::MulAdd(p[k], f[k], set(coefficient));
  };
  times_f_plus(9.671512991e-03F);
  times_f_plus(5.550733581e-02F);
  times_f_plus(2.402224243e-01F);
  times_f_plus(6.931470037e-01F);
  times_f_plus(1.0F);
#pragma GCC unroll 4
  for (int k = 0; k < kCount; ++k) {
    const auto bits = hn::Add(hn::BitCast(integers, p[k]), hn::ShiftLeft<23>(hn::BitCast(integers, whole[k])));
    x[k] = hn::IfThenZeroElse(hn::Gt(x[k], hn::Zero(kLanes)), hn::BitCast(kLanes, bits));
  }
}

// Vectors of a block that are worked at together: two where they hold whole rows, whose dx is the same.
inline constexpr int kJoint = kWidth >= kBlock && kParts >= 2 ? 2 : 1;

struct Pixels {
  V x, y[kJoint];
};

// Mean less pixel.
struct Offsets {
  V dx, dy[kJoint];
};

HWY_INLINE Offsets offsets_of(const ProjectedSplat& s, const Pixels& pixels) {
  Offsets o;
  o.dx = hn::Sub(set(s.x), pixels.x);
#pragma GCC unroll 2
  for (int p = 0; p < kJoint; ++p) o.dy[p] = hn::Sub(set(s.y), pixels.y[p]);
  return o;
}

// The Gaussians are 2^these.
HWY_INLINE void exponents_of(const ProjectedSplat& s, const Offsets& o, V* out) {
  const V along_x = hn::Mul(hn::Mul(set(s.exponent_xx), o.dx), o.dx), across = hn::Mul(set(s.exponent_xy), o.dx);
#pragma GCC unroll 2
  for (int p = 0; p < kJoint; ++p) out[p] = hn::MulAdd(hn::MulAdd(set(s.exponent_yy), o.dy[p], across), o.dy[p], along_x);
}

// Limited to 0.99; 0 below 1/255.
HWY_INLINE V limit_alpha(V product) {
  return hn::IfThenElseZero(hn::Ge(product, set(kMinAlpha)), hn::Min(product, set(kMaxAlpha)));
}

// The weight alpha T, and T moved on. An output stops before T falls below 1e-4; its T then stays, negated.
HWY_INLINE V weigh(V alpha, V& t) {
  const V next = hn::NegMulAdd(alpha, t, t);
  const auto counts = hn::Ge(next, set(kMinTransmittance));
  const V weight = hn::IfThenElseZero(counts, hn::Mul(alpha, t));
  t = hn::IfThenElse(counts, next, hn::Or(t, hn::SignBit(kLanes)));
  return weight;
}

HWY_INLINE bool any_live(const float* t) {
  bool live = false;
  for (int part = 0; part < kParts; ++part)
    live |= !hn::AllFalse(kLanes, hn::Gt(hn::Load(kLanes, t + part * kWidth), hn::Zero(kLanes)));
  return live;
}

struct PixelOffsets {
  HWY_ALIGN float x[kBlockPixels], y[kBlockPixels];
};

inline constexpr PixelOffsets kPixel = {{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3},
                                        {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3}};

HWY_ALIGN inline constexpr float kBlockLeft[kBlocks] = {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12};  // block 4 * column + row
HWY_ALIGN inline constexpr float kBlockTop[4] = {0, 4, 8, 12};

// Blocks of a tile that the ellipse of alpha >= 1/255 meets: for each row of blocks its span of x.
HWY_INLINE std::uint16_t blocks_of(const ProjectedSplat& s, const TilePlace& tile) {
  const hn::CappedTag<float, 4> rows;
  using Rows = hn::Vec<decltype(rows)>;
  const auto all = [&](float v) HWY_ATTR { return hn::Set(rows, v); };
  const Rows slack = all(0.01F), top = all(s.top), right_most = all(s.right_dy), zero = hn::Zero(rows);
  const Rows x = all(s.x - static_cast<float>(tile.x)), y = all(static_cast<float>(tile.y) - s.y);
  HWY_ALIGN float left[4], right[4];
  for (std::size_t at = 0; at < 4; at += hn::MaxLanes(rows)) {
    const Rows first = hn::Add(y, hn::Load(rows, kBlockTop + at));
    const Rows low = hn::Max(first, hn::Neg(top)), high = hn::Min(hn::Add(first, all(kBlock - 1)), top);
    const auto extent = [&](Rows dy) HWY_ATTR {
      const Rows square = hn::Mul(all(s.half_square), hn::NegMulAdd(hn::Mul(all(s.inverse_c), dy), dy, all(s.reach)));
      return hn::Add(hn::Sqrt(hn::Max(square, zero)), slack);
    };
    const Rows right_dy = hn::Min(hn::Max(right_most, low), high), left_dy = hn::Min(hn::Max(hn::Neg(right_most), low), high);
    const Rows leftmost = hn::Sub(hn::MulAdd(all(s.slope), left_dy, x), extent(left_dy));
    hn::Store(hn::Add(hn::MulAdd(all(s.slope), right_dy, x), extent(right_dy)), rows, right + at);
    hn::Store(hn::IfThenElse(hn::Ge(hn::Add(high, slack), low), leftmost, all(hwy::HighestValue<float>())), rows, left + at);
  }
  std::uint8_t bits[kBlocks / 8 + 8] = {};  // a store may write eight
  for (int at = 0; at < kBlocks; at += kWidth) {
    const V x0 = hn::Load(kLanes, kBlockLeft + at);
#if HWY_TARGET == HWY_SCALAR
    const V from = hn::Load(kLanes, left + at % 4), to = hn::Load(kLanes, right + at % 4);
#else
    const V from = hn::LoadDup128(kLanes, left), to = hn::LoadDup128(kLanes, right);
#endif
    const auto meets = hn::And(hn::Le(from, hn::Add(x0, set(kBlock - 1))), hn::Ge(to, x0));
    std::uint8_t some[8] = {};
    hn::StoreMaskBits(kLanes, meets, some);
    if (kWidth >= 8) std::memcpy(bits + at / 8, some, 2);
    else bits[at / 8] = static_cast<std::uint8_t>(bits[at / 8] | some[0] << at % 8);
  }
  return static_cast<std::uint16_t>(bits[0] | bits[1] << 8);
}

// The Gaussians of one splat at some pixels and of one, the same or another, at some, the same or others.
HWY_INLINE void store_gaussians(const ProjectedSplat& first, const Pixels& first_pixels, float* to_first, const ProjectedSplat& second,
                                const Pixels& second_pixels, float* to_second) {
  V values[2 * kJoint];
  exponents_of(first, offsets_of(first, first_pixels), values);
  exponents_of(second, offsets_of(second, second_pixels), values + kJoint);
  exp2_not_above_one(values);
#pragma GCC unroll 2
  for (int p = 0; p < kJoint; ++p) {
    hn::Store(values[p], kLanes, to_first + p * kWidth);
    hn::Store(values[kJoint + p], kLanes, to_second + p * kWidth);
  }
}

// kJoint vectors of a block from vector `part` on.
HWY_INLINE Pixels pixels_of(const TilePlace& tile, int block, int part) {
  Pixels out;
  out.x = hn::Add(hn::Load(kLanes, kPixel.x + part * kWidth), set(static_cast<float>(tile.x + block / 4 * kBlock)));
#pragma GCC unroll 2
  for (int p = 0; p < kJoint; ++p)
    out.y[p] = hn::Add(hn::Load(kLanes, kPixel.y + (part + p) * kWidth), set(static_cast<float>(tile.y + block % 4 * kBlock)));
  return out;
}

}  // namespace layeravatar::splat::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
