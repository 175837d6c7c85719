#include "layeravatar/geometry/camera.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"

namespace layeravatar::geometry {
namespace {

// Values of spec/body_and_data.md section 17.
TEST(Camera, TrainingViewsHaveTheReleasesNamesAndMatrices) {
  const auto cameras = training_cameras(1024);
  ASSERT_EQ(cameras.size(), 54u);
  EXPECT_EQ(cameras[0].name, "000_000");
  EXPECT_EQ(cameras[3 * 17 + 1].name, "340_001");
  const double first[12] = {1, 0, 0, 0, 0, -0.921060994003, -0.389418342309, 3.894183423087,
                            0, 0.389418342309, -0.921060994003, 9.210609940029};
  const double last[12] = {0.939692620786, 0, 0.342020143326, -3.420201433257, 0, -1, 0, 0,
                           0.342020143326, 0, -0.939692620786, 9.396926207859};
  const auto a = invert_rigid(cameras[0].camera.camera_from_world);
  const auto b = invert_rigid(cameras[52].camera.camera_from_world);
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_NEAR(a[i], first[i], 1e-11) << i;
    EXPECT_NEAR(b[i], last[i], 1e-11) << i;
  }
}

TEST(Camera, ProjectsTheSpecsPoints) {
  const auto cameras = training_cameras(1024);
  const auto level = project(cameras[1].camera, {0.1, 0.35, 0});
  EXPECT_NEAR(level.x, 561.5, 1e-9);
  EXPECT_NEAR(level.y, 336.5, 1e-9);
  EXPECT_NEAR(level.depth, 10, 1e-12);
  const auto above = project(cameras[3].camera, {0.1, 0.35, 0.05});
  EXPECT_NEAR(above.x, 550.7629, 1e-4);
  EXPECT_NEAR(above.y, 362.9874, 1e-4);
  EXPECT_NEAR(above.depth, 9.788926, 1e-6);
}

// The point (0.1, 0.35, 0) of section 17, written in the axes of motions with y down and with z up.
TEST(Camera, FacesThingsInOtherAxes) {
  const Camera level = training_cameras(1024)[1].camera;
  const auto down = project(facing(level, {1, 0, 0, 0, -1, 0, 0, 0, -1}), {0.1, -0.35, 0});
  const auto up = project(facing(level, {1, 0, 0, 0, 0, 1, 0, -1, 0}), {0.1, 0, 0.35});
  for (const auto& p : {down, up}) {
    EXPECT_NEAR(p.x, 561.5, 1e-9);
    EXPECT_NEAR(p.y, 336.5, 1e-9);
    EXPECT_NEAR(p.depth, 10, 1e-12);
  }
  const Camera side = turntable_cameras(1024)[10];
  const auto c = facing(side, {1, 0, 0, 0, 0, 1, 0, -1, 0}).centre();  // world (x, y, z) is (x, -z, y) in the things' axes
  const auto w = side.centre();
  EXPECT_NEAR(c[0], w[0], 1e-12);
  EXPECT_NEAR(c[1], -w[2], 1e-12);
  EXPECT_NEAR(c[2], w[1], 1e-12);
}

TEST(Camera, TurntableStartsInFrontAndTurnsToTheSubjectsLeft) {
  const auto cameras = turntable_cameras(512);
  EXPECT_DOUBLE_EQ(cameras[0].focal, 2500);
  EXPECT_NEAR(cameras[0].centre()[2], 10, 1e-12);
  EXPECT_NEAR(cameras[9].centre()[0], 10, 1e-12);
}

TEST(Camera, ViewPermutationIsTheReleases) {
  EXPECT_EQ(view_permutation(0, 10, 10), (std::vector<std::int64_t>{4, 1, 7, 5, 3, 9, 0, 8, 6, 2}));
  const auto views = view_permutation(0, 54, 8);
  EXPECT_EQ(views, (std::vector<std::int64_t>{26, 33, 3, 36, 17, 21, 25, 51}));
  const auto cameras = training_cameras(1024);
  std::string names;
  for (const std::int64_t view : views) names += cameras[static_cast<std::size_t>(view)].name + " ";
  EXPECT_EQ(names, "160_002 220_000 020_000 240_000 100_002 140_000 160_001 340_000 ");
}

TEST(Camera, ReadsNestedAndFlatMatrices) {
  const std::string nested = R"({"cam_param": [[1,0,0,0],[0,-1,0,0],[0,0,-1,10],[0,0,0,1]]})";
  const std::string flat = R"({"cam_param": [1,0,0,0,0,-1,0,0,0,0,-1,10,0,0,0,1]})";
  EXPECT_EQ(parse_cam_param(nested, "a")[0], parse_cam_param(flat, "b")[0]);
  EXPECT_EQ(parse_cam_param(R"({"cam_param": [[1,0,0,0,0,-1,0,0,0,0,-1,10,0,0,0,1]]})", "c").size(), 1u);
}

TEST(Camera, MatricesOfAFileBecomeCamerasOfTheReleasesFocalLength) {
  const std::string front = R"({"cam_param": [[1,0,0,0],[0,-1,0,0],[0,0,-1,10],[0,0,0,1]]})";
  const Camera camera = cameras_at(parse_cam_param(front, "f"), 512).at(0);
  EXPECT_DOUBLE_EQ(camera.focal, 2500);
  EXPECT_EQ(camera.width, 512);
  const Projection p = project(camera, {0.1, 0.2, 0});  // 10 m away: 25 px right, 50 px up of the centre
  const Projection same = project(turntable_cameras(512)[0], {0.1, 0.2, 0});
  EXPECT_NEAR(p.x - project(camera, {0, 0, 0}).x, 25, 1e-9);
  EXPECT_NEAR(p.y - project(camera, {0, 0, 0}).y, -50, 1e-9);
  EXPECT_NEAR(p.depth, 10, 1e-12);
  EXPECT_NEAR(p.x, same.x, 1e-9);
  EXPECT_NEAR(p.y, same.y, 1e-9);
}

TEST(Camera, ANumberOfMatricesMayBeAskedFor) {
  const std::string two = R"({"cam_param": [[1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1], [1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1]]})";
  EXPECT_EQ(parse_cam_param(two, "cam_36.json", 2).size(), 2U);
  try {
    (void)parse_cam_param(two, "cam_36.json", 36);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_STREQ(e.what(), "cam_36.json: expected 36 cameras, found 2");
  }
}

TEST(Camera, TurntableIsTheReleasesDemoFile) {  // spec/body_and_data.md section 13.1
  const char* const folder = std::getenv("LAYERAVATAR_OFFICIAL_DEMO");
  if (folder == nullptr) GTEST_SKIP() << "set LAYERAVATAR_OFFICIAL_DEMO to the folder demo/ of the public code (not in the repository)";
  const std::string file = std::string(folder) + "/cam_36.json";
  const auto found = cameras_at(parse_cam_param(read_file(file), file, 36), 1024), ours = turntable_cameras(1024);
  for (std::size_t i = 0; i < 36; ++i)
    for (std::size_t k = 0; k < 16; ++k)
      EXPECT_NEAR(found[i].camera_from_world[k], ours[i].camera_from_world[k], 1e-12) << i << " " << k;
}

TEST(Camera, RejectsMalformedFilesWithOneClearLine) {
  const auto message = [](const std::string& text) {
    try {
      (void)parse_cam_param(text, "f.json");
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(message("{}"), "f.json: 'cam_param' is missing");
  EXPECT_EQ(message("{").rfind("f.json: line 1, column 2: syntax error", 0), 0U) << message("{");
  EXPECT_EQ(message(R"({"cam_param": [1,2]})"), "f.json: 'cam_param': expected 4x4, found array of 2");
  EXPECT_EQ(message(R"({"cam_param": [2,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1]})"),
            "f.json: 'cam_param': rotation is not orthonormal (error 3)");
  EXPECT_EQ(message(R"({"cam_param": [1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,2]})"),
            "f.json: 'cam_param': last row is not 0 0 0 1");
  EXPECT_NE(message(R"({"cam_param": ["x",0,0,0,0,1,0,0,0,0,1,0,0,0,0,1]})").find("expected 4x4"), std::string::npos);
}

}  // namespace
}  // namespace layeravatar::geometry
