#include "layeravatar/people/cc0_body.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/body/smplx_file.h"
#include "layeravatar/people/person.h"

namespace layeravatar::people {
namespace {

using body::kJoints;

// Built once: the real package's body takes some seconds.
class Cc0BodyOfThePackage : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (const char* folder = std::getenv("LAV_MAKEHUMAN_DIR"); folder != nullptr) {
      package = folder;
      assets = new HumanAssets(read_human_assets(package));
      built = new Cc0Body(build_cc0_body(*assets, package, 60));
    }
  }
  static void TearDownTestSuite() {
    delete built;
    delete assets;
  }
  void SetUp() override {
    if (built == nullptr) GTEST_SKIP() << "LAV_MAKEHUMAN_DIR names no unpacked npm package";
  }
  static std::array<float, 3> joint(const body::PosedBody& b, int j) {
    const auto at = static_cast<std::size_t>(3 * j);
    return {b.joints[at], b.joints[at + 1], b.joints[at + 2]};
  }
  static inline std::filesystem::path package;
  static inline HumanAssets* assets = nullptr;
  static inline Cc0Body* built = nullptr;
};

TEST_F(Cc0BodyOfThePackage, IsATPosedAdultAboutTheOrigin) {
  EXPECT_EQ(built->model.vertex_count(), 13380 + 144 + 55);
  EXPECT_EQ(built->model.face_count(), 27036);
  const auto b = body::pose(built->model, body::canonical_pose());
  for (int k = 0; k < 3; ++k) EXPECT_NEAR(joint(b, 0)[static_cast<std::size_t>(k)], 0, 1e-4);
  float low = 9, high = -9;
  for (std::size_t v = 1; v < b.vertices.size(); v += 3) low = std::min(low, b.vertices[v]), high = std::max(high, b.vertices[v]);
  EXPECT_GT(high - low, 1.5F);
  EXPECT_LT(high - low, 1.85F);
  for (const int side : {16, 17}) {  // shoulder to wrist along x within two or three degrees
    const auto shoulder = joint(b, side), wrist = joint(b, side + 4);
    const double dx = std::abs(wrist[0] - shoulder[0]);
    EXPECT_EQ(wrist[0] > 0, side == 16) << "left is +x";
    EXPECT_LT(std::abs(wrist[1] - shoulder[1]) / dx, std::tan(4.0 * 3.14159 / 180)) << side;
    EXPECT_LT(std::abs(wrist[2] - shoulder[2]) / dx, std::tan(6.0 * 3.14159 / 180)) << side;
  }
  EXPECT_TRUE(body::body_model_warnings(built->model).empty());
}

TEST_F(Cc0BodyOfThePackage, PosedRestPointsAreTheModelsVertices) {
  body::PoseParams pose = body::default_viewing_pose();
  pose.betas = {1.0F, -0.5F, 0.3F};
  pose.global_orient = {0.1F, 0.4F, -0.2F};
  const auto rest = rest_vertices(*built, pose.betas);
  const auto posed = pose_points(*built, rest, built->base_weights, pose);
  const auto b = body::pose(built->model, pose);
  float worst = 0;
  for (std::size_t v = 0; v < 13380; ++v)
    for (std::size_t k = 0; k < 3; ++k) worst = std::max(worst, std::abs(posed[v][k] - b.vertices[3 * v + k]));
  EXPECT_LT(worst, 2e-5F);
}

TEST_F(Cc0BodyOfThePackage, BetasComeNearTheMorphedBody) {
  const MacroParams shape = sample_person(77).shape;
  const auto betas = betas_of(*built, *assets, shape);
  const auto near = rest_vertices(*built, betas);
  const auto exact = assets->targets.morph(assets->base, macro_target_weights(shape));
  double sum = 0, plain = 0;
  const auto mean = rest_vertices(*built, {});
  for (std::size_t v = 0; v < 13380; ++v) {
    double d = 0, m = 0;
    for (std::size_t k = 0; k < 3; ++k) d += std::pow(near[v][k] - exact[v][k], 2), m += std::pow(mean[v][k] - exact[v][k], 2);
    sum += std::sqrt(d), plain += std::sqrt(m);
  }
  EXPECT_LT(sum / 13380, 0.04) << "decimetres; the spec measured 1.7 mm with 600 samples";
  EXPECT_LT(sum, plain / 4);
}

TEST_F(Cc0BodyOfThePackage, VisibleFacesLeaveOutTheMouth) {
  std::int64_t hidden = 0;
  for (const auto seen : built->visible_faces) hidden += seen == 0 ? 1 : 0;
  EXPECT_GT(hidden, 300);
  EXPECT_LT(hidden, 6000);
  for (const char* name : {"hands", "feet", "head", "face", "scalp", "nose", "ears", "neck", "torso", "hips", "eyes"})
    EXPECT_GT(built->regions.at(name).size(), 20U) << name;
}

TEST_F(Cc0BodyOfThePackage, FileGoesRoundAndIsAnSmplxModel) {
  const auto path = std::filesystem::temp_directory_path() / ("lav_cc0_" + std::to_string(::getpid()) + ".npz");
  write_cc0_body(path, *built);
  const Cc0Body back = read_cc0_body(path);
  EXPECT_LT(std::filesystem::file_size(path), 40U << 20);
  std::filesystem::remove(path);
  EXPECT_EQ(back.model.v_template, built->model.v_template);
  EXPECT_EQ(back.model.shapedirs, built->model.shapedirs);
  EXPECT_EQ(back.model.faces, built->model.faces);
  EXPECT_EQ(back.regions, built->regions);
  EXPECT_EQ(back.rest_dirs, built->rest_dirs);
  EXPECT_EQ(back.visible_faces, built->visible_faces);
  EXPECT_EQ(back.joint_base_vertices, built->joint_base_vertices);
}

}  // namespace
}  // namespace layeravatar::people
