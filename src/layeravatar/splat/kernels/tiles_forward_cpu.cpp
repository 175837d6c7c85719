// Forward per-pixel work, one 16 x 16 tile at a time, for the best instruction set of the machine.
#include <algorithm>
#include <bit>
#include <cstring>

#include "layeravatar/splat/kernels/splat_steps.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layeravatar/splat/kernels/tiles_forward_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "layeravatar/splat/kernels/tile_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace layeravatar::splat::HWY_NAMESPACE {

constexpr int kBatch = 64;  // splats per look at which outputs of a block are finished; bits of a word

// One picture of a block: transmittance, sums of weight times colour, and of weight times depth (full image) or of the full
// image's weights (components). Weights sum up to 1 less the transmittance.
struct Picture {
  HWY_ALIGN float t[kBlockPixels], colour[3][kBlockPixels], last[kBlockPixels];
};

struct ForwardBlock {
  Picture pictures[kImages + 1];  // the last takes Gaussians without a component and is not shown
  HWY_ALIGN float inner[kBlockPixels];  // transmittance
};

// After the last splat stands one that draws nothing.
struct Batch {
  const ProjectedSplat* splats[kBatch + 1];
  std::uint8_t picture[kBatch + 1];
  float body[kBatch + 1];  // 1 where it belongs to the body, else 0
  std::uint64_t of_block[kBlocks];
  std::uint64_t of_component[kComponents];
  HWY_ALIGN float gaussians[kBatch + 1][kBlockPixels];  // of one block
};

// of_block[b] gets bit j where blocks[j] has bit b.
HWY_INLINE void turn_round(const std::uint16_t* blocks, std::uint64_t* of_block) {
#if HWY_TARGET == HWY_SCALAR
  std::memset(of_block, 0, kBlocks * sizeof *of_block);
  for (int j = 0; j < kBatch; ++j)
    for (unsigned left = blocks[j]; left != 0; left &= left - 1) of_block[std::countr_zero(left)] |= std::uint64_t{1} << j;
#else
  const hn::CappedTag<std::uint16_t, kBatch> lanes;
  constexpr std::size_t kStep = hn::MaxLanes(lanes);
  for (int b = 0; b < kBlocks; ++b) {
    const auto bit = hn::Set(lanes, static_cast<std::uint16_t>(1U << b));
    std::uint8_t bytes[kBatch / 8 + 8];  // a store may write eight
    for (std::size_t at = 0; at < kBatch; at += kStep)
      hn::StoreMaskBits(lanes, hn::TestBit(hn::Load(lanes, blocks + at), bit), bytes + at / 8);
    std::memcpy(of_block + b, bytes, sizeof *of_block);
  }
#endif
}

// `count` pairs from `begin` on; the tile's list goes on to `end`.
HWY_INLINE void load_batch(const SplatScratch& s, const TilePlace& tile, std::uint32_t begin, std::uint32_t end, int count,
                           Batch& batch) {
  std::memset(batch.of_component, 0, sizeof batch.of_component);
  HWY_ALIGN std::uint16_t blocks[kBatch];
  constexpr std::uint32_t kAhead = 24;
  for (int j = 0; j < count; ++j) {
    hwy::Prefetch(&s.splats[s.pairs[std::min(begin + static_cast<std::uint32_t>(j) + kAhead, end - 1)].splat]);
    SplatPair& pair = s.pairs[begin + static_cast<std::uint32_t>(j)];
    batch.splats[j] = &s.splats[pair.splat];
    pair.blocks = blocks[j] = blocks_of(*batch.splats[j], tile);
    batch.picture[j] = pair.component < kComponents ? 1 + pair.component : kImages;
    batch.body[j] = pair.component == 0 ? 1.0F : 0.0F;
    if (pair.component < kComponents) batch.of_component[pair.component] |= std::uint64_t{1} << j;
  }
  for (int j = count; j < kBatch; ++j) blocks[j] = 0;
  static constexpr ProjectedSplat kNothing{};
  batch.splats[kBatch] = &kNothing, batch.picture[kBatch] = kImages, batch.body[kBatch] = 0;
  turn_round(blocks, batch.of_block);
}

constexpr unsigned kLook = 4;  // splats between looks at whether the full image has stopped

HWY_INLINE bool all_stopped(const V (&t)[kJoint]) {
  V most = t[0];
  if (kJoint == 2) most = hn::Max(most, t[kJoint - 1]);
  return hn::AllFalse(kLanes, hn::Gt(most, hn::Zero(kLanes)));
}

HWY_INLINE void load(const float* from, V (&to)[kJoint]) {
#pragma GCC unroll 2
  for (int p = 0; p < kJoint; ++p) to[p] = hn::Load(kLanes, from + p * kWidth);
}

HWY_INLINE void store(const V (&from)[kJoint], float* to) {
#pragma GCC unroll 2
  for (int p = 0; p < kJoint; ++p) hn::Store(from[p], kLanes, to + p * kWidth);
}

// The Gaussians of the splats `bits`, two at a time.
HWY_INLINE void fill_gaussians(Batch& batch, std::uint64_t bits, const Pixels& pixels, int at) {
  while (bits != 0) {
    const int first = std::countr_zero(bits);
    bits &= bits - 1;
    const int second = std::countr_zero(bits);  // kBatch where none is left
    bits &= bits - 1;
    store_gaussians(*batch.splats[first], pixels, batch.gaussians[first] + at, *batch.splats[second], pixels, batch.gaussians[second] + at);
  }
}

// Adds the splats `bits` at kJoint vectors of pixels: to the full image until that stops, and to each one's component and the
// inner body (the body at opacity 1) as if the others were not there. Returns those left.
template <bool kToFull, bool kToParts>
HWY_INLINE std::uint64_t blend(const Batch& batch, std::uint64_t bits, int at, ForwardBlock& out) {
  Picture& full = out.pictures[kFull];
  V t[kJoint], r[kJoint], g[kJoint], b[kJoint], depth[kJoint], inner[kJoint];
  if (kToFull) load(full.t + at, t), load(full.colour[0] + at, r), load(full.colour[1] + at, g), load(full.colour[2] + at, b), load(full.last + at, depth);
  if (kToParts) load(out.inner + at, inner);
  for (unsigned seen = 1; bits != 0; ++seen) {
    const int j = std::countr_zero(bits);
    bits &= bits - 1;
    const ProjectedSplat& s = *batch.splats[j];
    V gaussian[kJoint], alpha[kJoint], weight[kJoint];
    load(batch.gaussians[j] + at, gaussian);
    const V red = set(s.r), green = set(s.g), blue = set(s.b);
#pragma GCC unroll 2
    for (int p = 0; p < kJoint; ++p) alpha[p] = limit_alpha(hn::Mul(set(s.opacity), gaussian[p]));
    if (kToFull)
#pragma GCC unroll 2
      for (int p = 0; p < kJoint; ++p) {
        weight[p] = weigh(alpha[p], t[p]);
        r[p] = hn::MulAdd(weight[p], red, r[p]);
        g[p] = hn::MulAdd(weight[p], green, g[p]);
        b[p] = hn::MulAdd(weight[p], blue, b[p]);
        depth[p] = hn::MulAdd(weight[p], set(s.depth), depth[p]);
      }
    if (kToParts) {
      Picture& own = out.pictures[batch.picture[j]];
      const V body = set(batch.body[j]);
#pragma GCC unroll 2
      for (int p = 0; p < kJoint; ++p) {
        const int to = at + p * kWidth;
        V own_t = hn::Load(kLanes, own.t + to);
        const V own_weight = weigh(alpha[p], own_t);
        hn::Store(own_t, kLanes, own.t + to);
        hn::Store(hn::MulAdd(own_weight, red, hn::Load(kLanes, own.colour[0] + to)), kLanes, own.colour[0] + to);
        hn::Store(hn::MulAdd(own_weight, green, hn::Load(kLanes, own.colour[1] + to)), kLanes, own.colour[1] + to);
        hn::Store(hn::MulAdd(own_weight, blue, hn::Load(kLanes, own.colour[2] + to)), kLanes, own.colour[2] + to);
        if (kToFull) hn::Store(hn::Add(weight[p], hn::Load(kLanes, own.last + to)), kLanes, own.last + to);
        weigh(limit_alpha(hn::Mul(body, gaussian[p])), inner[p]);
      }
    }
    if (kToFull && seen % kLook == 0 && all_stopped(t)) break;
  }
  if (kToFull) store(t, full.t + at), store(r, full.colour[0] + at), store(g, full.colour[1] + at), store(b, full.colour[2] + at), store(depth, full.last + at);
  if (kToParts) store(inner, out.inner + at);
  return bits;
}

constexpr std::ptrdiff_t kStride = sizeof(ForwardBlock) / sizeof(float);  // from a value to the next block's

// Copies one plane of 16 blocks to its image; `from` is its place in the first block.
HWY_INLINE void store_plane(float* plane, const SplatInput& in, const TilePlace& tile, const float* from) {
  if (plane == nullptr) return;
  constexpr int kRowBytes = kBlock * sizeof(float);
  for (int row = 0; row < tile.rows; ++row) {
    const float* values = from + row / kBlock * kStride + row % kBlock * kBlock;
    float* to = plane + static_cast<std::int64_t>(row) * in.view.width;
    if (tile.columns == kTile) {
      for (int column = 0; column < 4; ++column)
        std::memcpy(to + column * kBlock, values + 4 * column * kStride, kRowBytes);
    } else {
      for (int x = 0; x < tile.columns; ++x) to[x] = values[4 * (x / kBlock) * kStride + x % kBlock];
    }
  }
}

// The place may be wider than a tile.
HWY_INLINE void fill_plane(float* plane, const SplatInput& in, const TilePlace& place, float value) {
  if (plane == nullptr) return;
  const V filled = set(value);
  const bool whole_lines = in.view.width % kTile == 0 && reinterpret_cast<std::uintptr_t>(plane) % 64 == 0;
  for (int row = 0; row < place.rows; ++row) {
    float* to = plane + static_cast<std::int64_t>(row) * in.view.width;
    int x = 0;
    if (whole_lines)  // past the caches, which it would only empty
      for (; x + kWidth <= place.columns; x += kWidth) hn::Stream(filled, kLanes, to + x);
    for (; x + kWidth <= place.columns; x += kWidth) hn::StoreU(filled, kLanes, to + x);
    for (; x < place.columns; ++x) to[x] = value;
  }
}

// From transmittances, which it overwrites.
HWY_INLINE void store_alpha(float* plane, const SplatInput& in, const TilePlace& tile, float* t) {
  for (int block = 0; block < kBlocks; ++block)
    for (int at = 0; at < kBlockPixels; at += kWidth) {
      float* value = t + block * kStride + at;
      hn::Store(hn::Sub(set(1.0F), hn::Abs(hn::Load(kLanes, value))), kLanes, value);
    }
  store_plane(plane, in, tile, t);
}

// Adds the background and writes picture `image` (0 full, then the components); `blocks` is null where nothing is
// drawn.
HWY_INLINE void store_image(const SplatInput& in, const SplatImages& out, const SplatScratch& s, const TilePlace& tile,
                            ForwardBlock* blocks, int image) {
  const bool none = image == kFull ? s.empty : s.component_empty[static_cast<std::size_t>(image - 1)];
  const int component = image - 1;
  float* colours = image == kFull ? plane_at(out.full, 0, in, tile) : plane_at(out.components, 3 * component, in, tile);
  float* alpha =
      image == kFull ? plane_at(out.alpha, 0, in, tile) : plane_at(out.component_alphas, component, in, tile);
  float* last =
      image == kFull ? plane_at(out.depth, 0, in, tile) : plane_at(out.component_weights, component, in, tile);
  const std::int64_t pixels = static_cast<std::int64_t>(in.view.width) * in.view.height;
  for (int c = 0; c < 3; ++c) {
    float* plane = colours == nullptr ? nullptr : colours + c * pixels;
    const float background = none && in.empty_is_black ? 0.0F : in.background[static_cast<std::size_t>(c)];
    if (blocks == nullptr) {
      fill_plane(plane, in, tile, background);
      continue;
    }
    for (int block = 0; block < kBlocks; ++block)
      for (int at = 0; at < kBlockPixels; at += kWidth) {
        Picture& picture = blocks[block].pictures[image];
        float* sum = picture.colour[c] + at;
        const V t = hn::Abs(hn::Load(kLanes, picture.t + at));
        hn::Store(hn::MulAdd(t, set(background), hn::Load(kLanes, sum)), kLanes, sum);
      }
    store_plane(plane, in, tile, blocks[0].pictures[image].colour[c]);
  }
  if (blocks == nullptr) {
    fill_plane(alpha, in, tile, 0.0F);
    fill_plane(last, in, tile, 0.0F);
  } else {
    store_alpha(alpha, in, tile, blocks[0].pictures[image].t);
    store_plane(last, in, tile, blocks[0].pictures[image].last);
  }
}

void forward_tile(const SplatInput& in, const SplatImages& out, const SplatScratch& s, std::int64_t tile_index) {
  TilePlace tile = place_of(in, s, tile_index);
  const auto is_empty = [&](std::int64_t t) HWY_ATTR {
    return s.tile_start[static_cast<std::size_t>(t)] == s.tile_start[static_cast<std::size_t>(t) + 1];
  };
  if (is_empty(tile_index)) {  // the first of a row's empty tiles fills them all
    const std::int64_t column = tile_index % s.tiles_x, left = s.tiles_x - column;
    if (column > 0 && is_empty(tile_index - 1)) return;
    std::int64_t run = 1;
    while (run < left && is_empty(tile_index + run)) ++run;
    if (run > 1) tile.columns = std::min(static_cast<int>(run) * kTile, in.view.width - tile.x);
  }
  const std::uint32_t begin = s.tile_start[static_cast<std::size_t>(tile_index)];
  const std::uint32_t end = s.tile_start[static_cast<std::size_t>(tile_index) + 1];
  ForwardBlock blocks[kBlocks];
  bool drawn[kOutputs] = {begin != end};
  for (std::uint32_t at = begin; at < end; ++at) {
    const std::uint8_t component = s.pairs[at].component;
    if (component < kComponents) drawn[1 + component] = true;
  }
  drawn[kInner] = drawn[1];
  std::uint32_t live[kOutputs];  // blocks in which an output goes on
  for (int o = 0; o < kOutputs; ++o) live[o] = drawn[o] ? (1U << kBlocks) - 1 : 0;
  for (ForwardBlock& block : blocks) {
    for (int image = 0; image < kImages + 1; ++image) {
      if (image < kImages && !drawn[image]) continue;
      Picture& picture = block.pictures[image];
      fill(picture.t, 1.0F);
      for (float* sum : {picture.colour[0], picture.colour[1], picture.colour[2], picture.last}) fill(sum, 0.0F);
    }
    fill(block.inner, 1.0F);
  }
  Batch batch;
  std::uint32_t first = begin;
  const auto any_output = [&] { return std::any_of(live, live + kOutputs, [](std::uint32_t blocks_left) { return blocks_left != 0; }); };
  for (; first < end && any_output(); first += kBatch) {
    load_batch(s, tile, first, end, static_cast<int>(std::min<std::uint32_t>(kBatch, end - first)), batch);
    for (int b = 0; b < kBlocks; ++b) {
      const std::uint64_t here = batch.of_block[b];
      const auto is_live = [&](int o) HWY_ATTR { return (live[o] >> b & 1U) != 0; };
      std::uint64_t part_of[kOutputs] = {is_live(kFull) ? here : 0};
      std::uint64_t of_parts = 0;
      for (int c = 0; c < kComponents; ++c) {
        part_of[1 + c] = is_live(1 + c) ? here & batch.of_component[c] : 0;
        of_parts |= part_of[1 + c];
      }
      part_of[kInner] = is_live(kInner) ? here & batch.of_component[0] : 0;
      of_parts |= part_of[kInner];
      if ((part_of[kFull] | of_parts) == 0) continue;
      ForwardBlock& block = blocks[b];
      for (int part = 0; part < kParts; part += kJoint) {
        const int at = part * kWidth;
        const Pixels pixels = pixels_of(tile, b, part);
        fill_gaussians(batch, part_of[kFull] | of_parts, pixels, at);
        if (!in.with_components) {
          blend<true, false>(batch, here, at, block);
          continue;
        }
        const std::uint64_t left = part_of[kFull] != 0 ? blend<true, true>(batch, here, at, block) : here;
        blend<false, true>(batch, left & of_parts, at, block);
      }
      for (int o = 0; o < kOutputs; ++o)
        if (part_of[o] != 0 && !any_live(o == kInner ? block.inner : block.pictures[o].t)) live[o] &= ~(1U << b);
    }
  }
  s.tile_stop[static_cast<std::size_t>(tile_index)] = std::min(first, end);
  for (int image = 0; image < (in.with_components ? kImages : 1); ++image)
    store_image(in, out, s, tile, drawn[image] ? blocks : nullptr, image);
  if (!in.with_components) return;
  float* inner = plane_at(out.inner_alpha, 0, in, tile);
  if (drawn[kInner])
    store_alpha(inner, in, tile, blocks[0].inner);
  else
    fill_plane(inner, in, tile, 0.0F);
}

}  // namespace layeravatar::splat::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace layeravatar::splat {

HWY_EXPORT(forward_tile);

void splat_forward_cpu(const SplatInput& input, const SplatImages& out, SplatScratch& scratch) {
  project_and_sort(input, scratch);
  const std::int64_t tiles = static_cast<std::int64_t>(scratch.tiles_x) * scratch.tiles_y;
  scratch.tile_stop = PooledArray<std::uint32_t>(static_cast<std::size_t>(tiles));
#pragma omp parallel
  {
#pragma omp for schedule(dynamic, 4)
    for (std::int64_t tile = 0; tile < tiles; ++tile) HWY_DYNAMIC_DISPATCH(forward_tile)(input, out, scratch, tile);
    hwy::FlushStream();
  }
}

}  // namespace layeravatar::splat
#endif
