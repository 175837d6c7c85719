#include "layeravatar/io/zip.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] {
    const io::ZipReader zip(std::string(bytes), "f");
    for (const std::string& name : zip.names()) fuzz::survives([&] { (void)zip.read(name); });
  });
}
