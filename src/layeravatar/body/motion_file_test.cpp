#include "layeravatar/body/motion_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <numbers>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/pickle_for_test.h"

namespace layeravatar::body {
namespace {

// Element (f, c) of an array is start + f + c / 100, so that each says where it stood.
io::Array numbered(std::int64_t frames, std::int64_t columns, double start) {
  io::Array out = io::make_array(io::DType::kF64, {frames, columns});
  for (std::int64_t f = 0; f < frames; ++f)
    for (std::int64_t c = 0; c < columns; ++c)
      out.at<double>()[static_cast<std::size_t>(f * columns + c)] = start + static_cast<double>(f) + static_cast<double>(c) / 100;
  return out;
}

io::ArrayMap x_avatar(std::int64_t n) {
  return {{"body_pose", numbered(n, 72, 0)},
          {"left_hand_pose", numbered(n, 45, 1000)},
          {"right_hand_pose", numbered(n, 45, 2000)},
          {"jaw_pose", numbered(n, 3, 3000)},
          {"expression", numbered(n, 10, 4000)}};
}

io::ArrayMap amass(std::int64_t n) {
  return {{"poses", numbered(n, 165, 0)},      {"pose_body", numbered(n, 63, 1000)}, {"pose_hand", numbered(n, 90, 2000)},
          {"pose_jaw", numbered(n, 3, 3000)}, {"pose_eye", numbered(n, 6, 4000)},   {"trans", numbered(n, 3, 50)}};
}

PickleSource source(const io::ArrayMap& arrays) { return {io::parse_pickle(io::pickled(arrays), "m"), "m"}; }

Motion read(const io::ArrayMap& arrays, MotionKind kind, const MotionOptions& options = {}) { return motion_from(source(arrays), kind, options); }

std::string message(const io::ArrayMap& arrays, MotionKind kind, const MotionOptions& options = {}, ErrorKind expected = ErrorKind::kInput) {
  try {
    (void)read(arrays, kind, options);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), expected) << e.what();
    return e.what();
  }
  return "accepted";
}

TEST(MotionFile, XAvatarFramesAreTheirVectors) {
  const Motion m = read(x_avatar(3), MotionKind::kXAvatar);
  ASSERT_EQ(m.frames.size(), 3U);
  EXPECT_EQ(m.frames_in_file, 3);
  const PoseParams& p = m.frames[2];
  EXPECT_FLOAT_EQ(p.global_orient[1], 2.01F);
  EXPECT_FLOAT_EQ(p.body_pose[0], 2.03F);
  EXPECT_FLOAT_EQ(p.body_pose[62], 2.65F);  // columns 66 to 71 are dropped
  EXPECT_FLOAT_EQ(p.left_hand[0], 1002.00F);
  EXPECT_FLOAT_EQ(p.left_hand[44], 1002.44F);
  EXPECT_FLOAT_EQ(p.right_hand[0], 2002.00F);
  EXPECT_FLOAT_EQ(p.jaw[2], 3002.02F);
  EXPECT_FLOAT_EQ(p.expression[9], 4002.09F);
  EXPECT_EQ(p.leye, (std::array<float, 3>{}));
  EXPECT_EQ(p.betas, (std::array<float, 10>{}));
  EXPECT_EQ(p.transl, kCanonicalOffset);
  EXPECT_EQ(m.rate, 0);
}

TEST(MotionFile, AmassTakesEveryEighthFrame) {
  io::ArrayMap arrays = amass(18);
  arrays["mocap_frame_rate"] = io::make_array<double>({}, std::vector<double>{120});
  const Motion m = read(arrays, MotionKind::kAmass);
  ASSERT_EQ(m.frames.size(), 3U);  // 0, 8, 16
  const PoseParams& p = m.frames[2];
  EXPECT_FLOAT_EQ(p.global_orient[2], 16.02F);
  EXPECT_FLOAT_EQ(p.body_pose[62], 1016.62F);
  EXPECT_FLOAT_EQ(p.left_hand[44], 2016.44F);
  EXPECT_FLOAT_EQ(p.right_hand[0], 2016.45F);
  EXPECT_FLOAT_EQ(p.jaw[0], 3016.00F);
  EXPECT_FLOAT_EQ(p.leye[0], 4016.00F);
  EXPECT_FLOAT_EQ(p.reye[0], 4016.03F);
  EXPECT_EQ(p.expression, (std::array<float, 10>{}));
  EXPECT_EQ(p.transl, kCanonicalOffset);
  EXPECT_DOUBLE_EQ(m.rate, 15);
}

TEST(MotionFile, ChosenFrames) {
  const auto roots = [](std::int64_t n, MotionOptions options) {
    std::vector<float> out;
    for (const PoseParams& p : read(x_avatar(n), MotionKind::kXAvatar, options).frames) out.push_back(p.global_orient[0]);
    return out;
  };
  EXPECT_EQ(roots(1, {}), (std::vector<float>{0}));
  EXPECT_EQ(roots(10, {.start = 2, .frames = 3, .stride = 3}), (std::vector<float>{2, 5, 8}));
  EXPECT_EQ(roots(9, {.start = 2, .frames = 3, .stride = 3}), (std::vector<float>{2, 5, 8}));
  EXPECT_EQ(roots(9, {.start = 7}), (std::vector<float>{7, 8}));
  EXPECT_EQ(message(x_avatar(8), MotionKind::kXAvatar, {.start = 2, .frames = 3, .stride = 3}, ErrorKind::kConfig), "m: 3 frames from 2 by 3, but there are 8 from 0");
  EXPECT_EQ(message(x_avatar(8), MotionKind::kXAvatar, {.start = 8}, ErrorKind::kConfig), "m: 0 frames from 8 by 1, but there are 8 from 0");
  EXPECT_EQ(message(x_avatar(8), MotionKind::kXAvatar, {.frames = std::numeric_limits<std::int64_t>::max(), .stride = std::numeric_limits<std::int64_t>::max()}, ErrorKind::kConfig),
            "m: 9223372036854775807 frames from 0 by 9223372036854775807, but there are 8 from 0");
}

TEST(MotionFile, TheTranslationStartsWithTheFirstFrameTaken) {
  const Motion m = read(amass(20), MotionKind::kAmass, {.start = 3, .with_translation = true});
  EXPECT_EQ(m.frames[0].transl, kCanonicalOffset);
  EXPECT_FLOAT_EQ(m.frames[1].transl[0], 8.0F);
  EXPECT_FLOAT_EQ(m.frames[1].transl[1], 8.35F);
  io::ArrayMap arrays = x_avatar(4);
  EXPECT_EQ(message(arrays, MotionKind::kXAvatar, {.with_translation = true}), "m: 'trans' is missing; the motion cannot be shown with its translation");
  arrays["transl"] = numbered(4, 3, 0);
  EXPECT_FLOAT_EQ(read(arrays, MotionKind::kXAvatar, {.with_translation = true}).frames[3].transl[2], 3.0F);
  arrays["transl"] = numbered(3, 3, 0);
  EXPECT_EQ(message(arrays, MotionKind::kXAvatar, {.with_translation = true}), "m: 'transl' has 3 frames, 'body_pose' has 4");
}

TEST(MotionFile, RelativeHandsGetTheMeanHandOfTheModel) {
  const std::string smplx = LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz";
  const io::NpzReader file(smplx);
  const auto left = io::to_floats(file.read("hands_meanl")), right = io::to_floats(file.read("hands_meanr"));
  const HandPca hands = read_hand_pca(smplx);
  const Motion m = read(x_avatar(1), MotionKind::kXAvatar, {.hands = &hands});
  EXPECT_FLOAT_EQ(m.frames[0].left_hand[7], 1000.07F + left[7]);
  EXPECT_FLOAT_EQ(m.frames[0].right_hand[44], 2000.44F + right[44]);
  EXPECT_NE(left[7], right[7]);
}

TEST(MotionFile, MotionsStandUprightInTheWorld) {
  const auto world = [](MotionKind kind, std::array<double, 3> v) {
    const auto& r = world_from_motion(kind);
    std::array<double, 3> out{};
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t k = 0; k < 3; ++k) out[i] += r[3 * i + k] * v[k];
    return out;
  };
  const std::array<double, 3> up = {0, 1, 0};
  EXPECT_EQ(world(MotionKind::kXAvatar, {0, -1, 0}), up);
  EXPECT_EQ(world(MotionKind::kXAvatar, {0, 0, -1}), (std::array<double, 3>{0, 0, 1}));  // towards the viewer
  EXPECT_EQ(world(MotionKind::kAmass, {0, 0, 1}), up);
  EXPECT_EQ(world(MotionKind::kAmass, {0, -1, 0}), (std::array<double, 3>{0, 0, 1}));
}

TEST(MotionFile, MessagesOfPickles) {
  const auto with = [](const char* key, io::Array array) {
    io::ArrayMap arrays = x_avatar(4);
    arrays[key] = std::move(array);
    return message(arrays, MotionKind::kXAvatar);
  };
  io::ArrayMap arrays = x_avatar(4);
  arrays.erase("body_pose");
  EXPECT_EQ(message(arrays, MotionKind::kXAvatar), "m: 'body_pose' is missing");
  EXPECT_EQ(with("body_pose", numbered(4, 63, 0)), "m: 'body_pose' has 63 columns; expected 72");
  EXPECT_EQ(with("jaw_pose", numbered(3, 3, 0)), "m: 'jaw_pose' has 3 frames, 'body_pose' has 4");
  EXPECT_EQ(with("jaw_pose", io::make_array(io::DType::kF32, {12})), "m: 'jaw_pose' has the shape (12,); expected (n, 3)");
  EXPECT_EQ(with("expression", numbered(4, 10, std::nan(""))), "m: 'expression' contains non-finite numbers");
  EXPECT_EQ(message(x_avatar(0), MotionKind::kXAvatar), "m: 'body_pose' has no frames");
  EXPECT_THROW(PickleSource(io::parse_pickle(io::pickled("N"), "m"), "m"), Error);
}

TEST(MotionFile, MessagesOfAmass) {
  io::ArrayMap arrays = amass(4);
  arrays["poses"] = numbered(4, 2, 0);
  EXPECT_EQ(message(arrays, MotionKind::kAmass), "m: 'poses' has 2 columns; expected at least 3");
  arrays = amass(4);
  arrays.erase("pose_jaw");
  EXPECT_EQ(message(arrays, MotionKind::kAmass), "m: 'pose_jaw' is missing; is this an SMPL+H file? SMPL-X (stageii) is needed");
}

TEST(MotionFile, TheKindFollowsFromFileAndName) {
  const auto folder = std::filesystem::temp_directory_path() / ("lav_motion_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  io::write_npz(folder / "walk_stageii.npz", amass(9), {});
  io::write_npz(folder / "walk.npz", amass(9), {});
  write_file(folder / "walk.pkl", io::pickled(x_avatar(9)));
  write_file(folder / "walk_stageii.pkl", io::pickled(amass(9)));
  const Motion known = read_motion(folder / "walk_stageii.npz");
  EXPECT_EQ(known.kind, MotionKind::kAmass);
  EXPECT_TRUE(known.warnings.empty());
  EXPECT_EQ(read_motion(folder / "walk.npz").warnings, (std::vector<std::string>{"file name does not contain 'stageii'; treated as AMASS because it is an npz"}));
  EXPECT_EQ(read_motion(folder / "walk.pkl").kind, MotionKind::kXAvatar);
  EXPECT_EQ(read_motion(folder / "walk_stageii.pkl").frames.size(), 2U);
  std::filesystem::remove_all(folder);
}

TEST(MotionFile, TheReleasesMotion) {
  const char* demo = std::getenv("LAYERAVATAR_OFFICIAL_DEMO");
  if (demo == nullptr) GTEST_SKIP() << "LAYERAVATAR_OFFICIAL_DEMO names no folder";
  const Motion m = read_motion(std::filesystem::path(demo) / "ani/emotion_smoothed.pkl");
  EXPECT_EQ(m.kind, MotionKind::kXAvatar);
  ASSERT_EQ(m.frames.size(), 335U);
  for (const PoseParams& p : m.frames) EXPECT_NEAR(std::abs(p.global_orient[0]), std::numbers::pi, 0.3);  // near pi about x
}

}  // namespace
}  // namespace layeravatar::body
