#include <algorithm>
#include <cmath>

#include "layeravatar/diffusion/kernels/norm_silu_kernel.h"
#include "layeravatar/diffusion/kernels/silu_math.h"

namespace layeravatar::diffusion {
namespace {

constexpr std::int64_t kChunk = 1024;  // float sums run over this many elements, double sums over the chunks

LAV_CLONES double sum_of(const float* x, std::int64_t n) {
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

LAV_CLONES double squares_about(const float* x, std::int64_t n, float mean) {
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
LAV_CLONES void silu_line(const float* x, std::int64_t n, float a, float b, float* y) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float z = a * x[i] + b;
    y[i] = z * sigmoid(z);
  }
}

// grad_z = grad_y silu'(a x + b); returns its sum and its sum times (x - mean).
LAV_CLONES void silu_line_backward(const float* grad_y, const float* x, std::int64_t n, float a, float b,
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
LAV_CLONES void combine_line(float* g, const float* x, std::int64_t n, float a, float b, float c) {
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
