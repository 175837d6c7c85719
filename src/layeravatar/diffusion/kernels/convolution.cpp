// Packing of a convolution's weights, and the plan of its work.
#include <algorithm>
#include <array>
#include <bit>

#include "layeravatar/core/clones.h"
#include "layeravatar/diffusion/kernels/unet_layers.h"
#include "layeravatar/diffusion/kernels/convolution_steps.h"

namespace layeravatar::diffusion {
namespace {

constexpr int kTiles = 48, kTileColumns = 12;             // of a chunk
constexpr int kDirectPixels = 48, kFlatPixels = 96;       // of a chunk
constexpr int kTilePixels = 384;                          // of a chunk in bfloat16
constexpr int kLeastTiles = 24, kLeastSmallTiles = 24;    // below, a larger tile only costs memory

int round_up(int n, int to) { return (n + to - 1) / to * to; }
// The size of equal parts of n of at most `most`.
int part_of(int n, int most) {
  const int parts = (n + most - 1) / most;
  return (n + parts - 1) / parts;
}

// To the nearest bfloat16, to even between two.
std::uint16_t rounded(float v) {
  const auto bits = std::bit_cast<std::uint32_t>(v);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

using Matrix = std::vector<std::array<double, 3>>;
// G of F(m x m, 3 x 3): p^k over the product of p's distances from the other points; the last row is infinity's.
Matrix filter_transform(int m) {
  const std::vector<double> points = m == 4 ? std::vector<double>{0, kPointA, -kPointA, kPointB, -kPointB} : std::vector<double>{0, 1, -1};
  Matrix g;
  for (const double p : points) {
    double n = 1;
    for (const double other : points)
      if (other != p) n *= p - other;
    g.push_back({1 / n, p / n, p * p / n});
  }
  g.push_back({0, 0, 1});
  return g;
}

constexpr int kMostOuts = kPieceBlocks * kBlock;
// G w G' of n filters w [9][kMostOuts] at a time; place after place of the tile `pitch` apart.
LAV_CLONES void transform_filters(const std::array<double, 3>* g, int side, const float* w, int n, float* to, std::ptrdiff_t pitch) {
  double rows[3][kMostOuts];  // of G w
  for (int u = 0; u < side; ++u) {
    for (int x = 0; x < 3; ++x) {
      const float *a = w + x * kMostOuts, *b = a + 3 * kMostOuts, *c = b + 3 * kMostOuts;
      for (int o = 0; o < n; ++o) rows[x][o] = g[u][0] * static_cast<double>(a[o]) + g[u][1] * static_cast<double>(b[o]) + g[u][2] * static_cast<double>(c[o]);
    }
    for (int v = 0; v < side; ++v, to += pitch)
      for (int o = 0; o < n; ++o) to[o] = static_cast<float>(rows[0][o] * g[v][0] + rows[1][o] * g[v][1] + rows[2][o] * g[v][2]);
  }
}

}  // namespace

double Convolution::products() const {
  const double channels = static_cast<double>(shape_.in_channel.size()) * static_cast<double>(shape_.out_channel.size());
  if (winograd_ == 0) return channels * shape_.kernel * shape_.kernel * out_rows() * out_columns();
  return channels * (winograd_ + 2) * (winograd_ + 2) * chunk_.all_rows * chunk_.all_columns;
}

Convolution::Convolution(Shape shape, const float* weights, const float* bias)
    : shape_(std::move(shape)), source_(weights), bias_(shape_.out_channel.size()) {
  for (std::size_t o = 0; o < shape_.out_channel.size(); ++o)
    if (shape_.out_channel[o] >= 0) bias_.data()[o] = bias[shape_.out_channel[o]];
  const int most = shape_.bfloat16 ? 2 : piece_blocks(), count = (out_blocks() + most - 1) / most;
  for (int i = 0; i <= count; ++i) pieces_.push_back(static_cast<int>(std::int64_t{out_blocks()} * i / count));
  if (shape_.kernel == 3 && shape_.stride == 1 && !shape_.bfloat16) {
    const auto tiles = [&](int m) { return ((shape_.rows + m - 1) / m) * ((shape_.columns + m - 1) / m); };
    winograd_ = tiles(4) >= kLeastTiles ? 4 : tiles(2) >= kLeastSmallTiles ? 2 : 0;
  }
  choose_chunk();
}

void Convolution::pack() {
  if (winograd_ != 0) pack_winograd();
  else if (shape_.bfloat16) pack_tiles();
  else pack_direct();
  source_ = nullptr;
}

void Convolution::choose_chunk() {
  Chunk& c = chunk_;
  if (winograd_ != 0) {
    c.all_rows = (shape_.rows + winograd_ - 1) / winograd_;
    c.all_columns = (shape_.columns + winograd_ - 1) / winograd_;
    c.columns = part_of(c.all_columns, kTileColumns);
    c.rows = part_of(c.all_rows, std::max(1, kTiles / c.columns));
    const auto parts = [](int n, int of) { return (n + of - 1) / of; };
    if (c.rows < c.all_rows && c.rows > 1 && parts(c.all_rows, c.rows) * parts(c.all_columns, c.columns) % 2 != 0)
      c.rows = part_of(c.all_rows, c.rows - 1);  // an odd chunk would keep one of two threads waiting
    c.strip_rows = c.rows * winograd_ + 2;
    c.strip_columns = c.columns * winograd_ + 2;
    c.products = round_up(c.rows * c.columns, kRowsMultiple);
    for (int i = 0; i < kWinogradBlocks; ++i) offsets_.push_back(std::ptrdiff_t{i} * c.products * kBlock);
    return;
  }
  const bool flat = shape_.kernel == 1;
  c.all_rows = flat ? 1 : out_rows();
  c.all_columns = flat ? out_rows() * out_columns() : out_columns();
  c.columns = part_of(c.all_columns, flat ? kFlatPixels : kDirectPixels);
  c.rows = part_of(c.all_rows, std::max(1, (shape_.bfloat16 ? kTilePixels : kDirectPixels) / c.columns));
  c.products = round_up(c.columns, shape_.bfloat16 ? kTileRows : kRowsMultiple);
  c.strip_rows = (c.rows - 1) * shape_.stride + shape_.kernel;
  c.strip_columns = (c.products - 1) * shape_.stride + shape_.kernel;
  const int per_step = shape_.bfloat16 ? 2 : 1;  // blocks of channels that a product takes at once
  for (int i = 0; i < (in_blocks() + per_step - 1) / per_step; ++i)
    for (int y = 0; y < shape_.kernel; ++y)
      for (int x = 0; x < shape_.kernel; ++x)
        offsets_.push_back(((std::ptrdiff_t{i} * c.strip_rows + y) * c.strip_columns + x) * kBlock * per_step);
}

// [piece][block of inputs][tap][kBlock inputs][channels of the piece]
void Convolution::pack_direct() {
  const int taps = shape_.kernel * shape_.kernel;
  weights_ = Floats(shape_.in_channel.size() * shape_.out_channel.size() * static_cast<std::size_t>(taps));
  float* to = weights_.data();
  for (std::size_t piece = 0; piece + 1 < pieces_.size(); ++piece)
    for (int block = 0; block < in_blocks(); ++block)
      for (int tap = 0; tap < taps; ++tap)
        for (int i = block * kBlock; i < (block + 1) * kBlock; ++i)
          for (int o = pieces_[piece] * kBlock; o < pieces_[piece + 1] * kBlock; ++o, ++to) {
            const int in = shape_.in_channel[static_cast<std::size_t>(i)], out = shape_.out_channel[static_cast<std::size_t>(o)];
            if (in >= 0 && out >= 0) *to = source_[(std::ptrdiff_t{out} * shape_.in_channels + in) * taps + tap];
          }
}

// [piece][two blocks of inputs][tap][block of the piece][kBlock pairs of inputs][kBlock channels][2], as many bfloat16
void Convolution::pack_tiles() {
  const int taps = shape_.kernel * shape_.kernel, steps = (in_blocks() + 1) / 2;
  weights_ = Floats(static_cast<std::size_t>(steps * kBlock * taps) * shape_.out_channel.size());
  auto* to = reinterpret_cast<std::uint16_t*>(weights_.data());
  for (std::size_t piece = 0; piece + 1 < pieces_.size(); ++piece)
    for (int step = 0; step < steps; ++step)
      for (int tap = 0; tap < taps; ++tap)
        for (int o = pieces_[piece] * kBlock; o < pieces_[piece + 1] * kBlock; o += kBlock)
          for (int i = step * 2 * kBlock; i < (step + 1) * 2 * kBlock; i += 2)
            for (int k = 0; k < 2 * kBlock; ++k, ++to) {
              const auto place = static_cast<std::size_t>(i + k % 2);
              const int in = place < shape_.in_channel.size() ? shape_.in_channel[place] : -1, out = shape_.out_channel[static_cast<std::size_t>(o + k / 2)];
              if (in >= 0 && out >= 0) *to = rounded(source_[(std::ptrdiff_t{out} * shape_.in_channels + in) * taps + tap]);
            }
}

// [chunk of kWinogradBlocks blocks of inputs][place in the tile][piece][inputs][channels of the piece]
void Convolution::pack_winograd() {
  const int side = winograd_ + 2, places = side * side, ins = in_blocks() * kBlock, outs = out_blocks() * kBlock;
  weights_ = Floats(static_cast<std::size_t>(places) * static_cast<std::size_t>(ins) * static_cast<std::size_t>(outs));
  const Matrix g = filter_transform(winograd_);
  for (int i = 0; i < ins; ++i) {
    const int in = shape_.in_channel[static_cast<std::size_t>(i)];
    if (in < 0) continue;
    const int first = i / kBlock / kWinogradBlocks * kWinogradBlocks, depth = std::min(kWinogradBlocks, in_blocks() - first) * kBlock;
    float* chunk = weights_.data() + std::ptrdiff_t{first} * kBlock * outs * places;
    for (std::size_t piece = 0; piece + 1 < pieces_.size(); ++piece) {
      const int begin = pieces_[piece] * kBlock, width = pieces_[piece + 1] * kBlock - begin;
      float w[9 * kMostOuts] = {};
      for (int o = 0; o < width; ++o) {
        const int out = shape_.out_channel[static_cast<std::size_t>(begin + o)];
        for (int tap = 0; out >= 0 && tap < 9; ++tap) w[tap * kMostOuts + o] = source_[(std::ptrdiff_t{out} * shape_.in_channels + in) * 9 + tap];
      }
      transform_filters(g.data(), side, w, width, chunk + std::ptrdiff_t{begin} * depth + std::ptrdiff_t{i - first * kBlock} * width, std::ptrdiff_t{outs} * depth);
    }
  }
}

}  // namespace layeravatar::diffusion
