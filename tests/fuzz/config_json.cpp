#include "config_checks.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::check_settings([&](train::TrainConfig& config) { train::apply_json(config, std::string(bytes), "f"); });
}
