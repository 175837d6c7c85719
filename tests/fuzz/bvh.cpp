#include "layeravatar/io/bvh.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] {
    const io::Bvh motion = io::parse_bvh(bytes, "f");
    fuzz::require(motion.frame_count() > 0 && static_cast<std::int64_t>(motion.values.size()) == motion.frame_count() * motion.channel_count,
                  "frames are not whole");
    for (std::int64_t j = 0; j < static_cast<std::int64_t>(motion.joints.size()); ++j) {
      fuzz::require(motion.joints[static_cast<std::size_t>(j)].parent < j, "a joint before its parent");
      (void)io::bvh_local_rotation(motion, motion.frame_count() - 1, j);
      (void)io::bvh_local_position(motion, motion.frame_count() - 1, j);
    }
  });
}
