// The loops of decoder_kernel.h. Included by one file per instruction set, which sets LAV_VECTOR_BYTES, and by nothing
// else; uses no library function, so that no inline function of another instruction set leaks into the program.
#include "layeravatar/avatar/kernels/decoder_kernel.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace layeravatar::avatar {
namespace {

using Vector = float __attribute__((vector_size(LAV_VECTOR_BYTES)));
using Integers = std::int32_t __attribute__((vector_size(LAV_VECTOR_BYTES)));
constexpr std::int64_t kLanes = LAV_VECTOR_BYTES / 4;
constexpr std::int64_t kBlocks = LAV_VECTOR_BYTES == 64 ? 3 : 2;  // vectors of pixels per step of the input gradient
constexpr std::int64_t kGroup = LAV_VECTOR_BYTES == 64 ? 4 : 2;   // channels per step of the weight gradient
constexpr std::int64_t kOutputs = 4;                              // channels per step of the convolution
constexpr std::int64_t kOutputBlocks = LAV_VECTOR_BYTES == 64 ? 6 : 3;  // vectors of pixels per step
constexpr std::int64_t kSpan = kOutputBlocks * kLanes;
constexpr std::int64_t kTaps = kConvSize * kConvSize;
constexpr std::int64_t kChunk = 512;  // pixels at a time; sums run in float within one, in double over all

inline Vector load(const float* p) {
  Vector v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vector v) { __builtin_memcpy(p, &v, sizeof v); }
inline Vector broadcast(float x) { return x - Vector{}; }  // a sum with zero would be computed, for the sake of -0
inline std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

// Keeps a value in a register: g++ else reads it from memory again for each of its uses.
#if defined(__AVX512F__)
#define LAV_IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__x86_64__)
#define LAV_IN_REGISTER(v) __asm__("" : "+x"(v))
#else
#define LAV_IN_REGISTER(v) static_cast<void>(v)
#endif

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
// 1 / x to 2e-7 relative, x in [1, 1e38]: a guess and one step of Newton's, where there is an instruction for the guess.
inline Vector inverse_of(Vector x) {
#if defined(__AVX512F__)
  const Vector guess = reinterpret_cast<Vector>(_mm512_maskz_rcp14_ps(0xFFFF, reinterpret_cast<__m512>(x)));
  return guess * (2.0F - x * guess);
#elif defined(__AVX2__)
  const Vector guess = reinterpret_cast<Vector>(_mm256_rcp_ps(reinterpret_cast<__m256>(x)));
  return guess * (2.0F - x * guess);
#else
  return 1.0F / x;
#endif
}
inline Vector sigmoid_of(Vector z) { return inverse_of(1.0F + exp_of(-z)); }

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

void pad(const BranchShape& s, const float* x, float* padded) {
  const std::int64_t pitch = s.pitch(), rows = s.padded_rows();
#pragma omp parallel for schedule(static)
  for (std::int64_t r = 0; r < s.images * kConvInputs * rows; ++r) {
    const std::int64_t plane = r / rows, row = r % rows - kConvBorder;
    float* to = padded + r * pitch;
    const bool inside = row >= 0 && row < s.height;
    for (std::int64_t at = 0; at < pitch; ++at) to[at] = 0;
    if (!inside) continue;
    const float* from = x + (plane * s.height + row) * s.width;
    for (std::int64_t at = 0; at < s.width; ++at) to[kConvBorder + at] = from[at];
  }
}

// kOutputs channels of kSpan pixels; `x` is the place in the first padded plane. Beyond the row it reads what follows.
inline void conv_span(const BranchShape& s, const float* x, const float* taps, const float* bias,
                      Vector (&sum)[kOutputs][kOutputBlocks]) {
#pragma GCC unroll 4
  for (std::int64_t c = 0; c < kOutputs; ++c)
#pragma GCC unroll 6
    for (std::int64_t b = 0; b < kOutputBlocks; ++b) sum[c][b] = broadcast(bias[c]);
  for (std::int64_t in = 0; in < kConvInputs; ++in)
    for (std::int64_t ty = 0; ty < kConvSize; ++ty) {
      const float* line = x + in * s.padded_plane() + ty * s.pitch();
#pragma GCC unroll 7
      for (std::int64_t tx = 0; tx < kConvSize; ++tx, taps += kOutputs) {
        Vector v[kOutputBlocks];
#pragma GCC unroll 6
        for (std::int64_t b = 0; b < kOutputBlocks; ++b) {
          v[b] = load(line + tx + b * kLanes);
          LAV_IN_REGISTER(v[b]);
        }
#pragma GCC unroll 4
        for (std::int64_t c = 0; c < kOutputs; ++c) {
          Vector tap = broadcast(taps[c]);
          LAV_IN_REGISTER(tap);
#pragma GCC unroll 6
          for (std::int64_t b = 0; b < kOutputBlocks; ++b) sum[c][b] += tap * v[b];
        }
      }
    }
}

// Calls work(image, row, first pixel, pixels) for spans of kSpan pixels; the last of a row may be shorter.
template <class Work>
void each_span(const BranchShape& s, const Work& work) {
  const std::int64_t spans = (s.width + kSpan - 1) / kSpan;
#pragma omp parallel for schedule(static)
  for (std::int64_t job = 0; job < s.images * s.height * spans; ++job) {
    const std::int64_t x = job % spans * kSpan, row = job / spans % s.height;
    work(job / spans / s.height, row, x, least(kSpan, s.width - x));
  }
}

void conv_forward(const BranchShape& s, const float* x, const ConvWeights& conv, float* y) {
  each_span(s, [&](std::int64_t i, std::int64_t row, std::int64_t at, std::int64_t count) {
    const float* from = x + i * kConvInputs * s.padded_plane() + row * s.pitch() + at;
    for (std::int64_t first = 0; first < s.channels; first += kOutputs) {
      Vector sum[kOutputs][kOutputBlocks];
      conv_span(s, from, conv.taps + first * kConvInputs * kTaps, conv.bias + first, sum);
      for (std::int64_t c = 0; c < kOutputs; ++c)
        for (std::int64_t b = 0; b * kLanes < count; ++b)
          store_some(y + ((i * s.channels + first + c) * s.height + row) * s.width + at + b * kLanes, sum[c][b], count - b * kLanes);
    }
  });
}

void branch_forward(const BranchShape& s, const BranchForward& a) {
  each_span(s, [&](std::int64_t i, std::int64_t row, std::int64_t at, std::int64_t count) {
    const float* from = a.x + i * kConvInputs * s.padded_plane() + row * s.pitch() + at;
    Vector heads[kMostHeads][kOutputBlocks];
    for (std::int64_t k = 0; k < s.heads; ++k)
      for (Vector& v : heads[k]) v = broadcast(a.head_bias[k]);
    for (std::int64_t first = 0; first < s.channels; first += kOutputs) {
      Vector sum[kOutputs][kOutputBlocks];
      conv_span(s, from, a.conv.taps + first * kConvInputs * kTaps, a.conv.bias + first, sum);
      for (auto& line : sum)
        for (Vector& z : line) z *= sigmoid_of(z);
      for (std::int64_t k = 0; k < s.heads; ++k) {
        const float* weights = a.head_weights + k * s.channels + first;
#pragma GCC unroll 6
        for (std::int64_t b = 0; b < kOutputBlocks; ++b)
          heads[k][b] += (weights[0] * sum[0][b] + weights[1] * sum[1][b]) + (weights[2] * sum[2][b] + weights[3] * sum[3][b]);
      }
    }
    for (std::int64_t k = 0; k < s.heads; ++k)
      for (std::int64_t b = 0; b * kLanes < count; ++b)
        store_some(a.out + ((i * s.heads + k) * s.height + row) * s.width + at + b * kLanes,
                   k < a.sigmoid_heads ? sigmoid_of(heads[k][b]) : heads[k][b], count - b * kLanes);
  });
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

// grad_y = scale grad_z, less what the batch's mean and deviation take back:
// scale (sum / n + (y - mean) inverse^2 moment / n)
void channel_backward(const BranchShape& s, const HeadsBackward& a, std::int64_t c, double sum, double moment, double n) {
  const std::int64_t p = s.pixels(), pitch = s.pitch();
  const double scale = static_cast<double>(a.scale[c]), inverse = static_cast<double>(a.inverse[c]);
  const double slope = a.batch_statistics ? -scale * inverse * inverse * moment / n : 0.0;
  const double rest = a.batch_statistics ? -scale * sum / n - slope * static_cast<double>(a.mean[c]) : 0.0;
  const auto times = static_cast<float>(scale), by = static_cast<float>(slope), add = static_cast<float>(rest);
  for (std::int64_t i = 0; i < s.images; ++i)
    for (std::int64_t row = 0; row < s.height; ++row) {
      const float* y = a.y + (i * s.channels + c) * p + row * s.width;
      float* line = a.grad_y + (i * s.channels + c) * s.padded_plane() + (row + kConvBorder) * pitch + kConvBorder;
#pragma omp simd
      for (std::int64_t x = 0; x < s.width; ++x) line[x] = times * line[x] + (by * y[x] + add);
    }
}

void heads_backward(const BranchShape& s, const HeadsBackward& a) {
  const std::int64_t p = s.pixels(), pitch = s.pitch();
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
    if (a.parameters) {
      a.grad_bias[c] = static_cast<float>(sums.grad);
      a.grad_gain[c] = static_cast<float>(sums.moment * static_cast<double>(a.inverse[c]));
      a.grad_conv_bias[c] = a.batch_statistics ? 0.0F : static_cast<float>(sums.grad * static_cast<double>(a.scale[c]));
      for (std::int64_t k = 0; k < s.heads; ++k)
        a.grad_head_weights[k * s.channels + c] = static_cast<float>(sums.heads[k]);
    }
    if (a.sums == nullptr) {
      channel_backward(s, a, c, sums.grad, sums.moment, static_cast<double>(s.images * p));
    } else {
      a.sums[2 * c] = sums.grad;
      a.sums[2 * c + 1] = sums.moment;
    }
  }
}

void normalisation_backward(const BranchShape& s, const HeadsBackward& a, const double* sums, double count) {
#pragma omp parallel for schedule(static)
  for (std::int64_t c = 0; c < s.channels; ++c) channel_backward(s, a, c, sums[2 * c], sums[2 * c + 1], count);
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
            for (std::int64_t b = 0; b < kBlocks; ++b) {
              v[b] = load(g + tx + b * kLanes);
              LAV_IN_REGISTER(v[b]);
            }
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

// Adds one row of kGroup channels' gradients times six lines of x to lane sums.
inline void row_products(const float* g, std::int64_t plane, const float* const (&x)[6], std::int64_t width, Vector* sums,
                         std::int64_t channel_stride, std::int64_t term_stride) {
  Vector part[kGroup][6];
#pragma GCC unroll 4
  for (std::int64_t c = 0; c < kGroup; ++c)
#pragma GCC unroll 6
    for (std::int64_t t = 0; t < 6; ++t) part[c][t] = sums[c * channel_stride + t * term_stride];
  for (std::int64_t at = 0; at < width; at += kLanes) {
    Vector v[kGroup];
#pragma GCC unroll 4
    for (std::int64_t c = 0; c < kGroup; ++c) {
      v[c] = load(g + c * plane + at);
      LAV_IN_REGISTER(v[c]);
    }
#pragma GCC unroll 6
    for (std::int64_t t = 0; t < 6; ++t) {
      Vector u = load(x[t] + at);
      LAV_IN_REGISTER(u);
#pragma GCC unroll 4
      for (std::int64_t c = 0; c < kGroup; ++c) part[c][t] += v[c] * u;
    }
  }
#pragma GCC unroll 4
  for (std::int64_t c = 0; c < kGroup; ++c)
#pragma GCC unroll 6
    for (std::int64_t t = 0; t < 6; ++t) sums[c * channel_stride + t * term_stride] = part[c][t];
}

// kGroup channels and six terms in registers: the first six taps of a row of the kernel, then the last tap of six rows.
// Sums stay in lanes until the end.
void conv_weight_gradient(const BranchShape& s, const float* grad_y, const float* x, float* grad_weights) {
  constexpr std::int64_t kRows = kConvInputs * kConvSize;
  const std::int64_t pitch = s.pitch(), plane = s.padded_plane();
#pragma omp parallel for schedule(static)
  for (std::int64_t first = 0; first < s.channels; first += kGroup) {
    Vector sums[kGroup][kRows][kConvSize] = {};
    for (std::int64_t i = 0; i < s.images; ++i)
      for (std::int64_t row = 0; row < s.height; ++row) {
        const float* g = grad_y + (i * s.channels + first) * plane + (row + kConvBorder) * pitch + kConvBorder;
        const auto line = [&](std::int64_t k) { return x + (i * kConvInputs + k / kConvSize) * plane + (row + k % kConvSize) * pitch; };
        for (std::int64_t k = 0; k < kRows; ++k) {
          const float* const taps[6] = {line(k), line(k) + 1, line(k) + 2, line(k) + 3, line(k) + 4, line(k) + 5};
          row_products(g, plane, taps, s.width, sums[0][k], kRows * kConvSize, 1);
        }
        for (std::int64_t k = 0; k < kRows; k += 6) {
          const float* const lasts[6] = {line(k) + 6, line(k + 1) + 6, line(k + 2) + 6, line(k + 3) + 6, line(k + 4) + 6, line(k + 5) + 6};
          row_products(g, plane, lasts, s.width, sums[0][k] + 6, kRows * kConvSize, kConvSize);
        }
      }
    for (std::int64_t c = 0; c < kGroup; ++c)
      for (std::int64_t k = 0; k < kRows; ++k)
        for (std::int64_t tx = 0; tx < kConvSize; ++tx) {
          double total = 0;
          for (std::int64_t lane = 0; lane < kLanes; ++lane) total += static_cast<double>(sums[c][k][tx][lane]);
          grad_weights[((first + c) * kRows + k) * kConvSize + tx] = static_cast<float>(total);
        }
  }
}

}  // namespace
}  // namespace layeravatar::avatar
