#include "layeravatar/avatar/pack_config.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] {
    const auto config = avatar::PackConfig::from_json(std::string(bytes), "f");
    const std::string text = config.to_json();
    fuzz::require(avatar::PackConfig::from_json(text, "again").to_json() == text, "not the same settings");
  });
}
