#include "layeravatar/io/npy.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] {
    const io::NpzReader npz(io::ZipReader(std::string(bytes), "f"));
    for (const std::string& name : npz.names()) fuzz::survives([&] { (void)npz.read(name); });
  });
}
