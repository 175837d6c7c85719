#include "layeravatar/io/bvh.h"

#include <gtest/gtest.h>

#include "layeravatar/io/support_test.h"

namespace layeravatar::io {
namespace {

const std::string kTwoJoints =  // 19 lines
    "HIERARCHY\r\nROOT Hips\n{\n  OFFSET 1 2 3\n  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation "
    "Xrotation\n"
    "  JOINT Arm\n  {\n    OFFSET +0 .5 -1e-1\n    CHANNELS 3 Xrotation Zrotation Yrotation\n    End Site\n    {\n"
    "      OFFSET 0 1 0\n    }\n  }\n}\nMOTION\nFrames: 2\nFrame Time: .25\n"
    "7 8 9 90 0 0  0 0 0\n0 0 0 0 0 0 90 90 0\n";

std::string bvh_with(const std::string& from, const std::string& to) {
  std::string text = kTwoJoints;
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string bvh_error(const std::string& text) {
  return input_error([&] { (void)parse_bvh(text, "m.bvh"); });
}

void expect_rows(const std::array<double, 9>& found, const std::array<double, 9>& wanted) {
  for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(found[i], wanted[i], 1e-12) << i;
}

TEST(Bvh, ReadsTheSkeletonAndItsFrames) {
  const Bvh m = parse_bvh(kTwoJoints, "m.bvh");
  ASSERT_EQ(m.joints.size(), 2U);
  EXPECT_EQ(m.frame_count(), 2);
  EXPECT_EQ(m.channel_count, 9);
  EXPECT_DOUBLE_EQ(m.frame_time, 0.25);
  EXPECT_EQ(m.joints[1].parent, 0);
  EXPECT_EQ(m.joints[1].offset, (std::array<double, 3>{0, 0.5, -0.1}));
  EXPECT_EQ(m.joints[1].first_channel, 6);
  EXPECT_EQ(m.joints[1].end_site, (std::array<double, 3>{0, 1, 0}));
  EXPECT_EQ(m.find("Arm"), 1);
  EXPECT_EQ(m.find("Leg"), -1);
  EXPECT_EQ(bvh_local_position(m, 0, 0), (std::array<double, 3>{7, 8, 9}));
  EXPECT_EQ(bvh_local_position(m, 0, 1), m.joints[1].offset);
}

TEST(Bvh, RotationsMultiplyInTheOrderOfTheFile) {
  const Bvh m = parse_bvh(kTwoJoints, "m.bvh");
  expect_rows(bvh_local_rotation(m, 0, 0), {0, -1, 0, 1, 0, 0, 0, 0, 1});  // 90 degrees about z: x goes to y
  // Rx(90) Rz(90): x -> y -> z, y -> -x -> -x, z -> z -> -y.
  expect_rows(bvh_local_rotation(m, 1, 1), {0, -1, 0, 0, 0, -1, 1, 0, 0});
}

TEST(Bvh, SaysWhichLineIsWrong) {
  EXPECT_EQ(bvh_error(""), "m.bvh: line 1: expected 'HIERARCHY', found the end of the file");
  EXPECT_EQ(bvh_error(bvh_with("    CHANNELS 3 Xrotation Zrotation Yrotation\n", "")),
            "m.bvh: line 9: joint 'Arm': CHANNELS are missing; found 'End'");
  EXPECT_EQ(bvh_error(bvh_with("CHANNELS 3", "CHANNELS 7")),
            "m.bvh: line 9: CHANNELS: expected a number of 0..6, found '7'");
  EXPECT_EQ(bvh_error(bvh_with("CHANNELS 3 Xr", "CHANNELS 3 Wr")),
            "m.bvh: line 9: joint 'Arm': unknown channel 'Wrotation'");
  EXPECT_EQ(bvh_error(bvh_with("Zrotation Yrotation\n", "Xrotation Yrotation\n")),
            "m.bvh: line 9: joint 'Arm': channel 'Xrotation' twice");
  EXPECT_EQ(bvh_error(bvh_with("JOINT Arm", "JOINT Hips")), "m.bvh: line 6: joint 'Hips' twice");
  EXPECT_EQ(bvh_error(bvh_with(".5", "x")), "m.bvh: line 8: OFFSET: expected a number, found 'x'");
  EXPECT_EQ(bvh_error(bvh_with(".5", "nan")), "m.bvh: line 8: OFFSET: 'nan' is out of range");
  EXPECT_EQ(bvh_error(bvh_with("}\nMOTION", "MOTION")),
            "m.bvh: line 15: expected 'JOINT', 'End Site' or '}', found 'MOTION'");
  EXPECT_EQ(bvh_error(bvh_with("Frames: 2", "Frames: -2")),
            "m.bvh: line 17: Frames: expected a positive number, found '-2'");
  EXPECT_EQ(bvh_error(bvh_with(".25", "0")), "m.bvh: line 18: Frame Time: expected a positive number");
  EXPECT_EQ(bvh_error(bvh_with("Frames: 2", "Frames: 3")), "m.bvh: line 21: truncated; expected 3 frames, found 2");
  EXPECT_EQ(bvh_error(bvh_with("Frames: 2", "Frames: 9000000000000")),
            "m.bvh: line 21: truncated; expected 9000000000000 frames, found 2");
  EXPECT_EQ(bvh_error(bvh_with("90 90 0\n", "90 90\n")), "m.bvh: line 20: frame 1: expected 9 numbers, found 8");
  EXPECT_EQ(bvh_error(bvh_with("90 90 0\n", "90 90 0 5\n")),
            "m.bvh: line 20: frame 1: expected 9 numbers, found more: '5'");
  EXPECT_EQ(bvh_error(kTwoJoints + "\n1"), "m.bvh: line 22: expected the end of the file after 2 frames, found '1'");
  for (std::size_t cut = 0; cut + 2 < kTwoJoints.size(); ++cut)
    EXPECT_FALSE(bvh_error(kTwoJoints.substr(0, cut)).empty()) << cut;
}

TEST(Bvh, DepthIsBounded) {
  std::string text = "HIERARCHY\nROOT j\n{ OFFSET 0 0 0 CHANNELS 0\n";
  for (int i = 0; i < 5000; ++i) text += "JOINT j" + std::to_string(i) + " { OFFSET 0 0 0 CHANNELS 1 Xrotation\n";
  EXPECT_NE(bvh_error(text).find("more than 4096 joints"), std::string::npos);
}

}  // namespace
}  // namespace layeravatar::io
