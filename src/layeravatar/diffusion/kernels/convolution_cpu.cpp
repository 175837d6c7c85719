#include <omp.h>

#include <algorithm>

#include "layeravatar/diffusion/kernels/unet_layers.h"
#include "layeravatar/diffusion/kernels/convolution_steps.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layeravatar/diffusion/kernels/convolution_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "layeravatar/diffusion/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace layeravatar::diffusion::HWY_NAMESPACE {

using Chunk = Convolution::Chunk;

using Work = ConvolutionWork;

struct Place {
  int row, column;  // of the chunk's first tile or pixel
};
HWY_INLINE Place place_of(const Chunk& c, int chunk) {
  const int across = (c.all_columns + c.columns - 1) / c.columns;
  return {chunk / across * c.rows, chunk % across * c.columns};
}

HWY_INLINE void put(V v, float* to) { store(v, to); }
// The nearest bfloat16, to even between two.
HWY_INLINE void put(V v, std::uint16_t* to) {
  const hn::RebindToUnsigned<Lanes> words;
  const auto bits = hn::BitCast(words, v);
  const auto up = hn::Add(hn::Set(words, 0x7FFFU), hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1U)));
  const auto high = hn::BitCast(hn::RebindToSigned<Lanes>(), hn::ShiftRight<16>(hn::Add(bits, up)));
  const hn::Rebind<std::uint16_t, Lanes> halves;
  hn::StoreU(hn::DemoteTo(halves, high), halves, to);
}

// Input block `block` of the image, from row `top` and column `left` on, as the layer sees it; zero outside. `pitch` from pixel to pixel.
template <class T>
void fetch_block(const Work& w, int block, int top, int left, T* strip, int pitch) {
  const Convolution::Shape& s = w.conv.shape();
  const Chunk& c = w.conv.chunk();
  const LayerInput* input = w.run.inputs.data();
  for (; block >= input->map.blocks; ++input) block -= input->map.blocks;
  const FeatureMap& map = input->map;
  const bool flat = s.kernel == 1;
  const int rows = flat ? 1 : s.rows, columns = flat ? s.rows * s.columns : s.columns;
  const std::ptrdiff_t line = flat ? 0 : std::ptrdiff_t{map.columns} * kBlock;
  const float* image = map.data + w.image * map.image_size() + block * map.pixels() * kBlock;
  const std::ptrdiff_t channel = (std::ptrdiff_t{w.image} * map.blocks + block) * kBlock;
  const int begin = std::clamp(-left, 0, c.strip_columns), end = std::clamp(columns - left, begin, c.strip_columns);
  const int half = s.doubled ? 1 : 0;
  const V zero = hn::Zero(kLanes);
  for (int y = top; y < top + c.strip_rows; ++y, strip += std::ptrdiff_t{c.strip_columns} * pitch) {
    const bool outside = y < 0 || y >= rows;
    for (int part = 0; part < kBlock; part += kWidth) {
      T* to = strip + part;
      for (int x = 0; x < (outside ? c.strip_columns : begin); ++x) put(zero, to + x * pitch);
      if (outside) continue;
      for (int x = end; x < c.strip_columns; ++x) put(zero, to + x * pitch);
      const float* from = image + (y >> half) * line + part;
      if (input->scale == nullptr) {
        for (int x = begin; x < end; ++x) put(load(from + ((left + x) >> half) * kBlock), to + x * pitch);
        continue;
      }
      const V scale = load(input->scale + channel + part), shift = load(input->shift + channel + part);
      from += std::ptrdiff_t{left} * kBlock;
      if (w.run.silu)
        for (int x = begin; x < end; ++x) put(silu(hn::MulAdd(load(from + x * kBlock), scale, shift)), to + x * pitch);
      else
        for (int x = begin; x < end; ++x) put(hn::MulAdd(load(from + x * kBlock), scale, shift), to + x * pitch);
    }
  }
}

// Sums of one vector of channels over a chunk.
struct Sums {
  V first, sum, squares;
  bool any;
  HWY_INLINE void add(V v) {
    if (!any) first = v;
    any = true;
    const V d = hn::Sub(v, first);
    sum = hn::Add(sum, d);
    squares = hn::MulAdd(d, d, squares);
  }
};

HWY_INLINE Sums no_sums() { return {hn::Zero(kLanes), hn::Zero(kLanes), hn::Zero(kLanes), false}; }

void store_sums(const Work& w, const Sums& sums, int channel) {
  if (w.run.moments == nullptr) return;
  Moments& m = *w.run.moments;
  float* to = m.values.data() + (std::ptrdiff_t{w.image} * static_cast<std::ptrdiff_t>(m.pixels.size()) + w.chunk) * 3 * m.channels + channel;
  store(sums.first, to);
  store(sums.sum, to + m.channels);
  store(sums.squares, to + 2 * m.channels);
}

// out <- v + bias [+ residual] at one vector of a pixel.
HWY_INLINE void finish(const Work& w, V v, V bias, std::ptrdiff_t at, Sums& sums) {
  v = hn::Add(v, bias);
  if (w.run.residual != nullptr) v = hn::Add(v, load(w.run.residual + at));
  store(v, w.run.out.data + at);
  sums.add(v);
}

// A chunk of the image, and the products of its rows: [block of outputs][row][products][kBlock].
struct Strip {
  Place place;
  int rows, columns, border, first_block, last_block;
  std::ptrdiff_t result_block;
  explicit Strip(const Work& w)
      : place(place_of(w.conv.chunk(), w.chunk)),
        rows(std::min(w.conv.chunk().rows, w.conv.chunk().all_rows - place.row)),
        columns(std::min(w.conv.chunk().columns, w.conv.chunk().all_columns - place.column)),
        border(w.conv.shape().kernel / 2),
        first_block(w.conv.pieces()[static_cast<std::size_t>(w.first_piece)]),
        last_block(w.conv.pieces()[static_cast<std::size_t>(w.last_piece)]),
        result_block(std::ptrdiff_t{w.conv.chunk().rows} * w.conv.chunk().products * kBlock) {}
};

void finish_strip(const Work& w, const Strip& strip, const float* products) {
  const FeatureMap& out = w.run.out;
  const Chunk& c = w.conv.chunk();
  for (int block = strip.first_block; block < strip.last_block; ++block)
    for (int part = 0; part < kBlock; part += kWidth) {
      const V bias = load(w.conv.bias() + block * kBlock + part);
      Sums sums = no_sums();
      for (int r = 0; r < strip.rows; ++r) {
        const float* from = products + (block - strip.first_block) * strip.result_block + std::ptrdiff_t{r} * c.products * kBlock + part;
        const std::ptrdiff_t pixel = std::ptrdiff_t{strip.place.row + r} * c.all_columns + strip.place.column;
        const std::ptrdiff_t at = w.image * out.image_size() + (block * out.pixels() + pixel) * kBlock + part;
        for (int x = 0; x < strip.columns; ++x) finish(w, load(from + x * kBlock), bias, at + x * kBlock, sums);
      }
      store_sums(w, sums, block * kBlock + part);
    }
}

void run_direct(const Work& w) {
  const Convolution& conv = w.conv;
  const Convolution::Shape& s = conv.shape();
  const Chunk& c = conv.chunk();
  const Strip strip(w);
  const std::ptrdiff_t size = std::ptrdiff_t{c.strip_rows} * c.strip_columns * kBlock;
  float *inputs = w.scratch, *products = inputs + conv.in_blocks() * size;
  for (int i = 0; i < conv.in_blocks(); ++i)
    fetch_block(w, i, strip.place.row * s.stride - strip.border, strip.place.column * s.stride - strip.border, inputs + i * size, kBlock);
  const int taps = s.kernel * s.kernel, depth = conv.in_blocks() * taps, at_a_time = taps == 1 ? 8 : taps;  // so that the weights stay in the first cache
  for (int piece = w.first_piece; piece < w.last_piece; ++piece) {
    const int begin = conv.pieces()[static_cast<std::size_t>(piece)], blocks = conv.pieces()[static_cast<std::size_t>(piece) + 1] - begin;
    const float* weights = conv.weights() + std::ptrdiff_t{begin} * kBlock * depth * kBlock;
    for (int k = 0; k < depth; k += at_a_time) {
      const Right right{weights + std::ptrdiff_t{k} * kBlock * blocks * kBlock, std::ptrdiff_t{blocks} * kBlock, kBlock};
      for (int r = 0; r < strip.rows; ++r)
        multiply({inputs + std::ptrdiff_t{r} * s.stride * c.strip_columns * kBlock, std::ptrdiff_t{s.stride} * kBlock,
                  conv.offsets().data() + k, std::min(at_a_time, depth - k)},
                 strip.columns, right, blocks,
                 {products + (begin - strip.first_block) * strip.result_block + std::ptrdiff_t{r} * c.products * kBlock, kBlock, strip.result_block}, k > 0);
    }
  }
  finish_strip(w, strip, products);
}

void run_tiles(const Work& w) {
  const Convolution& conv = w.conv;
  const Convolution::Shape& s = conv.shape();
  const Chunk& c = conv.chunk();
  const Strip strip(w);
  constexpr int kPair = 2 * kBlock;
  const std::ptrdiff_t size = std::ptrdiff_t{c.strip_rows} * c.strip_columns * kPair;
  const int steps = (conv.in_blocks() + 1) / 2;
  auto* inputs = reinterpret_cast<std::uint16_t*>(w.scratch);
  float* products = w.scratch + steps * size / 2;
  for (int i = 0; i < conv.in_blocks(); ++i)
    fetch_block(w, i, strip.place.row * s.stride - strip.border, strip.place.column * s.stride - strip.border, inputs + i / 2 * size + i % 2 * kBlock, kPair);
  if (conv.in_blocks() % 2 != 0)
    for (std::ptrdiff_t p = 0; p < size; p += kPair) std::fill_n(inputs + (steps - 1) * size + p + kBlock, kBlock, std::uint16_t{0});
  const int depth = steps * s.kernel * s.kernel, across = (strip.columns + kTileRows - 1) / kTileRows, tiles = strip.rows * across;
  TileProduct product{{}, std::ptrdiff_t{s.stride} * kPair * static_cast<std::ptrdiff_t>(sizeof(std::uint16_t)), conv.offsets().data(), depth, 0, 0, nullptr, {}};
  const auto* weights = reinterpret_cast<const std::uint16_t*>(conv.weights());
  take_tiles();
  for (int piece = w.first_piece; piece < w.last_piece; ++piece) {
    const int begin = conv.pieces()[static_cast<std::size_t>(piece)];
    product.rights = conv.pieces()[static_cast<std::size_t>(piece) + 1] - begin;
    product.right = weights + std::ptrdiff_t{begin} * kBlock * depth * kPair;
    for (int tile = 0; tile < tiles; tile += 2) {
      product.lefts = std::min(2, tiles - tile);
      for (int i = 0; i < product.lefts; ++i) {
        const std::ptrdiff_t row = (tile + i) / across, column = (tile + i) % across * kTileRows;
        product.left[i] = inputs + (row * s.stride * c.strip_columns + column * s.stride) * kPair;
        for (int k = 0; k < product.rights; ++k)
          product.result[i][k] = products + (begin + k - strip.first_block) * strip.result_block + (row * c.products + column) * kBlock;
      }
      multiply_tiles(product);
    }
  }
  release_tiles();
  finish_strip(w, strip, products);
}

// One dimension of B' d: six numbers for F(4, 3), four for F(2, 3).
template <int kTile>
HWY_INLINE void transform_input(const V* d, V* t) {
  if constexpr (kTile == 4) {
    constexpr auto a = static_cast<float>(kPointA), b = static_cast<float>(kPointB);
    const V aa = set(a * a), bb = set(b * b), both = set(a * a * b * b), sum = set(a * a + b * b);
    const V e1 = hn::NegMulAdd(bb, d[2], d[4]), o1 = hn::NegMulAdd(bb, d[1], d[3]);
    const V e2 = hn::NegMulAdd(aa, d[2], d[4]), o2 = hn::NegMulAdd(aa, d[1], d[3]);
    t[0] = hn::MulAdd(both, d[0], hn::NegMulAdd(sum, d[2], d[4]));
    t[1] = hn::MulAdd(set(a), o1, e1);
    t[2] = hn::NegMulAdd(set(a), o1, e1);
    t[3] = hn::MulAdd(set(b), o2, e2);
    t[4] = hn::NegMulAdd(set(b), o2, e2);
    t[5] = hn::MulAdd(both, d[1], hn::NegMulAdd(sum, d[3], d[5]));
  } else {
    t[0] = hn::Sub(d[2], d[0]);
    t[1] = hn::Add(d[1], d[2]);
    t[2] = hn::Sub(d[2], d[1]);
    t[3] = hn::Sub(d[3], d[1]);
  }
}

// One dimension of A' m.
template <int kTile>
HWY_INLINE void transform_output(const V* m, V* y) {
  const V s1 = hn::Add(m[1], m[2]), d1 = hn::Sub(m[1], m[2]);
  if constexpr (kTile == 4) {
    constexpr auto a = static_cast<float>(kPointA), b = static_cast<float>(kPointB);
    const V s2 = hn::Add(m[3], m[4]), d2 = hn::Sub(m[3], m[4]);
    y[0] = hn::Add(hn::Add(m[0], s1), s2);
    y[1] = hn::MulAdd(set(a), d1, hn::Mul(set(b), d2));
    y[2] = hn::MulAdd(set(a * a), s1, hn::Mul(set(b * b), s2));
    y[3] = hn::MulAdd(set(a * a * a), d1, hn::MulAdd(set(b * b * b), d2, m[5]));
  } else {
    y[0] = hn::Add(m[0], s1);
    y[1] = hn::Add(d1, m[3]);
  }
}

template <int kTile>
void transform_strip(const Chunk& c, int tile_rows, int tile_columns, const float* strip, float* to, std::ptrdiff_t place_size) {
  constexpr int kSide = kTile + 2;
  for (int ty = 0; ty < tile_rows; ++ty)
    for (int tx = 0; tx < tile_columns; ++tx)
      for (int part = 0; part < kBlock; part += kWidth) {
        const float* d = strip + (std::ptrdiff_t{ty} * kTile * c.strip_columns + tx * kTile) * kBlock + part;
        float* out = to + (std::ptrdiff_t{ty} * c.columns + tx) * kBlock + part;
        V half[kSide][kSide];  // B' d, by columns
        for (int x = 0; x < kSide; ++x) {
          V column[kSide];
          for (int y = 0; y < kSide; ++y) column[y] = load(d + (std::ptrdiff_t{y} * c.strip_columns + x) * kBlock);
          transform_input<kTile>(column, half[x]);
        }
        for (int u = 0; u < kSide; ++u) {
          V row[kSide], t[kSide];
          for (int x = 0; x < kSide; ++x) row[x] = half[x][u];
          transform_input<kTile>(row, t);
          for (int v = 0; v < kSide; ++v) store(t[v], out + (u * kSide + v) * place_size);
        }
      }
}

template <int kTile>
void run_winograd(const Work& w) {
  constexpr int kSide = kTile + 2, kPlaces = kSide * kSide;
  const Convolution& conv = w.conv;
  const Chunk& c = conv.chunk();
  const Place place = place_of(c, w.chunk);
  const int tile_rows = std::min(c.rows, c.all_rows - place.row), tile_columns = std::min(c.columns, c.all_columns - place.column);
  const int outs = conv.out_blocks() * kBlock;
  const int first_block = conv.pieces()[static_cast<std::size_t>(w.first_piece)], last_block = conv.pieces()[static_cast<std::size_t>(w.last_piece)];
  const std::ptrdiff_t strip_size = std::ptrdiff_t{c.strip_rows} * c.strip_columns * kBlock, block_size = std::ptrdiff_t{c.products} * kBlock;
  const std::ptrdiff_t result_size = place_stride(last_block - first_block, block_size);
  float *strip = w.scratch, *inputs = strip + strip_size, *products = inputs + kPlaces * place_stride(kWinogradBlocks, block_size);
  for (int k = 0; k < conv.in_blocks(); k += kWinogradBlocks) {
    const int blocks = std::min(kWinogradBlocks, conv.in_blocks() - k);
    const std::ptrdiff_t place_size = place_stride(blocks, block_size);
    for (int i = 0; i < blocks; ++i) {
      fetch_block(w, k + i, place.row * kTile - 1, place.column * kTile - 1, strip, kBlock);
      transform_strip<kTile>(c, tile_rows, tile_columns, strip, inputs + i * block_size, place_size);
    }
    const float* weights = conv.weights() + std::ptrdiff_t{k} * kBlock * outs * kPlaces;
    for (int p = 0; p < kPlaces; ++p)
      for (int piece = w.first_piece; piece < w.last_piece; ++piece) {
        const int begin = conv.pieces()[static_cast<std::size_t>(piece)], width = conv.pieces()[static_cast<std::size_t>(piece) + 1] - begin;
        const Right right{weights + (std::ptrdiff_t{p} * outs + begin * kBlock) * blocks * kBlock, std::ptrdiff_t{width} * kBlock, kBlock};
        multiply({inputs + p * place_size, kBlock, conv.offsets().data(), blocks}, tile_rows * c.columns, right, width,
                 {products + p * result_size + (begin - first_block) * block_size, kBlock, block_size}, k > 0);
      }
  }
  const FeatureMap& out = w.run.out;
  for (int block = first_block; block < last_block; ++block)
    for (int part = 0; part < kBlock; part += kWidth) {
      const V bias = load(conv.bias() + block * kBlock + part);
      const std::ptrdiff_t base = w.image * out.image_size() + block * out.pixels() * kBlock + part;
      Sums sums = no_sums();
      for (int ty = 0; ty < tile_rows; ++ty)
        for (int tx = 0; tx < tile_columns; ++tx) {
          const float* m = products + (block - first_block) * block_size + (std::ptrdiff_t{ty} * c.columns + tx) * kBlock + part;
          V half[kSide][kTile];  // A' m, by columns
          for (int v = 0; v < kSide; ++v) {
            V column[kSide];
            for (int u = 0; u < kSide; ++u) column[u] = load(m + (u * kSide + v) * result_size);
            transform_output<kTile>(column, half[v]);
          }
          const int y0 = (place.row + ty) * kTile, x0 = (place.column + tx) * kTile;
          for (int y = 0; y < kTile && y0 + y < out.rows; ++y) {
            V row[kSide], result[kTile];
            for (int v = 0; v < kSide; ++v) row[v] = half[v][y];
            transform_output<kTile>(row, result);
            for (int x = 0; x < kTile && x0 + x < out.columns; ++x)
              finish(w, result[x], bias, base + (std::ptrdiff_t{y0 + y} * out.columns + x0 + x) * kBlock, sums);
          }
        }
      store_sums(w, sums, block * kBlock + part);
    }
}

int blocks_at_a_time() { return kParts == 1 ? kPieceBlocks : 1; }

void run_chunk(const Work& w) {
  switch (w.conv.winograd()) {
    case 4: return run_winograd<4>(w);
    case 2: return run_winograd<2>(w);
    default: return w.conv.shape().bfloat16 ? run_tiles(w) : run_direct(w);
  }
}

}  // namespace layeravatar::diffusion::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace layeravatar::diffusion {

HWY_EXPORT(run_chunk);
HWY_EXPORT(blocks_at_a_time);

int piece_blocks() { return HWY_DYNAMIC_DISPATCH(blocks_at_a_time)(); }

void Convolution::run(const Run& run, std::vector<Floats>& scratch) const {
  const Chunk& c = chunk_;
  const int pieces = static_cast<int>(pieces_.size()) - 1, threads = omp_get_max_threads();
  const int chunks = (c.all_rows + c.rows - 1) / c.rows * ((c.all_columns + c.columns - 1) / c.columns);
  // Few chunks: threads share the output's channels, and each prepares the input for itself.
  int groups = 1;
  while (groups < pieces && run.images * chunks * groups < 4 * threads && run.images * chunks * groups % threads != 0) ++groups;
  const std::size_t block = static_cast<std::size_t>(c.products) * kBlock, strip = static_cast<std::size_t>(c.strip_rows * c.strip_columns) * kBlock;
  const auto ins = static_cast<std::size_t>(in_blocks()), outs = static_cast<std::size_t>(out_blocks());
  std::size_t needed = (ins + 1) * strip + outs * static_cast<std::size_t>(c.rows) * block;
  if (winograd_ != 0) {
    const std::ptrdiff_t size = c.products * kBlock, places = (winograd_ + 2) * (winograd_ + 2);
    needed = strip + static_cast<std::size_t>(places * (place_stride(kWinogradBlocks, size) + place_stride(out_blocks(), size)));
  }
  if (scratch.size() < static_cast<std::size_t>(threads)) scratch.resize(static_cast<std::size_t>(threads));
  for (Floats& one : scratch)
    if (one.size() < needed) one = Floats(needed);
  if (run.moments != nullptr) {
    Moments& m = *run.moments;
    m.channels = out_blocks() * kBlock;
    m.pixels.resize(static_cast<std::size_t>(chunks));
    m.values.resize(static_cast<std::size_t>(run.images * chunks * 3 * m.channels));
    const int side = std::max(winograd_, 1), across = (c.all_columns + c.columns - 1) / c.columns;
    const bool flat = shape_.kernel == 1;
    const int rows = flat ? 1 : out_rows(), columns = flat ? out_rows() * out_columns() : out_columns();
    for (int i = 0; i < chunks; ++i)
      m.pixels[static_cast<std::size_t>(i)] = std::min(c.rows * side, rows - i / across * c.rows * side) *
                                              std::min(c.columns * side, columns - i % across * c.columns * side);
  }
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int i = 0; i < run.images * chunks * groups; ++i) {
    const int group = i % groups, chunk = i / groups;
    HWY_DYNAMIC_DISPATCH(run_chunk)({*this, run, chunk / chunks, chunk % chunks, pieces * group / groups, pieces * (group + 1) / groups,
             scratch[static_cast<std::size_t>(omp_get_thread_num())].data()});
  }
}

}  // namespace layeravatar::diffusion
#endif
