#include "layeravatar/io/jpeg.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] {
    const io::Image image = io::parse_jpeg(bytes, "f");
    fuzz::require(image.channels == 1 || image.channels == 3, "channels");
    fuzz::require(image.pixels.size() == static_cast<std::size_t>(image.width) * image.height * image.channels, "pixels");
  });
}
