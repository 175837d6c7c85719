// Eight-bit PNG pictures.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace layeravatar::io {

/// Rows from the top, channels interleaved (1 grey, 3 RGB, 4 RGBA with straight alpha), values 0..255 as stored.
struct Image {
  int width = 0;
  int height = 0;
  int channels = 0;
  std::vector<std::uint8_t> pixels;  // height * width * channels
};

/// Palettes become RGB, transparency becomes alpha, grey with alpha becomes RGBA, 16 bits are scaled to 8; no gamma is
/// applied. Throws Error(kInput): "<file>: not a PNG file", "<file>: corrupt PNG: <reason>".
Image parse_png(std::string_view bytes, const std::string& file);
Image read_png(const std::filesystem::path& path);

/// `level` is zlib's, 0 (fast) to 9 (small), reached by libdeflate, which takes a third of zlib's time at equal size.
std::string format_png(const Image& image, int level = 6);
void write_png(const std::filesystem::path& path, const Image& image, int level = 6);

}  // namespace layeravatar::io
