// The loops of decoder_kernel.h. Included by one file per instruction set, which sets LAV_VECTOR_BYTES, and by nothing
// else; uses no library function, so that no inline function of another instruction set leaks into the program.
#include "layeravatar/avatar/kernels/decoder_kernel.h"

namespace layeravatar::avatar {
namespace {

using Vector = float __attribute__((vector_size(LAV_VECTOR_BYTES)));
using Integers = std::int32_t __attribute__((vector_size(LAV_VECTOR_BYTES)));
using Unaligned = float __attribute__((vector_size(LAV_VECTOR_BYTES), aligned(4), may_alias));
constexpr std::int64_t kLanes = LAV_VECTOR_BYTES / 4;
constexpr std::int64_t kBlocks = LAV_VECTOR_BYTES == 64 ? 3 : 2;  // vectors of pixels per step of the input gradient
constexpr std::int64_t kGroup = LAV_VECTOR_BYTES == 64 ? 4 : 2;   // channels per step of the weight gradient
constexpr std::int64_t kTaps = kConvSize * kConvSize;
constexpr std::int64_t kChunk = 512;  // pixels at a time; sums run in float within one, in double over all

inline Vector load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
inline void store(float* p, Vector v) { *reinterpret_cast<Unaligned*>(p) = v; }
inline std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

inline float lanes_sum(Vector v) {
  float sum = 0;
  for (std::int64_t k = 0; k < kLanes; ++k) sum += v[k];
  return sum;
}

// exp to 2e-7 relative within [-87, 87], clamped outside: 2^n times a polynomial of the rest, |rest| <= ln(2) / 2.
inline Vector exp_of(Vector x) {
  const Vector least_x = Vector{} - 87.0F, most_x = Vector{} + 87.0F;
  x = x < least_x ? least_x : x;
  x = x > most_x ? most_x : x;
  const Vector n = (x * 1.44269504F + 12582912.0F) - 12582912.0F;  // rounded to an integer by 1.5 * 2^23
  const Vector r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  Vector p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  return p * reinterpret_cast<Vector>((__builtin_convertvector(n, Integers) + 127) << 23);
}
inline Vector sigmoid_of(Vector z) { return 1.0F / (1.0F + exp_of(-z)); }

// The first `count` lanes.
inline Vector load_some(const float* p, std::int64_t count) {
  if (count >= kLanes) return load(p);
  Vector out = {};
  for (std::int64_t k = 0; k < count; ++k) out[k] = p[k];
  return out;
}
inline void store_some(float* p, Vector v, std::int64_t count) {
  if (count >= kLanes) return store(p, v);
  for (std::int64_t k = 0; k < count; ++k) p[k] = v[k];
}

void statistics(const BranchShape& s, const float* y, float* mean, float* variance) {
  const std::int64_t p = s.pixels();
  const auto n = static_cast<double>(s.images * p);
#pragma omp parallel for schedule(static)
  for (std::int64_t c = 0; c < s.channels; ++c) {
    double sums[2] = {0, 0};
    float centre = 0;
    for (int pass = 0; pass < 2; ++pass) {
      for (std::int64_t i = 0; i < s.images; ++i)
        for (std::int64_t at = 0; at < p; at += kChunk) {
          const float* line = y + (i * s.channels + c) * p + at;
          const std::int64_t m = least(kChunk, p - at);
          float sum = 0;
          if (pass == 0) {
#pragma omp simd reduction(+ : sum)
            for (std::int64_t k = 0; k < m; ++k) sum += line[k];
          } else {
#pragma omp simd reduction(+ : sum)
            for (std::int64_t k = 0; k < m; ++k) sum += (line[k] - centre) * (line[k] - centre);
          }
          sums[pass] += static_cast<double>(sum);
        }
      if (pass == 0) centre = static_cast<float>(sums[0] / n);
    }
    mean[c] = centre;
    variance[c] = static_cast<float>(sums[1] / n);
  }
}

void heads_forward(const BranchShape& s, const HeadsForward& a) {
  const std::int64_t p = s.pixels(), chunks = (p + kChunk - 1) / kChunk;
#pragma omp parallel for schedule(static)
  for (std::int64_t job = 0; job < s.images * chunks; ++job) {
    const std::int64_t i = job / chunks, at = job % chunks * kChunk, m = least(kChunk, p - at);
    float* out = a.out + i * s.heads * p + at;
    for (std::int64_t k = 0; k < s.heads; ++k)
      for (std::int64_t x = 0; x < m; ++x) out[k * p + x] = a.head_bias[k];
    for (std::int64_t c = 0; c < s.channels; ++c) {
      const float* y = a.y + (i * s.channels + c) * p + at;
      const float scale = a.scale[c], shift = a.shift[c];
      float active[kChunk];
      for (std::int64_t x = 0; x < m; x += kLanes) {
        const Vector z = scale * load_some(y + x, m - x) + shift;
        store(active + x, z * sigmoid_of(z));
      }
      for (std::int64_t k = 0; k < s.heads; ++k) {
        const float weight = a.head_weights[k * s.channels + c];
        float* line = out + k * p;
#pragma omp simd
        for (std::int64_t x = 0; x < m; ++x) line[x] += weight * active[x];
      }
    }
    for (std::int64_t k = 0; k < a.sigmoid_heads; ++k) {
      float* line = out + k * p;
      for (std::int64_t x = 0; x < m; x += kLanes)
        store_some(line + x, sigmoid_of(load_some(line + x, m - x)), m - x);
    }
  }
}

// Sums over some pixels of one channel.
struct Sums {
  double grad = 0, moment = 0, heads[kMostHeads] = {};
};

// One row of one channel: the gradient with respect to z.
void row_backward(const BranchShape& s, const HeadsBackward& a, std::int64_t c, const float* y, const float* grad_heads,
                  float* grad_z, Sums& sums) {
  const float scale = a.scale[c], shift = a.shift[c], mean = a.mean[c];
  for (std::int64_t at = 0; at < s.width; at += kChunk) {
    const std::int64_t m = least(kChunk, s.width - at);
    float grad_active[kChunk], active[kChunk];
    for (std::int64_t x = 0; x < m + kLanes - 1 && x < kChunk; ++x) grad_active[x] = 0;
    for (std::int64_t k = 0; k < s.heads; ++k) {
      const float weight = a.head_weights[k * s.channels + c];
      const float* g = grad_heads + k * s.pixels() + at;
#pragma omp simd
      for (std::int64_t x = 0; x < m; ++x) grad_active[x] += weight * g[x];
    }
    Vector sum = {}, moment = {};
    for (std::int64_t x = 0; x < m; x += kLanes) {  // beyond m grad_active is zero
      const Vector value = load_some(y + at + x, m - x), z = scale * value + shift, w = sigmoid_of(z);
      const Vector grad = load(grad_active + x) * (w * (1.0F + z * (1.0F - w)));
      store(active + x, z * w);
      store_some(grad_z + at + x, grad, m - x);
      sum += grad;
      moment += grad * (value - mean);
    }
    sums.grad += static_cast<double>(lanes_sum(sum));
    sums.moment += static_cast<double>(lanes_sum(moment));
    if (!a.parameters) continue;
    for (std::int64_t k = 0; k < s.heads; ++k) {
      const float* g = grad_heads + k * s.pixels() + at;
      float dot = 0;
#pragma omp simd reduction(+ : dot)
      for (std::int64_t x = 0; x < m; ++x) dot += active[x] * g[x];
      sums.heads[k] += static_cast<double>(dot);
    }
  }
}

void heads_backward(const BranchShape& s, const HeadsBackward& a) {
  const std::int64_t p = s.pixels(), pitch = s.pitch();
  const auto n = static_cast<double>(s.images * p);
#pragma omp parallel for schedule(static)
  for (std::int64_t c = 0; c < s.channels; ++c) {
    Sums sums;
    for (std::int64_t i = 0; i < s.images; ++i) {
      float* plane = a.grad_y + (i * s.channels + c) * s.padded_plane();
      for (std::int64_t x = 0; x < kConvBorder * pitch; ++x) {
        plane[x] = 0;
        plane[(s.height + kConvBorder) * pitch + x] = 0;
      }
      for (std::int64_t row = 0; row < s.height; ++row) {
        float* line = plane + (row + kConvBorder) * pitch;
        for (std::int64_t x = 0; x < kConvBorder; ++x) line[x] = 0;
        for (std::int64_t x = kConvBorder + s.width; x < pitch; ++x) line[x] = 0;
        row_backward(s, a, c, a.y + (i * s.channels + c) * p + row * s.width,
                     a.grad_heads + i * s.heads * p + row * s.width, line + kConvBorder, sums);
      }
    }
    const double scale = static_cast<double>(a.scale[c]), inverse = static_cast<double>(a.inverse[c]);
    if (a.parameters) {
      a.grad_bias[c] = static_cast<float>(sums.grad);
      a.grad_gain[c] = static_cast<float>(sums.moment * inverse);
      a.grad_conv_bias[c] = a.batch_statistics ? 0.0F : static_cast<float>(sums.grad * scale);
      for (std::int64_t k = 0; k < s.heads; ++k)
        a.grad_head_weights[k * s.channels + c] = static_cast<float>(sums.heads[k]);
    }
    // grad_y = scale grad_z, less what the batch's mean and deviation take back:
    // scale (sum / n + (y - mean) inverse^2 moment / n)
    const double slope = a.batch_statistics ? -scale * inverse * inverse * sums.moment / n : 0.0;
    const double rest = a.batch_statistics ? -scale * sums.grad / n - slope * static_cast<double>(a.mean[c]) : 0.0;
    const auto times = static_cast<float>(scale), by = static_cast<float>(slope), add = static_cast<float>(rest);
    for (std::int64_t i = 0; i < s.images; ++i)
      for (std::int64_t row = 0; row < s.height; ++row) {
        const float* y = a.y + (i * s.channels + c) * p + row * s.width;
        float* line = a.grad_y + (i * s.channels + c) * s.padded_plane() + (row + kConvBorder) * pitch + kConvBorder;
#pragma omp simd
        for (std::int64_t x = 0; x < s.width; ++x) line[x] = times * line[x] + (by * y[x] + add);
      }
  }
}

// Output rows of six channels, kBlocks vectors wide, in registers; each value of grad_y meets six weights.
void conv_input_gradient(const BranchShape& s, const float* weights, const float* grad_y, float* scratch,
                         float* grad_x) {
  const std::int64_t pitch = s.pitch(), p = s.pixels();
  // [channel][tap][input], taps turned round
  for (std::int64_t c = 0; c < s.channels; ++c)
    for (std::int64_t in = 0; in < kConvInputs; ++in)
      for (std::int64_t t = 0; t < kTaps; ++t)
        scratch[(c * kTaps + kTaps - 1 - t) * kConvInputs + in] = weights[(c * kConvInputs + in) * kTaps + t];
#pragma omp parallel for schedule(static)
  for (std::int64_t r = 0; r < s.images * s.height; ++r) {
    const std::int64_t i = r / s.height, row = r % s.height;
    for (std::int64_t x = 0; x < s.width; x += kBlocks * kLanes) {
      Vector sum[kConvInputs][kBlocks] = {};
      for (std::int64_t c = 0; c < s.channels; ++c) {
        const float* g = grad_y + (i * s.channels + c) * s.padded_plane() + row * pitch + x;
        const float* w = scratch + c * kTaps * kConvInputs;
        for (std::int64_t ty = 0; ty < kConvSize; ++ty, g += pitch) {
#pragma GCC unroll 7
          for (std::int64_t tx = 0; tx < kConvSize; ++tx, w += kConvInputs) {
            Vector v[kBlocks];
#pragma GCC unroll 3
            for (std::int64_t b = 0; b < kBlocks; ++b) v[b] = load(g + tx + b * kLanes);
#pragma GCC unroll 6
            for (std::int64_t in = 0; in < kConvInputs; ++in)
#pragma GCC unroll 3
              for (std::int64_t b = 0; b < kBlocks; ++b) sum[in][b] += w[in] * v[b];
          }
        }
      }
      for (std::int64_t in = 0; in < kConvInputs; ++in) {
        float line[kBlocks * kLanes];
        for (std::int64_t b = 0; b < kBlocks; ++b) store(line + b * kLanes, sum[in][b]);
        float* out = grad_x + (i * kConvInputs + in) * p + row * s.width + x;
        for (std::int64_t k = 0; k < least(kBlocks * kLanes, s.width - x); ++k) out[k] = line[k];
      }
    }
  }
}

// kGroup channels and the seven taps of a row in registers; sums stay in lanes until the end.
void conv_weight_gradient(const BranchShape& s, const float* grad_y, const float* x, float* grad_weights) {
  constexpr std::int64_t kRows = kConvInputs * kConvSize;
  const std::int64_t pitch = s.pitch(), plane = s.padded_plane();
#pragma omp parallel for schedule(static)
  for (std::int64_t first = 0; first < s.channels; first += kGroup) {
    Vector sums[kRows][kGroup][kConvSize] = {};
    for (std::int64_t i = 0; i < s.images; ++i)
      for (std::int64_t row = 0; row < s.height; ++row) {
        const float* g = grad_y + (i * s.channels + first) * plane + (row + kConvBorder) * pitch + kConvBorder;
        for (std::int64_t k = 0; k < kRows; ++k) {
          const float* line = x + (i * kConvInputs + k / kConvSize) * plane + (row + k % kConvSize) * pitch;
          Vector part[kGroup][kConvSize];
#pragma GCC unroll 4
          for (std::int64_t c = 0; c < kGroup; ++c)
#pragma GCC unroll 7
            for (std::int64_t tx = 0; tx < kConvSize; ++tx) part[c][tx] = sums[k][c][tx];
          for (std::int64_t at = 0; at < s.width; at += kLanes) {
            Vector v[kGroup];
#pragma GCC unroll 4
            for (std::int64_t c = 0; c < kGroup; ++c) v[c] = load(g + c * plane + at);
#pragma GCC unroll 7
            for (std::int64_t tx = 0; tx < kConvSize; ++tx) {
              const Vector u = load(line + at + tx);
#pragma GCC unroll 4
              for (std::int64_t c = 0; c < kGroup; ++c) part[c][tx] += v[c] * u;
            }
          }
#pragma GCC unroll 4
          for (std::int64_t c = 0; c < kGroup; ++c)
#pragma GCC unroll 7
            for (std::int64_t tx = 0; tx < kConvSize; ++tx) sums[k][c][tx] = part[c][tx];
        }
      }
    for (std::int64_t c = 0; c < kGroup; ++c)
      for (std::int64_t k = 0; k < kRows; ++k)
        for (std::int64_t tx = 0; tx < kConvSize; ++tx) {
          double total = 0;
          for (std::int64_t lane = 0; lane < kLanes; ++lane) total += static_cast<double>(sums[k][c][tx][lane]);
          grad_weights[((first + c) * kRows + k) * kConvSize + tx] = static_cast<float>(total);
        }
  }
}

}  // namespace
}  // namespace layeravatar::avatar
