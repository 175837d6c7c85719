#include "pickle_checks.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  const io::PickleLimits limits = fuzz::small_limits();
  fuzz::check_pickle(limits, [&] { return io::parse_pickle(bytes, "f", {limits, 0, false, {}}); });
}
