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

// Sums of one block: colours, alpha, and depth (full) or the visible weight (components).
struct ForwardBlock {
  HWY_ALIGN float t[kOutputs][kBlockPixels];
  HWY_ALIGN float sums[kImages][5][kBlockPixels];
  HWY_ALIGN float inner[kBlockPixels];
};

struct Batch {
  const ProjectedSplat* splats[kBatch];
  std::uint64_t of_block[kBlocks];
  std::uint64_t of_component[kComponents];
  HWY_ALIGN float gaussian[kBatch][kBlockPixels], alpha[kBatch][kBlockPixels], weight[kBatch][kBlockPixels];
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
    if (pair.component < kComponents) batch.of_component[pair.component] |= std::uint64_t{1} << j;
  }
  for (int j = count; j < kBatch; ++j) blocks[j] = 0;
  turn_round(blocks, batch.of_block);
}

HWY_INLINE bool all_stopped(V t) { return hn::AllFalse(kLanes, hn::Gt(t, hn::Zero(kLanes))); }

constexpr unsigned kLook = 4;  // splats between looks at whether an output of a vector of pixels has stopped

// Adds the splats `bits` to the full image at one vector of pixels until that stops; returns those left. Where the
// components are wanted the Gaussians' values are kept for them.
template <bool kKeep>
HWY_INLINE std::uint64_t blend_full(Batch& batch, std::uint64_t bits, const TilePlace& tile, int block, int part,
                                    ForwardBlock& out) {
  const V x = pixel_x(tile, block, part), y = pixel_y(tile, block, part);
  const int at = part * kWidth;
  float(*sums)[kBlockPixels] = out.sums[kFull];
  V t = hn::Load(kLanes, out.t[kFull] + at);
  V r = hn::Load(kLanes, sums[0] + at), g = hn::Load(kLanes, sums[1] + at), b = hn::Load(kLanes, sums[2] + at);
  V alphas = hn::Load(kLanes, sums[3] + at), depth = hn::Load(kLanes, sums[4] + at);
  for (unsigned seen = 1; bits != 0; ++seen) {
    const int j = std::countr_zero(bits);
    bits &= bits - 1;
    const ProjectedSplat& s = *batch.splats[j];
    const V gaussian = gaussian_of(s, offset_of(s, x, y));
    const V alpha = limit_alpha(hn::Mul(set(s.opacity), gaussian));
    const V weight = weigh(alpha, t);
    if (kKeep) {
      hn::Store(gaussian, kLanes, batch.gaussian[j] + at);
      hn::Store(alpha, kLanes, batch.alpha[j] + at);
      hn::Store(weight, kLanes, batch.weight[j] + at);
    }
    r = hn::MulAdd(weight, set(s.r), r);
    g = hn::MulAdd(weight, set(s.g), g);
    b = hn::MulAdd(weight, set(s.b), b);
    depth = hn::MulAdd(weight, set(s.depth), depth);
    alphas = hn::Add(alphas, weight);
    if (seen % kLook == 0 && all_stopped(t)) break;
  }
  hn::Store(t, kLanes, out.t[kFull] + at);
  hn::Store(r, kLanes, sums[0] + at), hn::Store(g, kLanes, sums[1] + at), hn::Store(b, kLanes, sums[2] + at);
  hn::Store(alphas, kLanes, sums[3] + at), hn::Store(depth, kLanes, sums[4] + at);
  return bits;
}

// The Gaussians' values alone.
HWY_INLINE void keep_alphas(Batch& batch, std::uint64_t bits, const TilePlace& tile, int block, int part) {
  const V x = pixel_x(tile, block, part), y = pixel_y(tile, block, part);
  const int at = part * kWidth;
  for (; bits != 0; bits &= bits - 1) {
    const int j = std::countr_zero(bits);
    const ProjectedSplat& s = *batch.splats[j];
    const V gaussian = gaussian_of(s, offset_of(s, x, y));
    hn::Store(gaussian, kLanes, batch.gaussian[j] + at);
    hn::Store(limit_alpha(hn::Mul(set(s.opacity), gaussian)), kLanes, batch.alpha[j] + at);
  }
}

// The share of one component in the full image.
HWY_INLINE void add_weights(const Batch& batch, std::uint64_t bits, int at, float* out) {
  V sum = hn::Load(kLanes, out + at);
  for (; bits != 0; bits &= bits - 1) sum = hn::Add(sum, hn::Load(kLanes, batch.weight[std::countr_zero(bits)] + at));
  hn::Store(sum, kLanes, out + at);
}

// One component as if the others were not there.
HWY_INLINE void blend_component(const Batch& batch, std::uint64_t bits, int at, float* t_out,
                                float (*sums)[kBlockPixels]) {
  V t = hn::Load(kLanes, t_out + at);
  V r = hn::Load(kLanes, sums[0] + at), g = hn::Load(kLanes, sums[1] + at), b = hn::Load(kLanes, sums[2] + at);
  V alphas = hn::Load(kLanes, sums[3] + at);
  for (unsigned seen = 1; bits != 0; ++seen) {
    const int j = std::countr_zero(bits);
    bits &= bits - 1;
    const ProjectedSplat& s = *batch.splats[j];
    const V weight = weigh(hn::Load(kLanes, batch.alpha[j] + at), t);
    r = hn::MulAdd(weight, set(s.r), r);
    g = hn::MulAdd(weight, set(s.g), g);
    b = hn::MulAdd(weight, set(s.b), b);
    alphas = hn::Add(alphas, weight);
    if (seen % kLook == 0 && all_stopped(t)) break;
  }
  hn::Store(t, kLanes, t_out + at);
  hn::Store(r, kLanes, sums[0] + at), hn::Store(g, kLanes, sums[1] + at), hn::Store(b, kLanes, sums[2] + at);
  hn::Store(alphas, kLanes, sums[3] + at);
}

// The body at opacity 1.
HWY_INLINE void blend_inner(const Batch& batch, std::uint64_t bits, int at, ForwardBlock& out) {
  V t = hn::Load(kLanes, out.t[kInner] + at), sum = hn::Load(kLanes, out.inner + at);
  for (unsigned seen = 1; bits != 0; bits &= bits - 1, ++seen) {
    sum = hn::Add(sum, weigh(limit_alpha(hn::Load(kLanes, batch.gaussian[std::countr_zero(bits)] + at)), t));
    if (seen % kLook == 0 && all_stopped(t)) break;
  }
  hn::Store(t, kLanes, out.t[kInner] + at);
  hn::Store(sum, kLanes, out.inner + at);
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
        float* sum = blocks[block].sums[image][c] + at;
        const V t = hn::Abs(hn::Load(kLanes, blocks[block].t[image] + at));
        hn::Store(hn::MulAdd(t, set(background), hn::Load(kLanes, sum)), kLanes, sum);
      }
    store_plane(plane, in, tile, blocks[0].sums[image][c]);
  }
  if (blocks == nullptr) {
    fill_plane(alpha, in, tile, 0.0F);
    fill_plane(last, in, tile, 0.0F);
  } else {
    store_plane(alpha, in, tile, blocks[0].sums[image][3]);
    store_plane(last, in, tile, blocks[0].sums[image][4]);
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
  for (int o = 0; o < kOutputs; ++o) {
    live[o] = drawn[o] ? (1U << kBlocks) - 1 : 0;
    if (!drawn[o]) continue;
    for (ForwardBlock& block : blocks) {
      fill(block.t[o], 1.0F);
      if (o == kInner)
        fill(block.inner, 0.0F);
      else
        for (auto& sum : block.sums[o]) fill(sum, 0.0F);
    }
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
      for (int part = 0; part < kParts; ++part) {
        const int at = part * kWidth;
        if (!in.with_components) {
          blend_full<false>(batch, here, tile, b, part, block);
          continue;
        }
        std::uint64_t left = here;
        if (part_of[kFull] != 0) {
          left = blend_full<true>(batch, here, tile, b, part, block);
          for (int c = 0; c < kComponents; ++c)
            if (const std::uint64_t bits = here & ~left & batch.of_component[c]; bits != 0)
              add_weights(batch, bits, at, block.sums[1 + c][4]);
        }
        keep_alphas(batch, left & of_parts, tile, b, part);
        for (int c = 0; c < kComponents; ++c)
          if (part_of[1 + c] != 0) blend_component(batch, part_of[1 + c], at, block.t[1 + c], block.sums[1 + c]);
        if (part_of[kInner] != 0) blend_inner(batch, part_of[kInner], at, block);
      }
      for (int o = 0; o < kOutputs; ++o)
        if (part_of[o] != 0 && !any_live(block.t[o])) live[o] &= ~(1U << b);
    }
  }
  s.tile_stop[static_cast<std::size_t>(tile_index)] = std::min(first, end);
  for (int image = 0; image < (in.with_components ? kImages : 1); ++image)
    store_image(in, out, s, tile, drawn[image] ? blocks : nullptr, image);
  if (!in.with_components) return;
  float* inner = plane_at(out.inner_alpha, 0, in, tile);
  if (drawn[kInner])
    store_plane(inner, in, tile, blocks[0].inner);
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
