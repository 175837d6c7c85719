// The convolution of decoder_kernel.h and its gradients as nine products, for decoder_steps.h alone.
#include "layeravatar/avatar/kernels/decoder_vectors.h"

namespace layeravatar::avatar {
namespace {

constexpr std::int64_t kOutputs = 4;                                    // channels per step of the convolution
constexpr std::int64_t kOutputBlocks = LAV_VECTOR_BYTES == 64 ? 6 : 3;  // vectors of pixels per step
constexpr std::int64_t kSpan = kOutputBlocks * kLanes;
constexpr std::int64_t kShared = LAV_VECTOR_BYTES == 64 ? 2 : 4;  // such steps that share what they read
constexpr std::int64_t kBlocks = LAV_VECTOR_BYTES == 64 ? 3 : 2;  // vectors of pixels per step of the input gradient
constexpr std::int64_t kTileRows = 4, kTileSteps = LAV_VECTOR_BYTES == 64 ? 2 : 3;  // rows of a tile, and such steps in each
constexpr std::int64_t kTileColumns = kTileSteps * kBlocks * kLanes;
constexpr std::int64_t kTile = kTileColumns + kLanes;  // pixels that a row of a tile reads
constexpr std::int64_t kGroup = 4, kGroupTaps = LAV_VECTOR_BYTES == 64 ? 6 : 3;  // channels and taps per step of the weight gradient
constexpr std::int64_t kColumns = 256;                                           // of a phase at a time there
constexpr std::int64_t kTaps = kConvSize * kConvSize;
constexpr std::int64_t kCacheLine = 16;  // numbers

using Outputs = Vector[kOutputs][kOutputBlocks];
using Inputs = Vector[kConvInputs][kBlocks];
using Tile = float[kProductPlanes][kTileRows + 3][kTile];

// Rows and columns of taps of a product.
constexpr std::int64_t tap_rows(std::int64_t product) { return product < 3 ? 3 : 4; }
constexpr std::int64_t tap_columns(std::int64_t product) { return product % 3 == 2 ? 3 : 4; }
// The product plane that a row of taps reads.
constexpr std::int64_t plane_of(std::int64_t product, std::int64_t row) {
  return row < 3 ? product : product % 3 + (product / 3 == 1 ? 9 : 0);
}

// w[step * k], k < 49, to the nine products.
inline void product_taps(const float* w, std::int64_t step, float* out) {
  float rows[3][4][kConvSize];
  for (std::int64_t j = 0; j < 4; ++j)
    for (std::int64_t x = 0; x < kConvSize; ++x) {
      const float even = w[step * (2 * j * kConvSize + x)], odd = j < 3 ? w[step * ((2 * j + 1) * kConvSize + x)] : 0.0F;
      rows[0][j][x] = even + odd;
      rows[1][j][x] = even;
      rows[2][j][x] = j < 3 ? odd : even;
    }
  for (std::int64_t r = 0; r < 3; ++r)
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t j = 0; j < tap_rows(3 * r); ++j)
        for (std::int64_t k = 0; k < tap_columns(c); ++k) {
          const float even = rows[r][j][2 * k], odd = k < 3 ? rows[r][j][2 * k + 1] : 0.0F;
          *out++ = c == 0 ? even + odd : c == 1 ? even : odd;
        }
}

// Gradients of the 49 taps from those of the nine products'.
inline void joined_taps(const double* products, float* out) {
  double rows[3][4][kConvSize];
  for (std::int64_t r = 0; r < 3; ++r)
    for (std::int64_t j = 0; j < tap_rows(3 * r); ++j)
      for (std::int64_t x = 0; x < kConvSize; ++x) {
        const std::int64_t c = 1 + x % 2, k = x / 2;
        rows[r][j][x] = products[kFirstTap[3 * r] + j * tap_columns(0) + k] + products[kFirstTap[3 * r + c] + j * tap_columns(c) + k];
      }
  for (std::int64_t x = 0; x < kConvSize; ++x) rows[0][3][x] = rows[2][3][x];
  for (std::int64_t y = 0; y < kConvSize; ++y)
    for (std::int64_t x = 0; x < kConvSize; ++x) out[y * kConvSize + x] = static_cast<float>(rows[0][y / 2][x] + rows[1 + y % 2][y / 2][x]);
}

void split_taps(const BranchShape& s, const float* weights, float* taps) {
#pragma omp parallel for schedule(static)
  for (std::int64_t c = 0; c < s.channels; ++c) {
    float* to = taps + (c / kOutputs * kConvInputs * kProductTaps) * kOutputs + c % kOutputs;
    for (std::int64_t in = 0; in < kConvInputs; ++in) {
      float line[kProductTaps];
      product_taps(weights + (c * kConvInputs + in) * kTaps, 1, line);
      for (std::int64_t p = 0; p < kProducts; ++p) {
        const std::int64_t count = tap_rows(p) * tap_columns(p);
        for (std::int64_t t = 0; t < count; ++t) to[(kFirstTap[p] * kConvInputs + in * count + t) * kOutputs] = line[kFirstTap[p] + t];
      }
    }
  }
}

void split_input(const BranchShape& s, const float* x, float* split) {
  constexpr std::int64_t kChunk = 512;
  const std::int64_t pitch = s.pitch(), plane = s.product_plane(), rows = s.half_height() + 3, planes = s.images * kConvInputs;
#pragma omp parallel for schedule(static)
  for (std::int64_t job = 0; job < planes * rows; ++job) {
    const std::int64_t of = job / rows, m = job % rows;
    for (std::int64_t at = 0; at < pitch; at += kChunk) {
      const std::int64_t count = least(kChunk, pitch - at), first = 2 * at - kConvBorder;
      float line[4][2 * kChunk + 1];  // padded rows 2 m, 2 m + 1, 2 m + 2
      for (std::int64_t k = 0; k < 3; ++k) {
        const std::int64_t row = 2 * m + k - kConvBorder;
        const bool inside = row >= 0 && row < s.height;
        const std::int64_t begin = first < 0 ? -first : 0, end = inside ? least(2 * count + 1, s.width - first) : 0;
        for (std::int64_t i = 0; i < 2 * count + 1; ++i) line[k][i] = 0;
        const float* from = x + (of * s.height + row) * s.width + first;
        for (std::int64_t i = begin; i < end; ++i) line[k][i] = from[i];
      }
      for (std::int64_t i = 0; i < 2 * count + 1; ++i) {
        line[3][i] = line[0][i];
        line[0][i] = line[1][i];
        line[1][i] = line[3][i] - line[0][i];
        line[2][i] -= line[0][i];
      }
      for (std::int64_t r = 0; r < 4; ++r) {
        float* __restrict to = split + (of * kProductPlanes + 3 * r) * plane + m * pitch + at;
        for (std::int64_t k = 0; k < count; ++k) {
          const float odd = line[r][2 * k + 1];
          to[k] = odd;
          to[plane + k] = line[r][2 * k] - odd;
          to[2 * plane + k] = line[r][2 * k + 2] - odd;
        }
      }
    }
  }
  for (std::int64_t k = 0; k < kReadBeyond; ++k) split[planes * kProductPlanes * plane + k] = 0;
}

// Where a product's rows of taps lie behind a place in the first product plane: [input, row].
struct Lines {
  std::int64_t count[kProducts], at[kProducts][kConvInputs * 4] = {};

  explicit Lines(const BranchShape& s) {
    for (std::int64_t p = 0; p < kProducts; ++p) {
      count[p] = kConvInputs * tap_rows(p);
      for (std::int64_t k = 0; k < count[p]; ++k) {
        const std::int64_t in = k / tap_rows(p), ty = k % tap_rows(p);
        at[p][k] = (in * kProductPlanes + plane_of(p, ty)) * s.product_plane() + ty * s.pitch();
      }
    }
  }
};

// Adds a row of taps, each [outputs], times the line of numbers that it meets.
template <std::int64_t columns, std::size_t outputs, std::size_t blocks>
inline __attribute__((always_inline)) void add_taps(const float* line, const float* taps, Vector (&sum)[outputs][blocks]) {
#pragma GCC unroll 4
  for (std::int64_t tx = 0; tx < columns; ++tx, taps += outputs) {
    Vector v[blocks];
#pragma GCC unroll 6
    for (std::size_t b = 0; b < blocks; ++b) {
      v[b] = load(line + tx + static_cast<std::int64_t>(b) * kLanes);
      LAV_IN_REGISTER(v[b]);
    }
#pragma GCC unroll 6
    for (std::size_t c = 0; c < outputs; ++c) {
      Vector tap = broadcast(taps[c]);
      LAV_IN_REGISTER(tap);
#pragma GCC unroll 6
      for (std::size_t b = 0; b < blocks; ++b) sum[c][b] += tap * v[b];
    }
  }
}

// One product: kOutputs channels of kSpan pixels. The lines at `next` are wanted soon.
template <std::int64_t columns>
inline void product_span(const float* x, const std::int64_t* at, const std::int64_t* next, std::int64_t lines, const float* taps, Outputs& out) {
  Outputs sum;
#pragma GCC unroll 4
  for (std::int64_t c = 0; c < kOutputs; ++c)
#pragma GCC unroll 6
    for (std::int64_t b = 0; b < kOutputBlocks; ++b) sum[c][b] = Vector{};
  for (std::int64_t k = 0; k < lines; ++k) {
    for (std::int64_t b = 0; b < kSpan; b += kCacheLine) __builtin_prefetch(x + next[k] + b);
    add_taps<columns>(x + at[k], taps, sum);
    taps += columns * kOutputs;
  }
#pragma GCC unroll 4
  for (std::int64_t c = 0; c < kOutputs; ++c)
#pragma GCC unroll 6
    for (std::int64_t b = 0; b < kOutputBlocks; ++b) out[c][b] = sum[c][b];
}

// `groups` <= kShared times kOutputs channels of 2 x 2 phases of kSpan pixels; `x` is the place in the first product plane.
inline void conv_span(const Lines& lines, const float* x, const float* taps, const float* bias, std::int64_t groups, Outputs (*y)[2][2]) {
  Outputs products[kShared][kProducts];
  for (std::int64_t p = 0; p < kProducts; ++p)
    for (std::int64_t g = 0; g < groups; ++g) {
      const float* of = taps + (g * kProductTaps + kFirstTap[p]) * kConvInputs * kOutputs;
      const std::int64_t* next = lines.at[(p + 1) % kProducts];
      if (tap_columns(p) == 3) product_span<3>(x, lines.at[p], next, lines.count[p], of, products[g][p]);
      else product_span<4>(x, lines.at[p], next, lines.count[p], of, products[g][p]);
    }
  for (std::int64_t g = 0; g < groups; ++g)
    for (std::int64_t c = 0; c < kOutputs; ++c)
#pragma GCC unroll 6
      for (std::int64_t b = 0; b < kOutputBlocks; ++b)
#pragma GCC unroll 2
        for (std::int64_t r = 0; r < 2; ++r) {
          const auto rows = [&](std::int64_t column) { return products[g][column][c][b] + products[g][3 + 3 * r + column][c][b]; };
          const Vector common = rows(0);
          y[g][r][0][c][b] = (common + rows(1)) + bias[g * kOutputs + c];
          y[g][r][1][c][b] = (common + rows(2)) + bias[g * kOutputs + c];
        }
}

// Calls work(image, row of a phase, first pixel, pixels) for spans of kSpan pixels; the last of a row may be shorter.
template <class Work>
void each_span(const BranchShape& s, const Work& work) {
  const std::int64_t spans = (s.half_width() + kSpan - 1) / kSpan, rows = s.half_height();
#pragma omp parallel for schedule(static)
  for (std::int64_t job = 0; job < s.images * rows * spans; ++job) {
    const std::int64_t x = job % spans * kSpan;
    work(job / spans / rows, job / spans % rows, x, least(kSpan, s.half_width() - x));
  }
}

void conv_forward(const BranchShape& s, const float* x, const ConvWeights& conv, float* y) {
  const Lines lines(s);
  each_span(s, [&](std::int64_t i, std::int64_t row, std::int64_t at, std::int64_t count) {
    const float* from = x + i * kConvInputs * kProductPlanes * s.product_plane() + row * s.pitch() + at;
    for (std::int64_t first = 0; first < s.channels; first += kShared * kOutputs) {
      const std::int64_t channels = least(kShared * kOutputs, s.channels - first);
      Outputs sum[kShared][2][2];
      conv_span(lines, from, conv.taps + first * kConvInputs * kProductTaps, conv.bias + first, channels / kOutputs, sum);
      for (std::int64_t c = 0; c < channels; ++c)
        for (std::int64_t phase = 0; phase < 4; ++phase) {
          float* line = y + (i * s.channels + first + c) * s.split_plane() + phase * s.phase() + row * s.pitch() + s.kEdge + at;
          for (std::int64_t b = 0; b * kLanes < count; ++b)
            store_some(line + b * kLanes, sum[c / kOutputs][phase / 2][phase % 2][c % kOutputs][b], count - b * kLanes);
        }
    }
  });
}

// Product planes of one channel's gradient, for `rows` rows of the input's from `first` and kTile columns from `at`.
inline void split_tile(const BranchShape& s, const float* grad, std::int64_t first, std::int64_t rows, std::int64_t at, Tile& out) {
  static const float zeros[kTile + 2] = {};
  // Padded row 2 m is row m - 2 of the odd ones, 2 m + 1 row m - 1 of the even ones; so with columns.
  const auto line = [&](std::int64_t row_parity, std::int64_t column_parity, std::int64_t row) {
    if (row < 0 || row >= s.half_height()) return zeros + 2;
    return grad + (2 * row_parity + column_parity) * s.phase() + row * s.pitch() + s.kEdge + at;
  };
  for (std::int64_t m = 0; m < rows + 3; ++m) {
    const std::int64_t row = first + m;
    const float* const even[3] = {line(0, 0, row - 1), line(1, 0, row - 2), line(1, 0, row - 1)};
    const float* const odd[3] = {line(0, 1, row - 1), line(1, 1, row - 2), line(1, 1, row - 1)};
    for (std::int64_t x = 0; x < kTile; x += kLanes) {
      const auto put = [&](std::int64_t r, const Vector& a, const Vector& b, const Vector& c) {
        store(&out[3 * r][m][x], b);
        store(&out[3 * r + 1][m][x], a - b);
        store(&out[3 * r + 2][m][x], c - b);
      };
      const Vector a = load(odd[0] + x - 2), b = load(even[0] + x - 1), c = load(odd[0] + x - 1);
      const Vector above[3] = {load(odd[1] + x - 2), load(even[1] + x - 1), load(odd[1] + x - 1)};
      put(0, a, b, c);
      put(1, above[0] - a, above[1] - b, above[2] - c);
      put(2, load(odd[2] + x - 2) - a, load(even[2] + x - 1) - b, load(odd[2] + x - 1) - c);
      put(3, above[0], above[1], above[2]);
    }
  }
}

// Adds a product of two channels' tiles to a step of a row of six.
template <std::int64_t columns>
inline void add_turned(const Tile (&tiles)[2], std::int64_t product, std::int64_t row, std::int64_t at, const float* taps, Inputs& sum) {
  Inputs part;
#pragma GCC unroll 6
  for (std::int64_t in = 0; in < kConvInputs; ++in)
#pragma GCC unroll 3
    for (std::int64_t b = 0; b < kBlocks; ++b) part[in][b] = sum[in][b];
  for (std::int64_t c = 0; c < 2; ++c)
    for (std::int64_t ty = 0; ty < tap_rows(product); ++ty)
      add_taps<columns>(tiles[c][plane_of(product, ty)][row + ty] + at, taps + (c * kProductTaps + kFirstTap[product] + ty * columns) * kConvInputs, part);
#pragma GCC unroll 6
  for (std::int64_t in = 0; in < kConvInputs; ++in)
#pragma GCC unroll 3
    for (std::int64_t b = 0; b < kBlocks; ++b) sum[in][b] = part[in][b];
}

// A tile's nine products stay in the cache while the channels pass.
void conv_input_gradient(const BranchShape& s, const float* weights, const float* grad_y, float* scratch, float* grad_x) {
  // [channel][product][tap][input], taps turned round
#pragma omp parallel for schedule(static)
  for (std::int64_t c = 0; c < s.channels; ++c)
    for (std::int64_t in = 0; in < kConvInputs; ++in) {
      float taps[kProductTaps];
      product_taps(weights + (c * kConvInputs + in) * kTaps + kTaps - 1, -1, taps);
      for (std::int64_t t = 0; t < kProductTaps; ++t) scratch[(c * kProductTaps + t) * kConvInputs + in] = taps[t];
    }
  const std::int64_t strips = (s.half_height() + kTileRows - 1) / kTileRows, tiles = (s.half_width() + kTileColumns - 1) / kTileColumns;
#pragma omp parallel for schedule(static)
  for (std::int64_t job = 0; job < s.images * strips * tiles; ++job) {
    const std::int64_t i = job / tiles / strips, first = job / tiles % strips * kTileRows, at = job % tiles * kTileColumns;
    const std::int64_t rows = least(kTileRows, s.half_height() - first);
    Inputs sum[kProducts][kTileRows][kTileSteps] = {};
    for (std::int64_t c = 0; c < s.channels; c += 2) {
      Tile pair[2];
      for (std::int64_t k = 0; k < 2; ++k) split_tile(s, grad_y + (i * s.channels + c + k) * s.split_plane(), first, rows, at, pair[k]);
      const float* taps = scratch + c * kProductTaps * kConvInputs;
      for (std::int64_t p = 0; p < kProducts; ++p)
        for (std::int64_t row = 0; row < rows; ++row)
          for (std::int64_t k = 0; k < kTileSteps; ++k) {
            if (tap_columns(p) == 3) add_turned<3>(pair, p, row, k * kBlocks * kLanes, taps, sum[p][row][k]);
            else add_turned<4>(pair, p, row, k * kBlocks * kLanes, taps, sum[p][row][k]);
          }
    }
    for (std::int64_t in = 0; in < kConvInputs; ++in)
      for (std::int64_t y = 2 * first; y < least(2 * (first + rows), s.height); ++y) {
        const auto product = [&](std::int64_t r, std::int64_t c, std::int64_t b) { return sum[3 * r + c][y / 2 - first][b / kBlocks][in][b % kBlocks]; };
        float* line = grad_x + ((i * kConvInputs + in) * s.height + y) * s.width;
        for (std::int64_t b = 0; b < kTileSteps * kBlocks && 2 * (at + b * kLanes) < s.width; ++b) {
          const std::int64_t x = 2 * (at + b * kLanes), r = 1 + y % 2;
          const Vector common = product(0, 0, b) + product(r, 0, b);
          store_pairs(line + x, common + (product(0, 1, b) + product(r, 1, b)), common + (product(0, 2, b) + product(r, 2, b)), s.width - x);
        }
      }
  }
}

// Adds one row of kGroup channels' gradients times kGroupTaps lines of x to lane sums.
inline void row_products(const float* g, std::int64_t channel, const float* (&x)[kGroupTaps], std::int64_t width, Vector* sums) {
  Vector part[kGroup][kGroupTaps];
#pragma GCC unroll 4
  for (std::int64_t c = 0; c < kGroup; ++c)
#pragma GCC unroll 6
    for (std::int64_t t = 0; t < kGroupTaps; ++t) part[c][t] = sums[c * kConvInputs * kProductTaps + t];
  for (std::int64_t at = 0; at < width; at += kLanes) {
    Vector u[kGroupTaps];
#pragma GCC unroll 6
    for (std::int64_t t = 0; t < kGroupTaps; ++t) {
      u[t] = load(x[t] + at);
      LAV_IN_REGISTER(u[t]);
    }
#pragma GCC unroll 4
    for (std::int64_t c = 0; c < kGroup; ++c) {
      Vector v = load(g + c * channel + at);
      LAV_IN_REGISTER(v);
#pragma GCC unroll 6
      for (std::int64_t t = 0; t < kGroupTaps; ++t) part[c][t] += v * u[t];
    }
  }
#pragma GCC unroll 4
  for (std::int64_t c = 0; c < kGroup; ++c)
#pragma GCC unroll 6
    for (std::int64_t t = 0; t < kGroupTaps; ++t) sums[c * kConvInputs * kProductTaps + t] = part[c][t];
}

// The products transposed: dS = (g_even + g_odd) O, dA = g_even (E - O), dB = g_odd (E[m + 1] - O), dh0 = dS + dA, dh1 = dS + dB.
// kGroup channels and kGroupTaps taps in registers; sums stay in lanes until the end.
void conv_weight_gradient(const BranchShape& s, const float* grad_y, const float* x, float* grad_weights) {
  const std::int64_t pitch = s.pitch(), plane = s.product_plane(), phase = s.phase();
  std::int64_t at_tap[kConvInputs * kProductTaps], *next = at_tap;  // [product][input][tap]
  for (std::int64_t p = 0; p < kProducts; ++p)
    for (std::int64_t in = 0; in < kConvInputs; ++in)
      for (std::int64_t ty = 0; ty < tap_rows(p); ++ty)
        for (std::int64_t tx = 0; tx < tap_columns(p); ++tx) *next++ = (in * kProductPlanes + plane_of(p, ty)) * plane + ty * pitch + tx;
#pragma omp parallel for schedule(static)
  for (std::int64_t first = 0; first < s.channels; first += kGroup) {
    Vector sums[kGroup][kConvInputs * kProductTaps] = {};
    for (std::int64_t job = 0; job < s.images * s.half_height(); ++job) {
      const std::int64_t i = job / s.half_height(), row = job % s.half_height();
      for (std::int64_t at = 0; at < s.half_width(); at += kColumns) {
        const std::int64_t width = least(kColumns, s.half_width() - at);
        float lines[kProducts][kGroup][kColumns];
        for (std::int64_t c = 0; c < kGroup; ++c) {
          const float* g = grad_y + (i * s.channels + first + c) * s.split_plane() + row * pitch + s.kEdge + at;
          for (std::int64_t k = 0; k < width; k += kLanes) {
            const Vector phases[2][2] = {{load(g + k), load(g + phase + k)}, {load(g + 2 * phase + k), load(g + 3 * phase + k)}};
            const Vector rows[3][2] = {{phases[0][0] + phases[1][0], phases[0][1] + phases[1][1]}, {phases[0][0], phases[0][1]}, {phases[1][0], phases[1][1]}};
#pragma GCC unroll 3
            for (std::int64_t r = 0; r < 3; ++r) {
              store(&lines[3 * r][c][k], rows[r][0] + rows[r][1]);
              store(&lines[3 * r + 1][c][k], rows[r][0]);
              store(&lines[3 * r + 2][c][k], rows[r][1]);
            }
          }
        }
        const float* from = x + i * kConvInputs * kProductPlanes * plane + row * pitch + at;
        for (std::int64_t p = 0; p < kProducts; ++p)
          for (std::int64_t t = kFirstTap[p] * kConvInputs; t < kFirstTap[p + 1] * kConvInputs; t += kGroupTaps) {
            const float* taps[kGroupTaps];
            for (std::int64_t k = 0; k < kGroupTaps; ++k) taps[k] = from + at_tap[t + k];
            row_products(lines[p][0], kColumns, taps, width, &sums[0][t]);
          }
      }
    }
    for (std::int64_t c = 0; c < kGroup; ++c)
      for (std::int64_t in = 0; in < kConvInputs; ++in) {
        double totals[kProductTaps];
        for (std::int64_t p = 0; p < kProducts; ++p) {
          const std::int64_t count = tap_rows(p) * tap_columns(p);
          for (std::int64_t t = 0; t < count; ++t)
            totals[kFirstTap[p] + t] = lanes_sum(sums[c][kFirstTap[p] * kConvInputs + in * count + t]);
        }
        joined_taps(totals, grad_weights + ((first + c) * kConvInputs + in) * kTaps);
      }
  }
}

}  // namespace
}  // namespace layeravatar::avatar
