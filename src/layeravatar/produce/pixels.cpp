#include "layeravatar/produce/pixels.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "layeravatar/core/clones.h"
#include "layeravatar/core/error.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::produce {
namespace {

constexpr std::int64_t kChunk = 256;  // pixels

// Rounds 255 v, limited to 0..255: the lowest bits of the sum with 1.5 2^23 are the whole number.
inline __attribute__((always_inline)) std::uint32_t byte_of(float v) {
  const float limited = v > 0.0F ? (v < 1.0F ? v : 1.0F) : 0.0F;
  return std::bit_cast<std::uint32_t>(limited * 255.0F + 12582912.0F) & 255U;
}

LAV_CLONES void to_bytes(const float* from, std::int64_t count, std::uint8_t* to) {
  for (std::int64_t x = 0; x < count; ++x) to[x] = static_cast<std::uint8_t>(byte_of(from[x]));
}

// Three channels, `plane` numbers apart, to pixels of 4 bytes, the fourth 255.
LAV_CLONES void to_pixels(const float* from, std::int64_t plane, std::int64_t count, std::uint32_t* to) {
  for (std::int64_t x = 0; x < count; ++x)
    to[x] = byte_of(from[x]) | byte_of(from[plane + x]) << 8U | byte_of(from[2 * plane + x]) << 16U | 0xFF000000U;
}

// At most kChunk pixels of 3 or 4 bytes. `more`: other bytes follow in the picture.
void put_pixels(const float* from, std::int64_t plane, std::int64_t count, std::int64_t step, bool more, std::uint8_t* to) {
  std::uint32_t pixel[kChunk];
  to_pixels(from, plane, count, pixel);
  if (step == 4) {
    std::memcpy(to, pixel, static_cast<std::size_t>(4 * count));
    return;
  }
  const std::int64_t whole = more ? count : count - 1;  // each store's last byte is the next pixel's first
  for (std::int64_t k = 0; k < whole; ++k) std::memcpy(to + 3 * k, pixel + k, 4);
  for (std::int64_t k = whole; k < count; ++k) std::memcpy(to + 3 * k, pixel + k, 3);
}

}  // namespace

io::Image picture_row(const std::vector<torch::Tensor>& pictures, bool opaque) {
  LAV_CHECK(!pictures.empty(), "a row needs a picture");
  const std::int64_t channels = pictures[0].size(0), height = pictures[0].size(1);
  LAV_CHECK(channels == 3 || (channels == 1 && !opaque), "1 or 3 channels");
  std::vector<torch::Tensor> kept;
  std::int64_t width = 0;
  for (const torch::Tensor& p : pictures) {
    tensor::expect_shape(p, {channels, height, -1}, "picture");
    kept.push_back(p.detach().contiguous());
    width += p.size(2);
  }
  const std::int64_t step = opaque ? 4 : channels;
  io::Image out{static_cast<int>(width), static_cast<int>(height), static_cast<int>(step), {}};
  out.pixels.resize(static_cast<std::size_t>(width * height * step));
  std::int64_t left = 0;
  for (const torch::Tensor& p : kept) {
    const float* from = tensor::floats(p, "picture");
    const std::int64_t w = p.size(2);
#pragma omp parallel for schedule(static)
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < w; x += kChunk) {
        const std::int64_t count = std::min(kChunk, w - x);
        std::uint8_t* const to = out.pixels.data() + (y * width + left + x) * step;
        if (channels == 1) to_bytes(from + y * w + x, count, to);
        else put_pixels(from + y * w + x, height * w, count, step, x + count < w, to);
      }
    left += w;
  }
  return out;
}

io::Image picture(const torch::Tensor& rgb) { return picture_row({rgb}); }

}  // namespace layeravatar::produce
