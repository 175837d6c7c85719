#include "layeravatar/people/retarget.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <numbers>

#include "layeravatar/core/error.h"
#include "layeravatar/people/package_for_test.h"
#include "layeravatar/people/pose_library.h"
#include "layeravatar/people/rotation.h"

namespace layeravatar::people {
namespace {

// All CMU joints below one another in the order of the body, each with one channel set Z Y X.
io::Bvh skeleton(const std::vector<std::map<std::string, std::array<float, 3>>>& frames) {
  const std::vector<std::pair<const char*, int>> tree{
      {"Hips", -1},         {"LeftUpLeg", 0},    {"LeftLeg", 1},   {"LeftFoot", 2},       {"LeftToeBase", 3},
      {"RightUpLeg", 0},    {"RightLeg", 5},     {"RightFoot", 6}, {"RightToeBase", 7},   {"LowerBack", 0},
      {"Spine", 9},         {"Spine1", 10},      {"Neck", 11},     {"Head", 12},          {"LeftShoulder", 11},
      {"LeftArm", 14},      {"LeftForeArm", 15}, {"LeftHand", 16}, {"RightShoulder", 11}, {"RightArm", 18},
      {"RightForeArm", 19}, {"RightHand", 20}};
  io::Bvh out;
  out.file = "m.bvh";
  out.frame_time = 1;
  for (const auto& [name, parent] : tree) {
    io::BvhJoint joint;
    joint.name = name;
    joint.parent = parent;
    joint.channels = {io::BvhChannel::kZRotation, io::BvhChannel::kYRotation, io::BvhChannel::kXRotation};
    joint.first_channel = out.channel_count;
    out.channel_count += 3;
    out.joints.push_back(joint);
  }
  for (const auto& frame : frames)
    for (const auto& joint : out.joints) {
      const auto at = frame.find(joint.name);
      for (std::size_t k = 0; k < 3; ++k) out.values.push_back(at == frame.end() ? 0.0F : at->second[k]);
    }
  return out;
}

TEST(Retarget, LocalTurnsMoveOver) {
  const auto poses = retarget(skeleton({{}, {{"LeftForeArm", {0, -90, 0}}, {"Hips", {0, 45, 0}}}}));
  ASSERT_EQ(poses.size(), 2U);
  EXPECT_EQ(poses[0], body::canonical_pose());
  constexpr double kQuarter = std::numbers::pi / 4;
  EXPECT_NEAR(poses[1].global_orient[1], kQuarter, 1e-6);
  EXPECT_NEAR(poses[1].body_pose[3 * 17 + 1], -2 * kQuarter, 1e-6);  // joint 18, left elbow
  EXPECT_NEAR(poses[1].body_pose[3 * 17], 0, 1e-6);
  EXPECT_NEAR(poses[1].body_pose[3 * 19 + 1], 0, 1e-6);  // the wrist follows its parent
}

TEST(Retarget, FrameZeroIsTheRestPoseWhateverItsAngles) {
  // Upper leg turned by 20 degrees about z at rest: R(f) R(0)^T, so frame 1 equals rest and frame 2 adds 30 degrees
  // about the world's z.
  const std::map<std::string, std::array<float, 3>> rest{{"LeftUpLeg", {20, 0, 0}}};
  const auto poses = retarget(skeleton({rest, rest, {{"LeftUpLeg", {50, 0, 0}}}}), 1, 3);
  ASSERT_EQ(poses.size(), 2U);
  EXPECT_NEAR(poses[0].body_pose[2], 0, 1e-6);
  EXPECT_NEAR(poses[1].body_pose[2], 30 * std::numbers::pi / 180, 1e-6);
  // 20 degrees about z at rest, then an outer turn of the hips by 90 about y: W = Ry Rz Rz^T = Ry for both.
  const auto turned = retarget(skeleton({rest, {{"LeftUpLeg", {20, 0, 0}}, {"Hips", {0, 90, 0}}}}));
  for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(turned[1].body_pose[k], 0, 1e-6) << k;
}

TEST(Retarget, SaysWhatIsMissing) {
  io::Bvh motion = skeleton({{}, {}});
  EXPECT_THROW((void)retarget(motion, 2), Error);
  EXPECT_THROW((void)retarget(motion, 0, 3), Error);
  EXPECT_THROW((void)retarget(motion, 0, 2, 0), Error);
  motion.joints[13].name = "Skull";
  try {
    (void)retarget(motion);
    ADD_FAILURE() << "accepted a skeleton without a head";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_STREQ(e.what(), "m.bvh: no joint 'Head'; expected the joint names of the CMU skeleton");
  }
}

// Debian's assimp-testmodels, where installed: a man who jumps forwards, stands and turns.
TEST(Retarget, AMotionOfCmuStandsOnItsFeet) {
  const std::filesystem::path file = "/usr/share/assimp/models/BVH/01_01.bvh";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not installed (assimp-testmodels)";
  const auto motion = io::read_bvh(file);
  ASSERT_EQ(motion.frame_count(), 2752);
  const auto poses = retarget(motion, 0, -1, 100);
  ASSERT_EQ(poses.size(), 28U);
  int upright = 0;
  for (const auto& pose : poses) upright += is_upright(body_for_test().model, pose) ? 1 : 0;
  EXPECT_GT(upright, 10);
  for (const float x : poses[0].body_pose) EXPECT_NEAR(x, 0, 1e-6);
}

}  // namespace
}  // namespace layeravatar::people
