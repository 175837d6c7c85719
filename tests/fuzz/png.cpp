// As it is, and with the chunks' checksums put right, which the fuzzer would not guess.
#include "layeravatar/io/png.h"

#include <zlib.h>

#include <string>

#include "target.h"

using namespace layeravatar;

namespace {

std::uint32_t big_endian(std::string_view bytes, std::size_t pos) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<std::uint8_t>(bytes[pos + i]);
  return value;
}

std::string with_checksums(std::string_view bytes) {
  constexpr std::size_t kSignature = 8, kAround = 12;  // length, type and checksum
  std::string out(bytes);
  for (std::size_t pos = kSignature; pos + kAround <= out.size();) {
    const std::size_t length = big_endian(out, pos);
    if (length > out.size() - pos - kAround) break;
    const auto crc = crc32(0, reinterpret_cast<const Bytef*>(out.data() + pos + 4), static_cast<uInt>(length + 4));
    for (std::size_t i = 0; i < 4; ++i) out[pos + 8 + length + i] = static_cast<char>(crc >> (24 - 8 * i));
    pos += kAround + length;
  }
  return out;
}

void read(std::string_view bytes) {
  fuzz::survives([&] {
    const io::Image image = io::parse_png(bytes, "f");
    fuzz::require(image.channels == 1 || image.channels == 3 || image.channels == 4, "channels");
    fuzz::require(image.pixels.size() == static_cast<std::size_t>(image.width) * image.height * image.channels, "pixels");
  });
}

}  // namespace

LAV_FUZZ_TARGET(bytes) {
  read(bytes);
  if (const std::string good = with_checksums(bytes); good != bytes) read(good);
}
