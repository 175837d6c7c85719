// Backward per-pixel work: each tile's list front to back, splat by splat, for the best instruction set of the machine.
#include <algorithm>
#include <bit>
#include <cstring>

#include "layeravatar/splat/kernels/splat_steps.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layeravatar/splat/kernels/tiles_backward_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "layeravatar/splat/kernels/tile_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace layeravatar::splat::HWY_NAMESPACE {

constexpr std::uint32_t kAhead = 16;    // splats
constexpr std::uint32_t kRefresh = 32;  // splats between looks at which outputs of a block are finished

// One block. `rest` is what lies at and behind the next splat: sum of weight times value, background included, where a
// splat's value is its (colour, depth, 1) times the gradient.
struct BackwardBlock {
  HWY_ALIGN float t[kOutputs][kBlockPixels];
  HWY_ALIGN float rest[kOutputs][kBlockPixels];
  HWY_ALIGN float colour[kImages][3][kBlockPixels];  // gradients
  HWY_ALIGN float alpha[kOutputs][kBlockPixels];
  HWY_ALIGN float depth[kBlockPixels];
};

constexpr std::ptrdiff_t kStride = sizeof(BackwardBlock) / sizeof(float);  // from a value to the next block's

// Reads one gradient plane to `to`, its place in the first block, and adds its product with the image to `rest`; true
// if any gradient is not zero. Pixels beyond the image, and an absent gradient, are zero.
HWY_INLINE bool load_plane(const float* gradient, const float* image, const SplatInput& in, const TilePlace& tile,
                           float* to, float* rest) {
  if (gradient == nullptr) {
    for (int b = 0; b < kBlocks; ++b) fill(to + b * kStride, 0.0F);
    return false;
  }
  auto all_zero = hn::Eq(hn::Zero(kLanes), hn::Zero(kLanes));
  for (int b = 0; b < kBlocks; ++b, to += kStride, rest += kStride) {
    const int x = b / 4 * kBlock, y = b % 4 * kBlock;
    const int columns = std::min(kBlock, tile.columns - x), rows = std::min(kBlock, tile.rows - y);
    const std::int64_t from = static_cast<std::int64_t>(y) * in.view.width + x;
    HWY_ALIGN float picture[kBlockPixels];
    if (columns == kBlock && rows == kBlock) {
      for (int row = 0; row < kBlock; ++row) {
        std::memcpy(to + row * kBlock, gradient + from + row * in.view.width, kBlock * sizeof(float));
        std::memcpy(picture + row * kBlock, image + from + row * in.view.width, kBlock * sizeof(float));
      }
    } else {
      fill(to, 0.0F);
      fill(picture, 0.0F);
      for (int row = 0; row < rows; ++row)
        for (int column = 0; column < columns; ++column) {
          to[row * kBlock + column] = gradient[from + row * in.view.width + column];
          picture[row * kBlock + column] = image[from + row * in.view.width + column];
        }
    }
    for (int at = 0; at < kBlockPixels; at += kWidth) {
      const V g = hn::Load(kLanes, to + at);
      hn::Store(hn::MulAdd(g, hn::Load(kLanes, picture + at), hn::Load(kLanes, rest + at)), kLanes, rest + at);
      all_zero = hn::And(all_zero, hn::Eq(g, hn::Zero(kLanes)));
    }
  }
  return !hn::AllTrue(kLanes, all_zero);
}

// Gradients of output `o` and where it starts; true if any of them is not zero.
HWY_INLINE bool load_output(const SplatInput& in, const SplatImages& images, const SplatImageGradients& grad,
                            const TilePlace& tile, BackwardBlock* blocks, int o) {
  for (int b = 0; b < kBlocks; ++b) {
    fill(blocks[b].t[o], 1.0F);
    fill(blocks[b].rest[o], 0.0F);
  }
  const auto load = [&](const float* gradients, const float* pictures, int plane, float* to) HWY_ATTR {
    return load_plane(plane_at(gradients, plane, in, tile), plane_at(pictures, plane, in, tile), in, tile, to,
                      blocks[0].rest[o]);
  };
  if (o == kInner) return load(grad.inner_alpha, images.inner_alpha, 0, blocks[0].alpha[o]);
  bool any = false;
  for (int c = 0; c < 3; ++c)
    any |= o == kFull ? load(grad.full, images.full, c, blocks[0].colour[o][c])
                      : load(grad.components, images.components, 3 * (o - 1) + c, blocks[0].colour[o][c]);
  any |= o == kFull ? load(grad.alpha, images.alpha, 0, blocks[0].alpha[o])
                    : load(grad.component_alphas, images.component_alphas, o - 1, blocks[0].alpha[o]);
  if (o == kFull) any |= load(grad.depth, images.depth, 0, blocks[0].depth);
  return any;
}

HWY_INLINE V reciprocal(V x) {
  const V guess = hn::ApproximateReciprocal(x);
  return hn::Mul(guess, hn::NegMulAdd(x, guess, set(2.0F)));
}

// dL/d(alpha) of one splat in one output, and its weight; the output moves behind the splat.
HWY_INLINE V alpha_gradient(V alpha, V inverse_rest, V value, float* t_at, float* rest_at, V& weight) {
  V t = hn::Load(kLanes, t_at);
  const V before = t;
  weight = weigh(alpha, t);
  const V rest = hn::NegMulAdd(weight, value, hn::Load(kLanes, rest_at));
  hn::Store(t, kLanes, t_at);
  hn::Store(rest, kLanes, rest_at);
  const auto counts = hn::Gt(weight, hn::Zero(kLanes));
  return hn::IfThenElseZero(counts, hn::NegMulAdd(rest, inverse_rest, hn::Mul(before, value)));
}

// Lane sums of four vectors, in order; past the caches, since a splat's slots are written from all over the image.
HWY_INLINE void store_sums(V a, V b, V c, V d, float* out) {
#if HWY_TARGET == HWY_SCALAR
  out[0] = hn::GetLane(a), out[1] = hn::GetLane(b), out[2] = hn::GetLane(c), out[3] = hn::GetLane(d);
#else
  const hn::RepartitionToWide<Lanes> wide;
  const V ab = hn::Add(hn::InterleaveLower(kLanes, a, b), hn::InterleaveUpper(kLanes, a, b));
  const V cd = hn::Add(hn::InterleaveLower(kLanes, c, d), hn::InterleaveUpper(kLanes, c, d));
  const auto wide_ab = hn::BitCast(wide, ab), wide_cd = hn::BitCast(wide, cd);
  const V abcd = hn::Add(hn::BitCast(kLanes, hn::InterleaveLower(wide, wide_ab, wide_cd)),
                         hn::BitCast(kLanes, hn::InterleaveUpper(wide, wide_ab, wide_cd)));
  const hn::FixedTag<float, 4> quarter;
#if HWY_MAX_BYTES >= 64
  const hn::FixedTag<float, 8> half;
  const auto eight = hn::Add(hn::LowerHalf(half, abcd), hn::UpperHalf(half, abcd));
  hn::Stream(hn::Add(hn::LowerHalf(quarter, eight), hn::UpperHalf(quarter, eight)), quarter, out);
#elif HWY_MAX_BYTES >= 32
  hn::Stream(hn::Add(hn::LowerHalf(quarter, abcd), hn::UpperHalf(quarter, abcd)), quarter, out);
#else
  hn::Stream(abcd, quarter, out);
#endif
#endif
}

HWY_INLINE void store_nothing(SlotGradient& slot) {
  const hn::CappedTag<float, 16> line;
  for (std::size_t at = 0; at < 16; at += hn::MaxLanes(line)) hn::Stream(hn::Zero(line), line, &slot.x + at);
}

struct Sums {
  V x, y, xx, xy, yy, opacity, depth, r, g, b;
};

// The Gaussian in the blocks `left`, two at a time.
HWY_INLINE void fill_gaussians(const ProjectedSplat& s, const TilePlace& tile, std::uint32_t left, float (*out)[kBlockPixels]) {
  while (left != 0) {
    const int first = std::countr_zero(left);
    left &= left - 1;
    const int second = left == 0 ? first : std::countr_zero(left);
    left &= left - 1;
    for (int part = 0; part < kParts; part += kJoint)
      store_gaussians(s, pixels_of(tile, first, part), out[first] + part * kWidth, s, pixels_of(tile, second, part), out[second] + part * kWidth);
  }
}

// Adds one splat's gradient at kJoint vectors of pixels, through the full image, output `own` of its component and the
// inner body, as far as they go on.
template <bool kToFull, bool kToOwn, bool kToInner>
HWY_INLINE void add_pixels(const ProjectedSplat& s, const Pixels& pixels, const float* gaussians, int from, BackwardBlock& block,
                           int own, bool by_depth, Sums& sum) {
  const Offsets offset = offsets_of(s, pixels);
  const V one = set(1.0F);
  V v[kJoint];
#pragma GCC unroll 2
  for (int p = 0; p < kJoint; ++p) {
    const int at = from + p * kWidth;
    const V gaussian = hn::Load(kLanes, gaussians + at);
    V by_exponent = hn::Zero(kLanes), weight;
    if (kToFull || kToOwn) {
      const V alpha = limit_alpha(hn::Mul(set(s.opacity), gaussian));
      const V inverse_rest = reciprocal(hn::Sub(one, alpha));
      V by_alpha = hn::Zero(kLanes);
      const auto image = [&](int o) HWY_ATTR {
        const V r = hn::Load(kLanes, block.colour[o][0] + at), g = hn::Load(kLanes, block.colour[o][1] + at);
        const V blue = hn::Load(kLanes, block.colour[o][2] + at);
        V value = hn::MulAdd(set(s.r), r, hn::Load(kLanes, block.alpha[o] + at));
        value = hn::MulAdd(set(s.g), g, value);
        value = hn::MulAdd(set(s.b), blue, value);
        if (o == kFull && by_depth) value = hn::MulAdd(set(s.depth), hn::Load(kLanes, block.depth + at), value);
        by_alpha =
            hn::Add(by_alpha, alpha_gradient(alpha, inverse_rest, value, block.t[o] + at, block.rest[o] + at, weight));
        sum.r = hn::MulAdd(weight, r, sum.r);
        sum.g = hn::MulAdd(weight, g, sum.g);
        sum.b = hn::MulAdd(weight, blue, sum.b);
      };
      if (kToFull) {
        image(kFull);
        if (by_depth) sum.depth = hn::MulAdd(weight, hn::Load(kLanes, block.depth + at), sum.depth);
      }
      if (kToOwn) image(own);
      sum.opacity = hn::MulAdd(gaussian, by_alpha, sum.opacity);
      by_exponent = hn::Mul(set(s.opacity), by_alpha);
    }
    if (kToInner) {
      const V alpha = limit_alpha(gaussian);
      const V value = hn::Load(kLanes, block.alpha[kInner] + at);
      by_exponent = hn::Add(by_exponent, alpha_gradient(alpha, reciprocal(hn::Sub(one, alpha)), value,
                                                        block.t[kInner] + at, block.rest[kInner] + at, weight));
    }
    v[p] = hn::Mul(gaussian, by_exponent);
  }
  V v_sum = v[0], v_dy = hn::Mul(v[0], offset.dy[0]);
  sum.yy = hn::MulAdd(v_dy, offset.dy[0], sum.yy);
  if (kJoint == 2) {
    const V second = hn::Mul(v[kJoint - 1], offset.dy[kJoint - 1]);
    sum.yy = hn::MulAdd(second, offset.dy[kJoint - 1], sum.yy);
    v_sum = hn::Add(v_sum, v[kJoint - 1]);
    v_dy = hn::Add(v_dy, second);
  }
  const V v_dx = hn::Mul(v_sum, offset.dx);
  sum.x = hn::Add(sum.x, v_dx);
  sum.y = hn::Add(sum.y, v_dy);
  sum.xx = hn::MulAdd(v_dx, offset.dx, sum.xx);
  sum.xy = hn::MulAdd(v_dy, offset.dx, sum.xy);
}

template <bool kToFull, bool kToOwn, bool kToInner>
HWY_INLINE void add_blocks(const ProjectedSplat& s, const TilePlace& tile, std::uint32_t left, const float (*gaussians)[kBlockPixels],
                           BackwardBlock* blocks, int own, bool by_depth, Sums& sum) {
  for (; left != 0; left &= left - 1) {
    const int b = std::countr_zero(left);
    for (int part = 0; part < kParts; part += kJoint)
      add_pixels<kToFull, kToOwn, kToInner>(s, pixels_of(tile, b, part), gaussians[b], part * kWidth, blocks[b], own, by_depth, sum);
  }
}

void backward_tile(const SplatInput& in, const SplatImages& images, const SplatScratch& s,
                   const SplatImageGradients& grad, std::int64_t tile_index, SlotGradient* of_slot) {
  const std::uint32_t begin = s.tile_start[static_cast<std::size_t>(tile_index)];
  const std::uint32_t end = s.tile_start[static_cast<std::size_t>(tile_index) + 1];
  if (begin == end) return;
  const TilePlace tile = place_of(in, s, tile_index);
  BackwardBlock blocks[kBlocks];
  bool drawn[kOutputs] = {true};
  for (std::uint32_t at = begin; at < end; ++at)
    if (s.pairs[at].component < kComponents) drawn[1 + s.pairs[at].component] = true;
  drawn[kInner] = drawn[1];
  std::uint32_t live[kOutputs];  // blocks in which an output goes on
  for (int o = 0; o < kOutputs; ++o)
    live[o] = drawn[o] && load_output(in, images, grad, tile, blocks, o) ? (1U << kBlocks) - 1 : 0;
  const bool by_depth = grad.depth != nullptr;
  const std::uint32_t stop = s.tile_stop[static_cast<std::size_t>(tile_index)];
  for (std::uint32_t at = stop; at < end; ++at) store_nothing(of_slot[s.pairs[at].slot]);
  for (std::uint32_t at = begin; at < stop; ++at) {
    const SplatPair& ahead = s.pairs[std::min(at + kAhead, stop - 1)];
    hwy::Prefetch(&s.splats[ahead.splat]);
    if ((at - begin) % kRefresh == kRefresh - 1)
      for (int o = 0; o < kOutputs; ++o)
        for (std::uint32_t left = live[o]; left != 0; left &= left - 1)
          if (const int b = std::countr_zero(left); !any_live(blocks[b].t[o])) live[o] &= ~(1U << b);
    const SplatPair& pair = s.pairs[at];
    const ProjectedSplat& splat = s.splats[pair.splat];
    const int own = pair.component < kComponents ? pair.component + 1 : kFull;
    const std::uint32_t live_inner = own == 1 ? live[kInner] : 0, live_own = own == kFull ? 0 : live[own];
    const std::uint32_t touched = pair.blocks & (live[kFull] | live_own | live_inner);
    SlotGradient& slot = of_slot[pair.slot];
    if (touched == 0) {
      store_nothing(slot);
      continue;
    }
    const V zero = hn::Zero(kLanes);
    HWY_ALIGN float gaussians[kBlocks][kBlockPixels];
    fill_gaussians(splat, tile, touched, gaussians);
    Sums sum = {zero, zero, zero, zero, zero, zero, zero, zero, zero, zero};
    const std::uint32_t with_full = touched & live[kFull], alone = touched & ~live[kFull];
    add_blocks<true, false, false>(splat, tile, with_full & ~live_own & ~live_inner, gaussians, blocks, own, by_depth, sum);
    add_blocks<true, true, false>(splat, tile, with_full & live_own & ~live_inner, gaussians, blocks, own, by_depth, sum);
    add_blocks<false, true, false>(splat, tile, alone & live_own & ~live_inner, gaussians, blocks, own, by_depth, sum);
    if (live_inner != 0) {
      add_blocks<true, false, true>(splat, tile, with_full & ~live_own & live_inner, gaussians, blocks, own, by_depth, sum);
      add_blocks<true, true, true>(splat, tile, with_full & live_own & live_inner, gaussians, blocks, own, by_depth, sum);
      add_blocks<false, true, true>(splat, tile, alone & live_own & live_inner, gaussians, blocks, own, by_depth, sum);
      add_blocks<false, false, true>(splat, tile, alone & ~live_own & live_inner, gaussians, blocks, own, by_depth, sum);
    }
    store_sums(sum.x, sum.y, sum.xx, sum.xy, &slot.x);
    store_sums(sum.yy, sum.opacity, sum.depth, sum.r, &slot.yy);
    store_sums(sum.g, sum.b, zero, zero, &slot.g);
    store_sums(zero, zero, zero, zero, &slot.unused[2]);
  }
}

}  // namespace layeravatar::splat::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace layeravatar::splat {

HWY_EXPORT(backward_tile);

void splat_backward_cpu(const SplatInput& input, const SplatImages& images, const SplatScratch& scratch,
                        const SplatImageGradients& grad, const SplatGradients& out) {
  const PooledArray<SlotGradient> of_slot(scratch.pairs.size());
  const std::int64_t tiles = static_cast<std::int64_t>(scratch.tiles_x) * scratch.tiles_y;
#pragma omp parallel
  {
#pragma omp for schedule(dynamic, 4)
    for (std::int64_t tile = 0; tile < tiles; ++tile)
      HWY_DYNAMIC_DISPATCH(backward_tile)(input, images, scratch, grad, tile, of_slot.data());
    hwy::FlushStream();
  }
  screen_to_world(input, scratch, of_slot, out);
}

}  // namespace layeravatar::splat
#endif
