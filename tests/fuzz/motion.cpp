// Motions: the bytes as an archive or a pickle, each taken as either kind.
#include "layeravatar/body/motion_file.h"

#include <cmath>
#include <string>

#include "pickle_checks.h"

using namespace layeravatar;

namespace {

void check(const body::ArraySource& arrays) {
  for (const auto kind : {body::MotionKind::kXAvatar, body::MotionKind::kAmass})
    fuzz::survives([&] {
      const body::Motion motion = body::motion_from(arrays, kind, {.with_translation = kind == body::MotionKind::kAmass});
      fuzz::require(!motion.frames.empty(), "a motion without frames");
      fuzz::require(static_cast<std::int64_t>(motion.frames.size()) <= motion.frames_in_file, "more frames than the file has");
      for (const float v : motion.frames.back().body_pose) fuzz::require(std::isfinite(v), "a pose that is not finite");
      fuzz::require(motion.rate >= 0 && std::isfinite(motion.rate), "a rate that is no number");
    });
}

}  // namespace

LAV_FUZZ_TARGET(bytes) {
  if (bytes.starts_with("PK")) fuzz::survives([&] { check(body::NpzSource(io::NpzReader(io::ZipReader(std::string(bytes), "f")))); });
  else fuzz::survives([&] { check(body::PickleSource(io::parse_pickle(bytes, "f", {fuzz::small_limits(), 0, false, {}}), "f")); });
}
