#include "layeravatar/splat/render.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "layeravatar/core/error.h"
#include "layeravatar/splat/splat_twin.h"

namespace layeravatar::splat {
namespace {

Gaussians one_gaussian(float variance, float opacity, int component) {
  return {torch::zeros({1, 3}), torch::tensor({{variance, 0.F, 0.F, variance, 0.F, variance}}),
          torch::tensor({{0.2F, 0.4F, 0.6F}}), torch::full({1}, opacity), torch::full({1}, component, torch::kUInt8)};
}

float largest(const torch::Tensor& t) { return t.abs().max().item<float>(); }

TEST(Render, EveryOutputEqualsItsOwnSeparatePass) {
  for (const int size : {48, 37}) {  // 37: tiles that reach beyond the image
    const Gaussians g = twin::random_scene(400, 5);
    const geometry::Camera camera = twin::small_camera(size);
    const RenderOutputs out = render(g, camera);
    const twin::Images full = twin::draw(twin::scene_of(g, camera, -1, false));
    EXPECT_LT(twin::difference(out.full, full.colour), 1e-4);
    EXPECT_LT(twin::difference(out.alpha, full.alpha), 1e-4);
    EXPECT_LT(twin::difference(out.depth, full.depth), 1e-3);
    for (int c = 0; c < 5; ++c) {
      const twin::Images part = twin::draw(twin::scene_of(g, camera, c, false));
      EXPECT_LT(twin::difference(out.components[c], part.colour), 1e-4) << c;
      EXPECT_LT(twin::difference(out.component_alphas[c], part.alpha), 1e-4) << c;
    }
    EXPECT_LT(twin::difference(out.inner_alpha, twin::draw(twin::scene_of(g, camera, 0, true)).alpha), 1e-4);
    // Component weights: one component white and all others black, over black.
    for (int c = 0; c < 5; ++c) {
      Gaussians marked = g;
      marked.colours = (g.components == c).to(torch::kFloat32).unsqueeze(1).repeat({1, 3});
      twin::Scene scene = twin::scene_of(marked, camera, -1, false);
      scene.background = {0, 0, 0};
      twin::Doubles red = twin::draw(scene).colour;
      red.resize(red.size() / 3);
      EXPECT_LT(twin::difference(out.component_weights[c], red), 1e-4) << c;
    }
  }
}

TEST(Render, LongListsStopPerOutput) {
  // Many opaque layers: every output stops, each at its own depth and far beyond one batch of 64.
  Gaussians g = twin::random_scene(3000, 8, 0.03);
  g.means *= 0.3;
  g.opacities = 0.05 + 0.3 * torch::rand({3000});
  const geometry::Camera camera = twin::small_camera(20);
  const RenderOutputs out = render(g, camera);
  EXPECT_GT(out.alpha[10][10].item<float>(), 0.999F);
  EXPECT_LT(twin::difference(out.full, twin::draw(twin::scene_of(g, camera, -1, false)).colour), 1e-4);
  for (int c = 0; c < 5; ++c)
    EXPECT_LT(twin::difference(out.components[c], twin::draw(twin::scene_of(g, camera, c, false)).colour), 1e-4) << c;
}

TEST(Render, ThinNeedlesAreDrawnWhole) {
  // Blocks are chosen by the ellipse's span per row of blocks: slanted needles, longer than a tile, must lose nothing.
  const std::int64_t n = 60;
  torch::manual_seed(4);
  Gaussians g = twin::random_scene(n, 4);
  const torch::Tensor along = torch::nn::functional::normalize(torch::randn({n, 3}));
  const torch::Tensor outer = (0.05F * 0.05F * along.unsqueeze(2) * along.unsqueeze(1)).reshape({n, 9});
  g.covariances = outer.index_select(1, torch::tensor({0, 1, 2, 4, 5, 8})).contiguous();
  const geometry::Camera camera = twin::small_camera(96);
  const RenderOutputs out = render(g, camera);
  EXPECT_LT(twin::difference(out.full, twin::draw(twin::scene_of(g, camera, -1, false)).colour), 2e-4);
  EXPECT_LT(twin::difference(out.inner_alpha, twin::draw(twin::scene_of(g, camera, 0, true)).alpha), 2e-4);
}

TEST(Render, WithoutComponentsTheFullImageHasTheSameBits) {
  const Gaussians g = twin::random_scene(300, 7);
  RenderOptions options;
  const RenderOutputs all = render(g, twin::small_camera(64), options);
  options.components = false;
  const RenderOutputs full = render(g, twin::small_camera(64), options);
  EXPECT_TRUE(torch::equal(all.full, full.full));
  EXPECT_TRUE(torch::equal(all.depth, full.depth));
  EXPECT_FALSE(full.components.defined());
}

TEST(Render, StridedInputIsTheSame) {
  Gaussians g = twin::random_scene(100, 7);
  const RenderOutputs want = render(g, twin::small_camera(32));
  g.means = g.means.t().contiguous().t();
  g.colours = torch::cat({g.colours, g.colours}, 1).slice(1, 0, 3);
  EXPECT_TRUE(torch::equal(render(g, twin::small_camera(32)).full, want.full));
}

TEST(Render, SingleOpaqueSplatAtItsCentre) {  // section 17
  const geometry::Camera camera = geometry::turntable_cameras(33)[0];  // 16 is the centre pixel
  const Gaussians g = one_gaussian(1e-4F, 1.0F, 1);
  const RenderOutputs out = render(g, camera);
  EXPECT_NEAR(out.alpha[16][16].item<float>(), 0.99F, 1e-6);
  EXPECT_NEAR(out.full[0][16][16].item<float>(), 0.99F * 0.2F + 0.01F, 1e-6);
  EXPECT_NEAR(out.components[1][2][16][16].item<float>(), 0.99F * 0.6F + 0.01F, 1e-6);
  EXPECT_NEAR(out.component_weights[1][16][16].item<float>(), 0.99F, 1e-6);
  EXPECT_NEAR(out.depth[16][16].item<float>(), 9.9F, 1e-4);
  EXPECT_EQ(largest(out.component_alphas[0]), 0.0F);
  EXPECT_EQ(largest(out.components[0]), 0.0F) << "an empty component is black";
  RenderOptions exported;
  exported.reference_empty = false;
  EXPECT_EQ(render(g, camera, exported).components[0].min().item<float>(), 1.0F);
}

TEST(Render, SpreadOfARoundGaussian) {  // section 17: sigma 0.01 m at 10 m and 5000 px is a variance of 25.3 px^2
  geometry::Camera camera = geometry::turntable_cameras(1024)[0];
  camera.width = camera.height = 65;  // the centre pixel is 32
  const RenderOutputs out = render(one_gaussian(1e-4F, 0.9F, 0), camera);
  EXPECT_NEAR(out.alpha[32][37].item<float>(), 0.9 * std::exp(-25.0 / (2 * 25.3)), 1e-5);
  EXPECT_NEAR(out.alpha[28][29].item<float>(), 0.9 * std::exp(-25.0 / (2 * 25.3)), 1e-5);
  EXPECT_NEAR(out.inner_alpha[32][37].item<float>(), std::exp(-25.0 / (2 * 25.3)), 1e-5) << "at opacity 1";
}

// Section 17: that Gaussian has radius 16 (3 sqrt(25.3 + 0.316), rounded up). A tile to its right is drawn while it begins
// at most radius - 1 pixels away, although alpha stays above 1/255 for more than 16.
TEST(Render, RadiusCutsWholeTiles) {
  geometry::Camera camera = geometry::turntable_cameras(1024)[0];
  camera.width = camera.height = 65;  // x = 0 is pixel 32; 2 mm are one pixel; the last tile begins at 48
  for (const auto& [distance, drawn] : {std::pair{14.9, true}, {15.1, false}}) {
    Gaussians g = one_gaussian(1e-4F, 0.9F, 0);
    g.means[0][0] = static_cast<float>((48 - distance - 32) * 0.002);
    const RenderOutputs out = render(g, camera);
    const double alpha = 0.9 * std::exp(-distance * distance / (2 * 25.3));
    ASSERT_GT(alpha, 1.0 / 255);
    EXPECT_NEAR(out.alpha[32][48].item<float>(), drawn ? alpha : 0.0, 1e-4) << distance;
    EXPECT_GT(out.alpha[32][47].item<float>(), alpha) << "the tile of its centre";
  }
}

TEST(Render, OpacityFilterIsStrict) {
  const geometry::Camera camera = geometry::turntable_cameras(33)[0];
  Gaussians g = one_gaussian(1e-3F, 0.05F, 0);
  EXPECT_EQ(largest(render(g, camera).full), 0.0F) << "no Gaussian is left, so even full is black";
  EXPECT_EQ(largest(render(g, camera).inner_alpha), 0.0F);
  g.opacities = torch::full({1}, std::nextafter(0.05F, 1.0F));
  EXPECT_GT(largest(render(g, camera).alpha), 0.04F);
  EXPECT_GT(largest(render(g, camera).inner_alpha), 0.9F);
}

TEST(Render, NothingAndBehindTheCamera) {
  const geometry::Camera camera = geometry::turntable_cameras(20)[0];
  Gaussians none{torch::zeros({0, 3}), torch::zeros({0, 6}), torch::zeros({0, 3}), torch::zeros({0}),
                 torch::zeros({0}, torch::kUInt8)};
  twin::track(none);
  const RenderOutputs out = render(none, camera);
  EXPECT_EQ(largest(out.full), 0.0F);
  out.full.sum().backward();
  EXPECT_EQ(none.means.grad().size(0), 0);
  Gaussians behind = one_gaussian(1e-3F, 1.0F, 0);
  behind.means = torch::tensor({{0.F, 0.F, 20.F}});
  EXPECT_EQ(render(behind, camera).full.min().item<float>(), 1.0F) << "culled, not absent: background";
  behind.means = torch::tensor({{0.F, 0.F, 9.801F}});  // 0.199 m before the camera
  EXPECT_EQ(largest(render(behind, camera).alpha), 0.0F);
  behind.means = torch::tensor({{0.F, 0.F, 9.79F}});
  EXPECT_GT(largest(render(behind, camera).alpha), 0.5F);
}

TEST(Render, DebugBuildsNameTheBrokenGaussian) {
  const auto message = [](Gaussians g) -> std::string {
    try {
      check_finite(g);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInternal);
      return e.what();
    }
    return "";
  };
  Gaussians g = twin::random_scene(9, 2);
  EXPECT_EQ(message(g), "");
  g.covariances[7][2] = std::nanf("");
  EXPECT_EQ(message(g), "covariance of Gaussian 7 is not finite");
  g.means[3][0] = INFINITY;
  EXPECT_EQ(message(g), "mean of Gaussian 3 is not finite");
}

TEST(Render, HugeAndBrokenNumbersDoNotSpread) {
  Gaussians g = twin::random_scene(50, 2);
  const RenderOutputs want = render(g, twin::small_camera(40));
  Gaussians more;
  const float nan = std::nanf("");
  more.means =
      torch::cat({g.means, torch::tensor({{nan, 0.F, 0.F}, {1e30F, 0.F, 0.F}, {0.F, 0.F, 0.F}, {0.F, 0.F, 0.F}})});
  more.covariances = torch::cat({g.covariances, torch::full({4, 6}, 1e-3F)});
  more.covariances[52].fill_(nan);
  more.covariances[53].fill_(1e25F);
  more.colours = torch::cat({g.colours, torch::ones({4, 3})});
  more.opacities = torch::cat({g.opacities, torch::ones({4})});
  more.components = torch::cat({g.components, torch::zeros({4}, torch::kUInt8)});
  twin::track(more);
  const RenderOutputs got = render(more, twin::small_camera(40));
  EXPECT_TRUE(torch::equal(got.full, want.full));
  got.full.square().sum().backward();
  for (const torch::Tensor& t :
       {more.means.grad(), more.covariances.grad(), more.colours.grad(), more.opacities.grad()})
    EXPECT_TRUE(t.isfinite().all().item<bool>());
}

TEST(Render, WrongInputIsNamed) {
  const auto message = [](const Gaussians& g, const geometry::Camera& camera) -> std::string {
    try {
      render(g, camera);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInternal);
      return e.what();
    }
    return "no error";
  };
  const geometry::Camera camera = twin::small_camera(16);
  Gaussians g = twin::random_scene(3, 1);
  g.colours = torch::zeros({4, 3});
  EXPECT_EQ(message(g, camera), "colours: shape [4, 3], expected [3, 3]");
  g = twin::random_scene(3, 1);
  g.covariances = torch::zeros({3, 3, 3});
  EXPECT_EQ(message(g, camera), "covariances: shape [3, 3, 3], expected [3, 6]");
  g = twin::random_scene(3, 1);
  g.components = g.components.to(torch::kInt32);
  EXPECT_NE(message(g, camera).find("components: expected uint8"), std::string::npos);
  g = twin::random_scene(3, 1);
  g.opacities = g.opacities.to(torch::kFloat64);
  EXPECT_NE(message(g, camera).find("opacities"), std::string::npos);
  g = twin::random_scene(3, 1);
  geometry::Camera broken = camera;
  broken.width = 0;
  EXPECT_NE(message(g, broken).find("camera"), std::string::npos);
}

}  // namespace
}  // namespace layeravatar::splat
