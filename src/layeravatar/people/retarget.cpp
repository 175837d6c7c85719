#include "layeravatar/people/retarget.h"

#include <fmt/format.h>

#include <string_view>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/core/error.h"
#include "layeravatar/people/rotation.h"

namespace layeravatar::people {
namespace {

// SMPL-X joints 0 to 21; the others follow their parents.
constexpr std::array<std::string_view, 22> kSources = {
    "Hips",      "LeftUpLeg", "RightUpLeg",  "LowerBack",    "LeftLeg",  "RightLeg",     "Spine",         "LeftFoot",
    "RightFoot", "Spine1",    "LeftToeBase", "RightToeBase", "Neck",     "LeftShoulder", "RightShoulder", "Head",
    "LeftArm",   "RightArm",  "LeftForeArm", "RightForeArm", "LeftHand", "RightHand"};

std::vector<Matrix3> world_rotations(const io::Bvh& motion, std::int64_t frame) {
  std::vector<Matrix3> out;
  for (std::size_t j = 0; j < motion.joints.size(); ++j) {
    const Matrix3 local = io::bvh_local_rotation(motion, frame, static_cast<std::int64_t>(j));
    const auto parent = motion.joints[j].parent;
    out.push_back(parent < 0 ? local : multiply(out[static_cast<std::size_t>(parent)], local));
  }
  return out;
}

}  // namespace

std::vector<body::PoseParams> retarget(const io::Bvh& motion, std::int64_t first, std::int64_t end, std::int64_t step) {
  std::array<std::size_t, kSources.size()> source{};
  for (std::size_t j = 0; j < kSources.size(); ++j) {
    const auto found = motion.find(kSources[j]);
    if (found < 0)
      throw Error(ErrorKind::kInput, fmt::format("{}: no joint '{}'; expected the joint names of the CMU skeleton",
                                                 motion.file, kSources[j]));
    source[j] = static_cast<std::size_t>(found);
  }
  if (end < 0) end = motion.frame_count();
  if (first < 0 || step < 1 || first >= end || end > motion.frame_count())
    throw Error(ErrorKind::kConfig, fmt::format("{}: frames {} to {} by {}, must lie in 0 to {}", motion.file, first,
                                                end, step, motion.frame_count()));
  const auto rest = world_rotations(motion, 0);
  std::vector<body::PoseParams> out;
  for (std::int64_t f = first; f < end; f += step) {
    const auto now = world_rotations(motion, f);
    std::array<Matrix3, body::kJoints> world{};
    for (std::size_t j = 0; j < world.size(); ++j)
      world[j] = j < source.size() ? multiply(now[source[j]], transpose(rest[source[j]]))
                                   : world[static_cast<std::size_t>(body::kExpectedParents[j])];
    out.push_back(pose_of_world_rotations(world));
  }
  return out;
}

}  // namespace layeravatar::people
