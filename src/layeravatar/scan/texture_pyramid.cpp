#include "layeravatar/scan/texture_pyramid.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "layeravatar/core/error.h"

namespace layeravatar::scan {
namespace {

// Colour times weight, and weight: 0 where a texel is transparent.
struct WeightedImage {
  int width, height;
  std::vector<std::array<float, 4>> texels;
  [[nodiscard]] std::size_t at(int x, int y) const {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x);
  }
};

template <class Texel>
WeightedImage halve(int width, int height, const Texel& fine) {
  WeightedImage out{std::max(1, width / 2), std::max(1, height / 2), {}};
  out.texels.resize(static_cast<std::size_t>(out.width) * static_cast<std::size_t>(out.height));
  // Every fine texel counts once: those of an odd last row or column go to the last coarse one.
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      auto& to = out.texels[out.at(std::min(x / 2, out.width - 1), std::min(y / 2, out.height - 1))];
      const std::array<float, 4> from = fine(x, y);
      for (std::size_t k = 0; k < 4; ++k) to[k] += from[k];
    }
  return out;
}

using Four = float __attribute__((vector_size(16)));
using FourBytes = std::uint8_t __attribute__((vector_size(4)));

struct Taps {
  std::size_t at[4];
  float weight[4];
};

// Where a bilinear sample reads.
Taps taps(int width, int height, float u, float v) {
  const float x = std::clamp(u * static_cast<float>(width) - 0.5F, 0.0F, static_cast<float>(width - 1));
  const float y = std::clamp((1.0F - v) * static_cast<float>(height) - 0.5F, 0.0F, static_cast<float>(height - 1));
  const int x0 = static_cast<int>(x), y0 = static_cast<int>(y);
  const int x1 = std::min(x0 + 1, width - 1), y1 = std::min(y0 + 1, height - 1);
  const float fx = x - static_cast<float>(x0), fy = y - static_cast<float>(y0);
  const auto at = [&](int px, int py) {
    return static_cast<std::size_t>(py) * static_cast<std::size_t>(width) + static_cast<std::size_t>(px);
  };
  return {{at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1)},
          {(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy}};
}

}  // namespace

TexturePyramid::TexturePyramid(const io::Image& image, int last_level) {
  LAV_CHECK(image.width > 0 && image.height > 0 && (image.channels == 1 || image.channels == 3 || image.channels == 4),
            "a texture has pixels and 1, 3 or 4 channels");
  const auto count = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
  const auto channels = static_cast<std::size_t>(image.channels);
  LAV_CHECK(image.pixels.size() == count * channels, "pixels fill the texture");
  const std::size_t green = channels == 1 ? 0 : 1, blue = channels == 1 ? 0 : 2;
  const auto weighted = [&](int x, int y) {
    const std::uint8_t* c = image.pixels.data() + channels * (static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width) +
                                                              static_cast<std::size_t>(x));
    const float weight = channels == 4 ? static_cast<float>(c[3]) : 255.0F;
    return std::array<float, 4>{weight * c[0], weight * c[green], weight * c[blue], weight};
  };
  // Level 0 stays in its bytes: sums[l] are those of level l + 1.
  std::vector<WeightedImage> sums;
  if (image.width > 1 || image.height > 1) sums.push_back(halve(image.width, image.height, weighted));
  while (!sums.empty() && (sums.back().width > 1 || sums.back().height > 1)) {
    const WeightedImage& fine = sums.back();
    sums.push_back(halve(fine.width, fine.height, [&](int x, int y) { return fine.texels[fine.at(x, y)]; }));
  }
  // From coarse to fine, so that a texel without weight finds a colour one level up.
  const auto above = [&](std::size_t level, int x, int y) {
    const WeightedImage& coarse = sums[level];
    return coarse.texels[coarse.at(std::min(x / 2, coarse.width - 1), std::min(y / 2, coarse.height - 1))];
  };
  for (std::size_t level = sums.size(); level-- > 0;) {
    WeightedImage& here = sums[level];
    for (int y = 0; y < here.height; ++y)
      for (int x = 0; x < here.width; ++x) {
        auto& texel = here.texels[here.at(x, y)];
        if (texel[3] > 0)
          for (std::size_t k = 0; k < 3; ++k) texel[k] /= texel[3];
        else if (level + 1 < sums.size())
          texel = above(level + 1, x, y);
      }
  }
  levels_.push_back({image.width, image.height, {}});
  std::vector<std::uint8_t>& first = levels_[0].rgbx;
  first.reserve(4 * count);
  if (channels == 4) alpha_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* c = image.pixels.data() + channels * i;
    if (channels == 4) alpha_.push_back(c[3]);
    if (channels == 4 && c[3] == 0 && !sums.empty()) {
      const auto row = static_cast<std::size_t>(image.width);
      const auto texel = above(0, static_cast<int>(i % row), static_cast<int>(i / row));
      for (std::size_t k = 0; k < 3; ++k) first.push_back(static_cast<std::uint8_t>(texel[k] + 0.5F));
      first.push_back(0);
    } else if (channels == 4 && c[3] == 0) {
      first.insert(first.end(), 4, std::uint8_t{0});
    } else {
      first.insert(first.end(), {c[0], c[green], c[blue], std::uint8_t{0}});
    }
  }
  for (std::size_t level = 0; level < std::min(static_cast<std::size_t>(last_level), sums.size()); ++level) {
    Level out{sums[level].width, sums[level].height, {}};
    out.rgbx.reserve(4 * sums[level].texels.size());
    for (const auto& texel : sums[level].texels) {
      for (std::size_t k = 0; k < 3; ++k) out.rgbx.push_back(static_cast<std::uint8_t>(texel[k] + 0.5F));
      out.rgbx.push_back(0);
    }
    levels_.push_back(std::move(out));
  }
}

std::array<float, 3> TexturePyramid::colour(float u, float v, float level) const {
  const float clamped = std::clamp(level, 0.0F, static_cast<float>(levels_.size() - 1));
  const auto fine = static_cast<std::size_t>(clamped);
  const float share = clamped - static_cast<float>(fine);
  Four out{};
  for (std::size_t step = 0; step < (share > 0 ? 2U : 1U); ++step) {
    const Level& from = levels_[fine + step];
    const Taps t = taps(from.width, from.height, u, v);
    const float weight = step == 0 ? 1 - share : share;
    for (std::size_t i = 0; i < 4; ++i) {
      FourBytes texel;
      std::memcpy(&texel, from.rgbx.data() + 4 * t.at[i], sizeof texel);
      out += weight * t.weight[i] * __builtin_convertvector(texel, Four);
    }
  }
  return {out[0], out[1], out[2]};
}

float TexturePyramid::alpha(float u, float v) const {
  if (alpha_.empty()) return 255.0F;
  const Taps t = taps(width(), height(), u, v);
  float out = 0;
  for (std::size_t i = 0; i < 4; ++i) out += t.weight[i] * static_cast<float>(alpha_[t.at[i]]);
  return out;
}

}  // namespace layeravatar::scan
