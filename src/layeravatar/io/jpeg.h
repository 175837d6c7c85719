// Eight-bit JPEG pictures.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "layeravatar/io/png.h"

namespace layeravatar::io {

/// Sequential or progressive, Huffman coded; 1 channel for grey, 3 for colour. Exif rotation and colour profile are not
/// applied. Throws Error(kInput): "<file>: not a JPEG file", "<file>: JPEG colours are CMYK, expected grey or RGB",
/// "<file>: corrupt JPEG: <reason>", also where libjpeg would guess the pixels that a damaged or cut file lacks.
Image parse_jpeg(std::string_view bytes, const std::string& file);
Image read_jpeg(const std::filesystem::path& path);

/// 1 or 3 channels, sides of at most 65500; `quality` from 1 to 100. Colour differences are stored at half the size.
std::string format_jpeg(const Image& image, int quality = 90);
void write_jpeg(const std::filesystem::path& path, const Image& image, int quality = 90);

}  // namespace layeravatar::io
