#include "layeravatar/io/obj.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] {
    for (const auto& material : io::parse_mtl(bytes, "f")) fuzz::require(!material.name.empty(), "a material without a name");
  });
}
