#include <algorithm>
#include <bit>
#include <cmath>

#include "layeravatar/diffusion/kernels/norm_silu_kernel.h"

// One binary for every x86-64: the loops below are compiled three times and chosen at start.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define LAV_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LAV_VECTOR_CLONES
#endif

namespace layeravatar::diffusion {
namespace {

constexpr std::int64_t kChunk = 1024;  // float sums run over this many elements, double sums over the chunks

// exp to 1e-7 relative on [-87, 87], clamped outside: 2^n times a polynomial in the rest, |rest| <= ln(2) / 2.
[[gnu::always_inline]] inline float exp_of(float x) {
  x = x < -87.0F ? -87.0F : x;
  x = x > 87.0F ? 87.0F : x;
  const float n = (x * 1.44269504F + 12582912.0F) - 12582912.0F;  // rounded to an integer by 1.5 * 2^23
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  return p * std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
}

[[gnu::always_inline]] inline float sigmoid(float z) { return 1.0F / (1.0F + exp_of(-z)); }

LAV_VECTOR_CLONES double sum_of(const float* x, std::int64_t n) {
  double total = 0;
  for (std::int64_t at = 0; at < n; at += kChunk) {
    const std::int64_t m = std::min(kChunk, n - at);
    const float* p = x + at;
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (std::int64_t i = 0; i < m; ++i) part += p[i];
    total += part;
  }
  return total;
}

LAV_VECTOR_CLONES double squares_about(const float* x, std::int64_t n, float mean) {
  double total = 0;
  for (std::int64_t at = 0; at < n; at += kChunk) {
    const std::int64_t m = std::min(kChunk, n - at);
    const float* p = x + at;
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (std::int64_t i = 0; i < m; ++i) part += (p[i] - mean) * (p[i] - mean);
    total += part;
  }
  return total;
}

// y = silu(a x + b)
LAV_VECTOR_CLONES void silu_line(const float* x, std::int64_t n, float a, float b, float* y) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float z = a * x[i] + b;
    y[i] = z * sigmoid(z);
  }
}

// grad_z = grad_y silu'(a x + b); returns its sum and its sum times (x - mean).
LAV_VECTOR_CLONES void silu_line_backward(const float* grad_y, const float* x, std::int64_t n, float a, float b,
                                          float mean, float* grad_z, double* sum, double* moment) {
  double s = 0, q = 0;
  for (std::int64_t at = 0; at < n; at += kChunk) {
    const std::int64_t m = std::min(kChunk, n - at);
    const float *g = grad_y + at, *p = x + at;
    float* out = grad_z + at;
    float part = 0, part_moment = 0;
#pragma omp simd reduction(+ : part, part_moment)
    for (std::int64_t i = 0; i < m; ++i) {
      const float z = a * p[i] + b, w = sigmoid(z);
      const float grad = g[i] * (w * (1.0F + z * (1.0F - w)));
      out[i] = grad;
      part += grad;
      part_moment += grad * (p[i] - mean);
    }
    s += part;
    q += part_moment;
  }
  *sum = s;
  *moment = q;
}

// g <- a g + b x + c
LAV_VECTOR_CLONES void combine_line(float* g, const float* x, std::int64_t n, float a, float b, float c) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) g[i] = a * g[i] + b * x[i] + c;
}

}  // namespace

void norm_silu_forward(const NormSiluShape& s, double eps, const float* x, const float* scale, const float* shift,
                       float* y, float* mean, float* inverse_deviation) {
  const std::int64_t per_group = s.channels / s.groups, size = per_group * s.pixels;
#pragma omp parallel for schedule(static)
  for (std::int64_t k = 0; k < s.batch * s.groups; ++k) {
    const float* group = x + k * size;
    const auto centre = static_cast<float>(sum_of(group, size) / static_cast<double>(size));
    const double variance = squares_about(group, size, centre) / static_cast<double>(size);
    const auto inverse = static_cast<float>(1.0 / std::sqrt(variance + eps));
    mean[k] = centre;
    inverse_deviation[k] = inverse;
    for (std::int64_t c = k * per_group; c < (k + 1) * per_group; ++c) {
      const float a = scale[c] * inverse;
      silu_line(x + c * s.pixels, s.pixels, a, shift[c] - a * centre, y + c * s.pixels);
    }
  }
}

void norm_silu_backward(const NormSiluShape& s, const float* grad_y, const float* x, const float* scale,
                        const float* shift, const float* mean, const float* inverse_deviation, float* grad_x,
                        float* grad_scale, float* grad_shift) {
  const std::int64_t per_group = s.channels / s.groups;
  const double size = static_cast<double>(per_group * s.pixels);
#pragma omp parallel for schedule(static)
  for (std::int64_t k = 0; k < s.batch * s.groups; ++k) {
    const float centre = mean[k], inverse = inverse_deviation[k];
    double sum = 0, moment = 0;  // of the gradient with respect to the normalised values, and of that times those
    for (std::int64_t c = k * per_group; c < (k + 1) * per_group; ++c) {
      const float a = scale[c] * inverse;
      double line = 0, line_moment = 0;
      silu_line_backward(grad_y + c * s.pixels, x + c * s.pixels, s.pixels, a, shift[c] - a * centre, centre,
                         grad_x + c * s.pixels, &line, &line_moment);
      line_moment *= inverse;
      grad_shift[c] = static_cast<float>(line);
      grad_scale[c] = static_cast<float>(line_moment);
      sum += scale[c] * line;
      moment += scale[c] * line_moment;
    }
    // grad_x = inverse (scale grad_z - sum / size - normalised moment / size), normalised = (x - centre) inverse
    const double slope = -inverse * inverse * moment / size;
    const double rest = -inverse * sum / size - slope * centre;
    for (std::int64_t c = k * per_group; c < (k + 1) * per_group; ++c)
      combine_line(grad_x + c * s.pixels, x + c * s.pixels, s.pixels, scale[c] * inverse, static_cast<float>(slope),
                   static_cast<float>(rest));
  }
}

}  // namespace layeravatar::diffusion
