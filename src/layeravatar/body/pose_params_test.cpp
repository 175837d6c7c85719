#include "layeravatar/body/pose_params.h"

#include <gtest/gtest.h>

#include <numbers>
#include <numeric>

#include "layeravatar/core/error.h"

namespace layeravatar::body {
namespace {

TEST(PoseParams, EveryLayoutRoundTrips) {
  for (const PoseLayout layout : {PoseLayout::k175, PoseLayout::k179, PoseLayout::k189}) {
    std::vector<float> values(static_cast<std::size_t>(layout));
    std::iota(values.begin(), values.end(), 1.0F);
    EXPECT_EQ(pose_to_vector(pose_from_vector(values), layout), values);
  }
}

TEST(PoseParams, PartsLieWhereTheLayoutSays) {
  std::vector<float> values(189);
  std::iota(values.begin(), values.end(), 0.0F);
  const PoseParams a = pose_from_vector(values);
  EXPECT_EQ(a.scale, 0.0F);
  EXPECT_EQ(a.transl[0], 1.0F);
  EXPECT_EQ(a.global_orient[0], 4.0F);
  EXPECT_EQ(a.body_pose[0], 7.0F);
  EXPECT_EQ(a.betas[0], 70.0F);
  EXPECT_EQ(a.left_hand[0], 80.0F);
  EXPECT_EQ(a.right_hand[0], 125.0F);
  EXPECT_EQ(a.jaw[0], 170.0F);
  EXPECT_EQ(a.leye[0], 173.0F);
  EXPECT_EQ(a.reye[0], 176.0F);
  EXPECT_EQ(a.expression[9], 188.0F);

  const PoseParams b = pose_from_vector(std::span(values).first(179));
  EXPECT_EQ(b.left_hand[0], 66.0F);
  EXPECT_EQ(b.jaw[0], 156.0F);
  EXPECT_EQ(b.expression[0], 159.0F);
  EXPECT_EQ(b.betas[9], 178.0F);
  EXPECT_EQ(b.leye[1], 0.0F);
  EXPECT_EQ(b.transl, kCanonicalOffset);
  EXPECT_EQ(b.scale, 1.0F);

  const PoseParams c = pose_from_vector(std::span(values).first(175));
  EXPECT_EQ(c.leye[0], 159.0F);
  EXPECT_EQ(c.reye[0], 162.0F);
  EXPECT_EQ(c.betas[0], 165.0F);
  EXPECT_EQ(c.expression[5], 0.0F);
  EXPECT_EQ(c.transl, kCanonicalOffset);
}

TEST(PoseParams, OtherLengthsAreRefused) {
  try {
    pose_from_vector(std::vector<float>(180));
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_STREQ(e.what(), "SMPL-X vector has 180 numbers; expected 175, 179 or 189");
  }
}

TEST(PoseParams, DefaultPoseLowersTheArms) {
  const PoseParams p = default_viewing_pose();
  constexpr float kPi = std::numbers::pi_v<float>;
  PoseParams expected = canonical_pose();
  expected.scale = 0.0F;
  expected.body_pose[38] = -kPi / 9;
  expected.body_pose[41] = kPi / 9;
  expected.body_pose[47] = -kPi / 4;
  expected.body_pose[50] = kPi / 4;
  EXPECT_EQ(p, expected);
  // Joint j holds body_pose[3 (j - 1) ...]: the collars are joints 13 and 14, the shoulders 16 and 17.
  const auto full = full_pose(p);
  EXPECT_EQ(full[3 * 13 + 2], -kPi / 9);
  EXPECT_EQ(full[3 * 17 + 2], kPi / 4);
  EXPECT_EQ(kJointNames[13], "left_collar");
  EXPECT_EQ(kJointNames[17], "right_shoulder");
}

TEST(PoseParams, FullPosePutsTheFaceBeforeTheHands) {
  PoseParams p;
  p.jaw[0] = 1;
  p.leye[0] = 2;
  p.reye[0] = 3;
  p.left_hand[0] = 4;
  p.right_hand[44] = 5;
  const auto full = full_pose(p);
  EXPECT_EQ(full[66], 1);
  EXPECT_EQ(full[69], 2);
  EXPECT_EQ(full[72], 3);
  EXPECT_EQ(full[75], 4);
  EXPECT_EQ(full[164], 5);
}

}  // namespace
}  // namespace layeravatar::body
