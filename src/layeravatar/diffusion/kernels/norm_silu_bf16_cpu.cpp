#include <algorithm>
#include <cmath>
#include <vector>

#include "layeravatar/diffusion/kernels/norm_silu_kernel.h"
#include "layeravatar/diffusion/kernels/silu_math.h"

namespace layeravatar::diffusion {
namespace {

constexpr std::int64_t kChunkPixels = 256;  // float sums run over these, double sums over the chunks

[[gnu::always_inline]] inline float widen(std::uint16_t x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16);
}

// To the nearest, ties to even; NaN stays NaN.
[[gnu::always_inline]] inline std::uint16_t narrow(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  return static_cast<std::uint16_t>((bits & 0x7FFFFFFFU) > 0x7F800000U ? 0x7FC0U : rounded);
}

// Sums of values and squares of each channel over n pixels.
LAV_CLONES void sum_pixels(const std::uint16_t* x, std::int64_t n, std::int64_t channels, float* sum, float* squares) {
  std::fill_n(sum, channels, 0.0F);
  std::fill_n(squares, channels, 0.0F);
  for (std::int64_t p = 0; p < n; ++p, x += channels) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const float v = widen(x[c]);
      sum[c] += v;
      squares[c] += v * v;
    }
  }
}

LAV_CLONES void silu_pixels(const std::uint16_t* x, std::int64_t n, std::int64_t channels, const float* a, const float* b,
                                   std::uint16_t* y) {
  for (std::int64_t p = 0; p < n; ++p, x += channels, y += channels) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const float z = a[c] * widen(x[c]) + b[c];
      y[c] = narrow(z * sigmoid(z));
    }
  }
}

// grad_z = grad_y silu'(z); sums of it, and of it times x, of each channel over n pixels.
LAV_CLONES void silu_pixels_backward(const std::uint16_t* grad_y, const std::uint16_t* x, std::int64_t n,
                                            std::int64_t channels, const float* a, const float* b, std::uint16_t* grad_z,
                                            float* sum, float* moment) {
  std::fill_n(sum, channels, 0.0F);
  std::fill_n(moment, channels, 0.0F);
  for (std::int64_t p = 0; p < n; ++p, x += channels, grad_y += channels, grad_z += channels) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const float v = widen(x[c]), g = widen(grad_y[c]) * silu_slope(a[c] * v + b[c]);
      grad_z[c] = narrow(g);
      sum[c] += g;
      moment[c] += g * v;
    }
  }
}

// g <- a g + slope x + rest
LAV_CLONES void combine_pixels(std::uint16_t* g, const std::uint16_t* x, std::int64_t n, std::int64_t channels,
                                      const float* a, const float* slope, const float* rest) {
  for (std::int64_t p = 0; p < n; ++p, x += channels, g += channels) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) g[c] = narrow(a[c] * widen(g[c]) + slope[c] * widen(x[c]) + rest[c]);
  }
}

std::int64_t chunks_of(const NormSiluShape& s) { return (s.pixels + kChunkPixels - 1) / kChunkPixels; }

// Runs body(image, first pixel, pixels, chunk number over all images) for every chunk, in parallel.
template <class Body>
void for_chunks(const NormSiluShape& s, Body&& body) {
  const std::int64_t chunks = chunks_of(s);
#pragma omp parallel for schedule(static)
  for (std::int64_t k = 0; k < s.batch * chunks; ++k) {
    const std::int64_t first = k % chunks * kChunkPixels;
    body(k / chunks, first, std::min(kChunkPixels, s.pixels - first), k);
  }
}

// The factor and the rest of z = a x + b of every channel.
struct Affine {
  std::vector<float> a, b;
  Affine(const NormSiluShape& s, const float* scale, const float* shift, const float* mean, const float* inverse)
      : a(static_cast<std::size_t>(s.batch * s.channels)), b(a.size()) {
    const std::int64_t per_group = s.channels / s.groups;
    for (std::int64_t c = 0; c < s.batch * s.channels; ++c) {
      const auto at = static_cast<std::size_t>(c);
      a[at] = scale[c] * inverse[c / per_group];
      b[at] = shift[c] - a[at] * mean[c / per_group];
    }
  }
};

// Chunk sums of two numbers per channel, added up in their order: [batch, channels] of each.
struct ChannelSums {
  std::vector<float> part;  // [batch * chunks, 2, channels]
  std::vector<double> first, second;
  std::int64_t chunks, channels;
  explicit ChannelSums(const NormSiluShape& s)
      : part(static_cast<std::size_t>(2 * s.batch * chunks_of(s) * s.channels)),
        first(static_cast<std::size_t>(s.batch * s.channels)),
        second(first.size()),
        chunks(chunks_of(s)),
        channels(s.channels) {}
  float* of(std::int64_t chunk) { return part.data() + 2 * chunk * channels; }
  void add_up() {
    const auto images = static_cast<std::int64_t>(first.size()) / channels;
    for (std::int64_t k = 0; k < images * chunks; ++k)
      for (std::int64_t c = 0; c < channels; ++c) {
        const auto at = static_cast<std::size_t>(k / chunks * channels + c);
        first[at] += of(k)[c];
        second[at] += of(k)[channels + c];
      }
  }
};

}  // namespace

void norm_silu_forward_bf16(const NormSiluShape& s, double eps, const std::uint16_t* x, const float* scale,
                            const float* shift, std::uint16_t* y, float* mean, float* inverse_deviation) {
  const std::int64_t per_group = s.channels / s.groups;
  const double size = static_cast<double>(per_group * s.pixels);
  ChannelSums sums(s);
  const auto line = [&](std::int64_t image, std::int64_t pixel) { return (image * s.pixels + pixel) * s.channels; };
  for_chunks(s, [&](std::int64_t image, std::int64_t first, std::int64_t n, std::int64_t k) {
    sum_pixels(x + line(image, first), n, s.channels, sums.of(k), sums.of(k) + s.channels);
  });
  sums.add_up();
  for (std::int64_t g = 0; g < s.batch * s.groups; ++g) {
    double sum = 0, squares = 0;
    for (std::int64_t c = g * per_group; c < (g + 1) * per_group; ++c) {
      sum += sums.first[static_cast<std::size_t>(c)];
      squares += sums.second[static_cast<std::size_t>(c)];
    }
    const double centre = sum / size, variance = std::max(squares / size - centre * centre, 0.0);
    mean[g] = static_cast<float>(centre);
    inverse_deviation[g] = static_cast<float>(1.0 / std::sqrt(variance + eps));
    if (std::isnan(squares)) inverse_deviation[g] = static_cast<float>(squares);  // max() would hide it
  }
  const Affine z(s, scale, shift, mean, inverse_deviation);
  for_chunks(s, [&](std::int64_t image, std::int64_t first, std::int64_t n, std::int64_t) {
    silu_pixels(x + line(image, first), n, s.channels, z.a.data() + image * s.channels, z.b.data() + image * s.channels,
                y + line(image, first));
  });
}

void norm_silu_backward_bf16(const NormSiluShape& s, const std::uint16_t* grad_y, const std::uint16_t* x,
                             const float* scale, const float* shift, const float* mean, const float* inverse_deviation,
                             std::uint16_t* grad_x, float* grad_scale, float* grad_shift) {
  const std::int64_t per_group = s.channels / s.groups;
  const double size = static_cast<double>(per_group * s.pixels);
  const Affine z(s, scale, shift, mean, inverse_deviation);
  ChannelSums sums(s);
  const auto line = [&](std::int64_t image, std::int64_t pixel) { return (image * s.pixels + pixel) * s.channels; };
  for_chunks(s, [&](std::int64_t image, std::int64_t first, std::int64_t n, std::int64_t k) {
    const std::int64_t at = line(image, first), row = image * s.channels;
    silu_pixels_backward(grad_y + at, x + at, n, s.channels, z.a.data() + row, z.b.data() + row, grad_x + at, sums.of(k),
                         sums.of(k) + s.channels);
  });
  sums.add_up();
  std::vector<float> slope(z.a.size()), rest(z.a.size());
  for (std::int64_t g = 0; g < s.batch * s.groups; ++g) {
    const double centre = mean[g], inverse = inverse_deviation[g];
    double sum = 0, moment = 0;  // of the gradient with respect to the normalised values, and of that times those
    for (std::int64_t c = g * per_group; c < (g + 1) * per_group; ++c) {
      const auto at = static_cast<std::size_t>(c);
      const double about = inverse * (sums.second[at] - centre * sums.first[at]);
      grad_shift[c] = static_cast<float>(sums.first[at]);
      grad_scale[c] = static_cast<float>(about);
      sum += scale[c] * sums.first[at];
      moment += scale[c] * about;
    }
    const double by = -inverse * inverse * moment / size;
    std::fill_n(slope.begin() + g * per_group, per_group, static_cast<float>(by));
    std::fill_n(rest.begin() + g * per_group, per_group, static_cast<float>(-inverse * sum / size - by * centre));
  }
  for_chunks(s, [&](std::int64_t image, std::int64_t first, std::int64_t n, std::int64_t) {
    const std::int64_t at = line(image, first), row = image * s.channels;
    combine_pixels(grad_x + at, x + at, n, s.channels, z.a.data() + row, slope.data() + row, rest.data() + row);
  });
}

}  // namespace layeravatar::diffusion
