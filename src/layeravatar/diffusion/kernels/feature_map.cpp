// Norms as factors, and the way in and out of blocks of channels.
#include <algorithm>
#include <cmath>

#include "layeravatar/diffusion/kernels/unet_layers.h"

namespace layeravatar::diffusion {

void normalise(const std::vector<NormPart>& parts, int images, int groups, const float* weight, const float* bias, const float* gain,
               const float* offset) {
  int channels = 0;
  for (const NormPart& part : parts) channels += part.channels;
  const int per_group = channels / groups;
  for (int image = 0; image < images; ++image) {
    double sum = 0, squares = 0, count = 0;
    std::size_t part = 0, first_part = 0;  // where the channel, and where its group's first one lies
    int at = 0, first_at = 0;
    for (int c = 0; c < channels; ++c, ++at) {
      while (at == parts[part].channels) ++part, at = 0;
      if (c % per_group == 0) sum = squares = count = 0, first_part = part, first_at = at;
      const Moments& m = *parts[part].moments;
      const float* values = m.values.data() + std::ptrdiff_t{image} * static_cast<std::ptrdiff_t>(m.pixels.size()) * 3 * m.channels + at;
      for (const int pixels : m.pixels) {
        const double first = values[0], s = values[m.channels], n = pixels;
        sum += n * first + s;
        squares += values[2 * m.channels] + first * (2 * s + n * first);
        count += n;
        values += 3 * m.channels;
      }
      if (c % per_group != per_group - 1) continue;
      const double mean = sum / count, variance = squares / count - mean * mean;
      const double inverse = 1 / std::sqrt((variance < 0 ? 0 : variance) + 1e-5);  // a NaN stays one
      for (int i = c + 1 - per_group; i <= c; ++i, ++first_at) {
        while (first_at == parts[first_part].channels) ++first_part, first_at = 0;
        const double factor = gain != nullptr ? gain[std::ptrdiff_t{image} * channels + i] : 1.0, more = offset != nullptr ? offset[std::ptrdiff_t{image} * channels + i] : 0.0;
        const NormPart& p = parts[first_part];
        const std::ptrdiff_t to = std::ptrdiff_t{image} * p.moments->channels + first_at;
        p.scale[to] = static_cast<float>(factor * weight[i] * inverse);
        p.shift[to] = static_cast<float>(factor * (bias[i] - weight[i] * inverse * mean) + more);
      }
    }
  }
}

void to_blocks(const float* planes, int images, int channels, const FeatureMap& map, int first) {
  const std::ptrdiff_t pixels = map.pixels();
#pragma omp parallel for schedule(static)
  for (int i = 0; i < images * blocks_of(channels); ++i) {
    const int image = i / blocks_of(channels), block = i % blocks_of(channels), filled = std::min(kBlock, channels - block * kBlock);
    const float* from = planes + (std::ptrdiff_t{image} * channels + block * kBlock) * pixels;
    float* to = map.data + image * map.image_size() + (first + block) * pixels * kBlock;
    for (std::ptrdiff_t p = 0; p < pixels; ++p)
      for (int c = 0; c < kBlock; ++c) to[p * kBlock + c] = c < filled ? from[c * pixels + p] : 0.0F;
  }
}

void from_blocks(const FeatureMap& map, int images, int channels, float* planes) {
  const std::ptrdiff_t pixels = map.pixels();
#pragma omp parallel for schedule(static)
  for (int i = 0; i < images * channels; ++i) {
    const float* from = map.data + i / channels * map.image_size() + i % channels / kBlock * pixels * kBlock + i % channels % kBlock;
    for (std::ptrdiff_t p = 0; p < pixels; ++p) planes[i * pixels + p] = from[p * kBlock];
  }
}

}  // namespace layeravatar::diffusion
