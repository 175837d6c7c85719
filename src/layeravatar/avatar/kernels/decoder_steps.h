// The loops of decoder_kernel.h. Included by one file per instruction set, which sets LAV_VECTOR_BYTES, and by nothing
// else; uses no library function, so that no inline function of another instruction set leaks into the program.
#include "layeravatar/avatar/kernels/decoder_products.h"

namespace layeravatar::avatar {
namespace {

constexpr std::int64_t kRow = 192;  // pixels of a phase at a time; sums run in float within a row, in double over all
constexpr std::int64_t kBatch = LAV_VECTOR_BYTES == 64 ? 2 : 4;  // vectors at a time, at most two edges
static_assert(kRow % kSpan == 0 && kBatch * kLanes <= 2 * BranchShape::kEdge);

void split_heads(const BranchShape& s, const float* heads, float* split) {
  const std::int64_t pitch = s.pitch(), rows = s.half_height(), planes = s.images * s.heads;
#pragma omp parallel for schedule(static)
  for (std::int64_t job = 0; job < planes * 4 * rows; ++job) {
    const std::int64_t plane = job / rows / 4, phase = job / rows % 4, row = job % rows;
    const float* from = heads + (plane * s.height + 2 * row + phase / 2) * s.width + phase % 2;
    float* line = split + ((plane / s.heads * 4 * rows + job % (4 * rows)) * s.heads + plane % s.heads) * pitch;
    const std::int64_t count = row < s.rows(phase / 2) ? s.columns(phase % 2) : 0;
    for (std::int64_t x = 0; x < pitch; ++x) line[x] = 0;
    for (std::int64_t x = 0; x < count; ++x) line[s.kEdge + x] = from[2 * x];
  }
  for (std::int64_t k = 0; k < kReadBeyond; ++k) split[planes * s.split_plane() + k] = 0;
}

// Adds four channels' part to lines of heads; weights [K, C] from their first channel.
inline void add_heads(const BranchShape& s, const float* weights, const Outputs& active, float* heads, std::int64_t stride) {
  for (std::int64_t k = 0; k < s.heads; ++k, weights += s.channels, heads += stride)
#pragma GCC unroll 6
    for (std::int64_t b = 0; b < kOutputBlocks; ++b)
      store(heads + b * kLanes, load(heads + b * kLanes) + ((weights[0] * active[0][b] + weights[1] * active[1][b]) +
                                                            (weights[2] * active[2][b] + weights[3] * active[3][b])));
}

// A row of an image's heads, of which `width` pixels are left, from lines of its even and odd columns.
inline void store_heads(const BranchShape& s, std::int64_t sigmoid_heads, const float* even, const float* odd, std::int64_t stride,
                        std::int64_t width, float* out) {
  for (std::int64_t k = 0; k < s.heads; ++k)
    for (std::int64_t x = 0; x < stride && 2 * x < width; x += kLanes) {
      Vector a = load(even + k * stride + x), b = load(odd + k * stride + x);
      if (k < sigmoid_heads) a = sigmoid_of(a), b = sigmoid_of(b);
      store_pairs(out + k * s.pixels() + 2 * x, a, b, width - 2 * x);
    }
}

void branch_forward(const BranchShape& s, const BranchForward& a) {
  const Lines lines(s);
  each_span(s, [&](std::int64_t i, std::int64_t row, std::int64_t at, std::int64_t) {
    const float* from = a.x + i * kConvInputs * kProductPlanes * s.product_plane() + row * s.pitch() + at;
    float heads[2][2][kMostHeads][kSpan];
    for (std::int64_t phase = 0; phase < 4; ++phase)
      for (std::int64_t k = 0; k < s.heads; ++k)
        for (float& v : heads[phase / 2][phase % 2][k]) v = a.head_bias[k];
    for (std::int64_t first = 0; first < s.channels; first += kShared * kOutputs) {
      const std::int64_t groups = least(kShared, (s.channels - first) / kOutputs);
      Outputs sum[kShared][2][2];
      conv_span(lines, from, a.conv.taps + first * kConvInputs * kProductTaps, a.conv.bias + first, groups, sum);
      for (std::int64_t g = 0; g < groups; ++g)
        for (std::int64_t phase = 0; phase < 4; ++phase) {
          Outputs& active = sum[g][phase / 2][phase % 2];
          for (auto& line : active)
            for (Vector& z : line) z *= sigmoid_of(z);
          add_heads(s, a.head_weights + first + g * kOutputs, active, heads[phase / 2][phase % 2][0], kSpan);
        }
    }
    for (std::int64_t y = 2 * row; y < least(2 * row + 2, s.height); ++y)
      store_heads(s, a.sigmoid_heads, heads[y % 2][0][0], heads[y % 2][1][0], kSpan, s.width - 2 * at,
                  a.out + (i * s.heads * s.height + y) * s.width + 2 * at);
  });
}

// Calls work(line, pixels) for the rows of a channel's phases, split or not at kRow pixels.
template <class Work>
inline void each_line(const BranchShape& s, const float* split, const Work& work) {
  for (std::int64_t phase = 0; phase < 4; ++phase)
    for (std::int64_t row = 0; row < s.rows(phase / 2); ++row)
      for (std::int64_t at = 0; at < s.columns(phase % 2); at += kRow)
        work(split + phase * s.phase() + row * s.pitch() + s.kEdge + at, least(kRow, s.columns(phase % 2) - at));
}

void statistics(const BranchShape& s, const float* y, float* mean, float* variance) {
  const auto n = static_cast<double>(s.images * s.pixels());
#pragma omp parallel for schedule(static)
  for (std::int64_t c = 0; c < s.channels; ++c) {
    double sums[2] = {0, 0};
    float centre = 0;
    for (int pass = 0; pass < 2; ++pass) {
      for (std::int64_t i = 0; i < s.images; ++i)
        each_line(s, y + (i * s.channels + c) * s.split_plane(), [&](const float* line, std::int64_t m) {
          float sum = 0;
          if (pass == 0) {
#pragma omp simd reduction(+ : sum)
            for (std::int64_t k = 0; k < m; ++k) sum += line[k];
          } else {
#pragma omp simd reduction(+ : sum)
            for (std::int64_t k = 0; k < m; ++k) sum += (line[k] - centre) * (line[k] - centre);
          }
          sums[pass] += static_cast<double>(sum);
        });
      if (pass == 0) centre = static_cast<float>(sums[0] / n);
    }
    mean[c] = centre;
    variance[c] = static_cast<float>(sums[1] / n);
  }
}

void heads_forward(const BranchShape& s, const HeadsForward& a) {
#pragma omp parallel for schedule(static)
  for (std::int64_t job = 0; job < s.images * s.height; ++job) {
    const std::int64_t i = job / s.height, row = job % s.height;
    for (std::int64_t at = 0; at < s.half_width(); at += kRow) {
      float heads[2][kMostHeads][kRow];
      for (std::int64_t parity = 0; parity < 2; ++parity) {
        for (std::int64_t k = 0; k < s.heads; ++k)
          for (float& v : heads[parity][k]) v = a.head_bias[k];
        for (std::int64_t first = 0; first < s.channels; first += kOutputs) {
          const float* y = a.y + (i * s.channels + first) * s.split_plane() + (row % 2 * 2 + parity) * s.phase() + row / 2 * s.pitch() + s.kEdge + at;
          for (std::int64_t x = 0; x < least(kRow, s.half_width() - at); x += kSpan) {
            Outputs active;
            for (std::int64_t c = 0; c < kOutputs; ++c)
              for (std::int64_t b = 0; b < kOutputBlocks; ++b) {
                const Vector z = a.scale[first + c] * load(y + c * s.split_plane() + x + b * kLanes) + a.shift[first + c];
                active[c][b] = z * sigmoid_of(z);
              }
            add_heads(s, a.head_weights + first, active, &heads[parity][0][x], kRow);
          }
        }
      }
      store_heads(s, a.sigmoid_heads, heads[0][0], heads[1][0], kRow, s.width - 2 * at, a.out + (i * s.heads * s.height + row) * s.width + 2 * at);
    }
  }
}

// Sums over some pixels of one channel.
struct Sums {
  Doubles grad = {}, moment = {}, heads[kMostHeads] = {};
};

// One row of one channel's phase: the gradient with respect to z.
inline void row_backward(const BranchShape& s, const HeadsBackward& a, std::int64_t c, const float* y, const float* grad_heads,
                         std::int64_t count, float* grad_z, Sums& sums) {
  const std::int64_t pitch = s.pitch();
  const float scale = a.scale[c], shift = a.shift[c], mean = a.mean[c];
  Vector sum = {}, moment = {}, dots[kMostHeads];
  for (std::int64_t k = 0; k < s.heads; ++k) dots[k] = Vector{};
  for (std::int64_t at = 0; at < count; at += kBatch * kLanes) {  // beyond the row the heads' gradients are zero
    Vector grad_active[kBatch] = {}, active[kBatch];
    for (std::int64_t k = 0; k < s.heads; ++k)
#pragma GCC unroll 4
      for (std::int64_t b = 0; b < kBatch; ++b)
        grad_active[b] += a.head_weights[k * s.channels + c] * load(grad_heads + k * pitch + at + b * kLanes);
#pragma GCC unroll 4
    for (std::int64_t b = 0; b < kBatch; ++b) {
      const std::int64_t x = at + b * kLanes;
      const Vector value = load_some(y + x, count - x), z = scale * value + shift, w = sigmoid_of(z);
      const Vector grad = grad_active[b] * (w * (1.0F + z * (1.0F - w)));
      active[b] = z * w;
      store_some(grad_z + x, grad, count - x);
      sum += grad;
      moment += grad * (value - mean);
    }
    if (!a.parameters) continue;
    for (std::int64_t k = 0; k < s.heads; ++k)
#pragma GCC unroll 4
      for (std::int64_t b = 0; b < kBatch; ++b) dots[k] += active[b] * load(grad_heads + k * pitch + at + b * kLanes);
  }
  add_widened(sum, sums.grad);
  add_widened(moment, sums.moment);
  for (std::int64_t k = 0; k < s.heads; ++k) add_widened(dots[k], sums.heads[k]);
}

// grad_y = scale grad_z, less what the batch's mean and deviation take back:
// scale (sum / n + (y - mean) inverse^2 moment / n)
void channel_backward(const BranchShape& s, const HeadsBackward& a, std::int64_t c, double sum, double moment, double n) {
  const double scale = static_cast<double>(a.scale[c]), inverse = static_cast<double>(a.inverse[c]);
  const double slope = a.batch_statistics ? -scale * inverse * inverse * moment / n : 0.0;
  const double rest = a.batch_statistics ? -scale * sum / n - slope * static_cast<double>(a.mean[c]) : 0.0;
  const auto times = static_cast<float>(scale), by = static_cast<float>(slope), add = static_cast<float>(rest);
  for (std::int64_t i = 0; i < s.images; ++i)
    for (std::int64_t phase = 0; phase < 4; ++phase)
      for (std::int64_t row = 0; row < s.rows(phase / 2); ++row) {
        const std::int64_t from = (i * s.channels + c) * s.split_plane() + phase * s.phase() + row * s.pitch() + s.kEdge;
#pragma omp simd
        for (std::int64_t x = 0; x < s.columns(phase % 2); ++x) a.grad_y[from + x] = times * a.grad_y[from + x] + (by * a.y[from + x] + add);
      }
}

void heads_backward(const BranchShape& s, const HeadsBackward& a) {
  const std::int64_t pitch = s.pitch(), rows = s.half_height();
  for (std::int64_t k = 0; k < kReadBeyond; ++k) a.grad_y[s.images * s.channels * s.split_plane() + k] = 0;
#pragma omp parallel for schedule(static)
  for (std::int64_t first = 0; first < s.channels; first += kOutputs) {
    Sums sums[kOutputs];
    for (std::int64_t job = 0; job < s.images * 4 * rows; ++job) {
      const std::int64_t i = job / rows / 4, in_plane = job % (4 * rows) * pitch, phase = job / rows % 4;
      const std::int64_t count = job % rows < s.rows(phase / 2) ? s.columns(phase % 2) : 0;
      for (std::int64_t c = 0; c < kOutputs; ++c) {
        const std::int64_t at = (i * s.channels + first + c) * s.split_plane() + in_plane;
        float* line = a.grad_y + at;
        for (std::int64_t x = 0; x < s.kEdge; ++x) line[x] = 0;
        for (std::int64_t x = s.kEdge + count; x < pitch; ++x) line[x] = 0;
        row_backward(s, a, first + c, a.y + at + s.kEdge, a.grad_heads + job * s.heads * pitch + s.kEdge, count, line + s.kEdge, sums[c]);
      }
    }
    for (std::int64_t c = first; c < first + kOutputs; ++c) {
      const Sums& of = sums[c - first];
      const double sum = lanes_sum(of.grad), moment = lanes_sum(of.moment);
      if (a.parameters) {
        a.grad_bias[c] = static_cast<float>(sum);
        a.grad_gain[c] = static_cast<float>(moment * static_cast<double>(a.inverse[c]));
        a.grad_conv_bias[c] = a.batch_statistics ? 0.0F : static_cast<float>(sum * static_cast<double>(a.scale[c]));
        for (std::int64_t k = 0; k < s.heads; ++k) a.grad_head_weights[k * s.channels + c] = static_cast<float>(lanes_sum(of.heads[k]));
      }
      if (a.sums == nullptr) {
        channel_backward(s, a, c, sum, moment, static_cast<double>(s.images * s.pixels()));
      } else {
        a.sums[2 * c] = sum;
        a.sums[2 * c + 1] = moment;
      }
    }
  }
}

void normalisation_backward(const BranchShape& s, const HeadsBackward& a, const double* sums, double count) {
#pragma omp parallel for schedule(static)
  for (std::int64_t c = 0; c < s.channels; ++c) channel_backward(s, a, c, sums[2 * c], sums[2 * c + 1], count);
}

}  // namespace
}  // namespace layeravatar::avatar
