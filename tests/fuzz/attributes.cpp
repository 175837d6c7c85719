#include "layeravatar/io/attributes.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] {
    const auto people = io::parse_attributes(std::string(bytes), "f");
    fuzz::require(io::parse_attributes(io::format_attributes(people), "again") == people, "not the same attributes");
  });
}
