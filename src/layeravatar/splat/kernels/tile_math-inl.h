// Vector maths of one 4 x 4 pixel block, compiled once per instruction set. A vector holds a block, a half or a
// quarter.
#if defined(LAYERAVATAR_SPLAT_TILE_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAYERAVATAR_SPLAT_TILE_MATH_INL_H
#undef LAYERAVATAR_SPLAT_TILE_MATH_INL_H
#else
#define LAYERAVATAR_SPLAT_TILE_MATH_INL_H
#endif

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

// 2^x for -100 <= x <= 0 with relative error below 1.8e-7; 2^-100 below that, 0 above 0.
HWY_INLINE V exp2_not_above_one(V x) {
  const hn::RebindToSigned<Lanes> integers;
  const V magic = set(12582912.0F);  // rounds to whole numbers, which then stand in the lowest bits
  const V limited = hn::Max(x, set(-100.0F));
  const V whole = hn::Add(limited, magic);
  const V f = hn::Sub(limited, hn::Sub(whole, magic));
  V p = set(1.326472615e-03F);  // least largest relative error on [-1/2, 1/2] with p(0) = 1
  p = hn::MulAdd(p, f, set(9.671512991e-03F));
  p = hn::MulAdd(p, f, set(5.550733581e-02F));
  p = hn::MulAdd(p, f, set(2.402224243e-01F));
  p = hn::MulAdd(p, f, set(6.931470037e-01F));
  p = hn::MulAdd(p, f, set(1.0F));
  const auto bits = hn::Add(hn::BitCast(integers, p), hn::ShiftLeft<23>(hn::BitCast(integers, whole)));
  return hn::IfThenZeroElse(hn::Gt(x, hn::Zero(kLanes)), hn::BitCast(kLanes, bits));
}

struct Offset {
  V dx, dy;
};

HWY_INLINE Offset offset_of(const ProjectedSplat& s, V pixel_x, V pixel_y) {
  return {hn::Sub(set(s.x), pixel_x), hn::Sub(set(s.y), pixel_y)};
}

// The Gaussian's value; 0 where the exponent is positive.
HWY_INLINE V gaussian_of(const ProjectedSplat& s, const Offset& o) {
  const V along_x = hn::MulAdd(set(s.exponent_xx), o.dx, hn::Mul(set(s.exponent_xy), o.dy));
  const V along_y = hn::Mul(set(s.exponent_yy), o.dy);
  return exp2_not_above_one(hn::MulAdd(along_x, o.dx, hn::Mul(along_y, o.dy)));
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

// Blocks of a tile that the ellipse of alpha >= 1/255 meets: for each row of blocks its span of x.
HWY_INLINE std::uint16_t blocks_of(const ProjectedSplat& s, const TilePlace& tile) {
  constexpr int kRows = kTile / kBlock;
  const hn::CappedTag<float, kRows> rows;
  using Rows = hn::Vec<decltype(rows)>;
  constexpr int kStep = static_cast<int>(hn::MaxLanes(rows));
  const auto all = [&](float v) HWY_ATTR { return hn::Set(rows, v); };
  const Rows zero = hn::Zero(rows), slack = all(0.01F), top = all(s.top), right_most = all(s.right_dy);
  const Rows x = all(s.x - static_cast<float>(tile.x)), y = all(static_cast<float>(tile.y) - s.y);
  unsigned out = 0;
  for (int row = 0; row < kRows; row += kStep) {
    const Rows first = hn::Add(y, hn::Mul(hn::Add(hn::Iota(rows, 0), all(static_cast<float>(row))), all(kBlock)));
    const Rows low = hn::Max(first, hn::Neg(top)), high = hn::Min(hn::Add(first, all(kBlock - 1)), top);
    const auto edge = [&](Rows widest, auto sign) HWY_ATTR {
      const Rows dy = hn::Min(hn::Max(widest, low), high);
      const Rows square = hn::Mul(all(s.half_square), hn::NegMulAdd(hn::Mul(all(s.inverse_c), dy), dy, all(s.reach)));
      const Rows extent = hn::Add(hn::Sqrt(hn::Max(square, zero)), slack);
      const Rows centre = hn::MulAdd(all(s.slope), dy, x);
      return sign > 0 ? hn::Add(centre, extent) : hn::Sub(centre, extent);
    };
    const Rows right = edge(right_most, 1);
    const Rows left = hn::IfThenElse(hn::Lt(hn::Add(high, slack), low), all(1e9F), edge(hn::Neg(right_most), -1));
    for (int column = 0; column < kTile / kBlock; ++column) {
      const Rows x0 = all(static_cast<float>(column * kBlock)), x1 = all(static_cast<float>(column * kBlock + kBlock - 1));
      std::uint8_t bits[8] = {};
      hn::StoreMaskBits(rows, hn::And(hn::Le(left, x1), hn::Ge(right, x0)), bits);
      out |= static_cast<unsigned>(bits[0]) << (4 * column + row);
    }
  }
  return static_cast<std::uint16_t>(out);
}

struct PixelOffsets {
  HWY_ALIGN float x[kBlockPixels], y[kBlockPixels];
};

inline constexpr PixelOffsets kPixel = {{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3},
                                        {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3}};

HWY_INLINE V pixel_x(const TilePlace& tile, int block, int part) {
  return hn::Add(hn::Load(kLanes, kPixel.x + part * kWidth), set(static_cast<float>(tile.x + block / 4 * kBlock)));
}

HWY_INLINE V pixel_y(const TilePlace& tile, int block, int part) {
  return hn::Add(hn::Load(kLanes, kPixel.y + part * kWidth), set(static_cast<float>(tile.y + block % 4 * kBlock)));
}

}  // namespace layeravatar::splat::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
