#include <gtest/gtest.h>
#include <hwy/targets.h>
#include <omp.h>
#include <torch/torch.h>

#include <cmath>
#include <numeric>

#include "layeravatar/io/npy.h"
#include "layeravatar/splat/splat_twin.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::splat {
namespace {

// Largest difference relative to the largest wanted value.
double relative(const torch::Tensor& got, const twin::Doubles& want) {
  double scale = 0;
  for (const double v : want) scale = std::max(scale, std::abs(v));
  return twin::difference(got, want) / scale;
}

void expect_gradients(const Gaussians& g, const twin::Gradients& want, double tolerance) {
  EXPECT_LT(relative(g.means.grad(), want.means), tolerance);
  EXPECT_LT(relative(g.covariances.grad(), want.covariances), tolerance);
  EXPECT_LT(relative(g.colours.grad(), want.colours), tolerance);
  EXPECT_LT(relative(g.opacities.grad(), want.opacities), tolerance);
}

// Wide, faint Gaussians: no alpha reaches 0.99, no transmittance ends, the cut at 1/255 lies beyond the picture.
Gaussians faint_scene(std::int64_t n) {
  Gaussians g = twin::random_scene(n, 11, 0.02);
  g.means = 0.05 * torch::randn({n, 3});
  g.covariances = torch::tensor({4e-2F, 0.F, 0.F, 4e-2F, 0.F, 4e-2F}).repeat({n, 1}) + g.covariances;
  g.opacities = 0.1 + 0.2 * torch::rand({n});
  return g;
}

TEST(SplatTwin, GradientsAreTheTrueOnesWhereNothingIsLimited) {
  twin::Scene scene = twin::scene_of(faint_scene(9), twin::small_camera(16), -1, false);
  torch::manual_seed(2);
  const twin::Images by{twin::doubles(torch::randn({3, 16, 16})), twin::doubles(torch::randn({16, 16})),
                        twin::doubles(torch::randn({16, 16}))};
  const twin::Gradients got = twin::gradients(scene, by);
  const auto loss = [&] {
    const twin::Images p = twin::draw(scene);
    const auto dot = [](const twin::Doubles& a, const twin::Doubles& b) {
      return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
    };
    return dot(p.colour, by.colour) + dot(p.alpha, by.alpha) + dot(p.depth, by.depth);
  };
  const auto check = [&](twin::Doubles& values, const twin::Doubles& gradient, double step, const char* name) {
    double scale = 0;
    for (const double v : gradient) scale = std::max(scale, std::abs(v));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double before = values[i];
      values[i] = before + step;
      const double up = loss();
      values[i] = before - step;
      const double down = loss();
      values[i] = before;
      EXPECT_NEAR(gradient[i], (up - down) / (2 * step), 1e-6 * scale) << name << ' ' << i;
    }
  };
  check(scene.means, got.means, 1e-6, "mean");
  check(scene.covariances, got.covariances, 1e-6, "covariance");
  check(scene.colours, got.colours, 1e-4, "colour");
  check(scene.opacities, got.opacities, 1e-5, "opacity");
}

TEST(RenderGradient, IsTheSumOfTheSeparatePassesGradients) {
  for (const int size : {48, 37})
    for (const std::uint64_t seed : {5U, 6U}) {
      Gaussians g = twin::random_scene(300, seed);
      g.opacities.slice(0, 0, 40).fill_(1.0F);  // alpha is limited near their centres
      twin::track(g);
      const geometry::Camera camera = twin::small_camera(size);
      const RenderOutputs out = render(g, camera);
      const auto by = twin::random_gradients(out, seed);
      torch::autograd::backward(twin::differentiable(out), by);
      expect_gradients(g, twin::all_gradients(g, camera, by), 2e-4);
    }
}

TEST(RenderGradient, DirectionsBeyondTheFieldOfViewAreLimited) {
  // A wide lens one metre away: tangents up to 32 / 60, limited at 0.69; centres around 0.9 to the left and above.
  geometry::Camera camera = geometry::turntable_cameras(32)[0];
  camera.focal = 30;
  camera.camera_from_world[11] = 1;
  Gaussians g = faint_scene(6);
  g.means.select(1, 0).slice(0, 0, 4) -= 0.9;
  g.means.select(1, 1).slice(0, 2, 6) += 0.9;
  g.means.select(1, 2) += 0.2 * torch::randn({6});
  twin::track(g);
  const RenderOutputs out = render(g, camera);
  EXPECT_GT(out.alpha.max().item<float>(), 0.1F);
  const auto by = twin::random_gradients(out, 4);
  torch::autograd::backward(twin::differentiable(out), by);
  expect_gradients(g, twin::all_gradients(g, camera, by), 2e-4);
}

TEST(RenderGradient, OfOneOutputAloneEqualsItsPass) {
  for (std::size_t wanted = 0; wanted < 6; ++wanted) {
    Gaussians g = twin::random_scene(200, 21);
    twin::track(g);
    const geometry::Camera camera = twin::small_camera(40);
    const RenderOutputs out = render(g, camera);
    auto by = twin::random_gradients(out, 8);
    torch::autograd::backward({twin::differentiable(out)[wanted]}, {by[wanted]});
    for (std::size_t k = 0; k < by.size(); ++k)
      if (k != wanted) by[k].zero_();
    const twin::Gradients want = twin::all_gradients(g, camera, by);
    EXPECT_LT(relative(g.means.grad(), want.means), 2e-4) << wanted;
    EXPECT_LT(relative(g.covariances.grad(), want.covariances), 2e-4) << wanted;
  }
}

TEST(RenderGradient, InnerBodyMovesGeometryAlone) {
  Gaussians g = twin::random_scene(60, 3);
  twin::track(g);
  render(g, twin::small_camera(32)).inner_alpha.sum().backward();
  EXPECT_GT(g.means.grad().abs().max().item<float>(), 0.0F);
  EXPECT_EQ(g.opacities.grad().abs().max().item<float>(), 0.0F);
  EXPECT_EQ(g.colours.grad().abs().max().item<float>(), 0.0F);
  const torch::Tensor others = (g.components != 0).unsqueeze(1);
  EXPECT_EQ((g.means.grad() * others).abs().max().item<float>(), 0.0F);
}

TEST(RenderGradient, WeightsCarryNone) {
  Gaussians g = twin::random_scene(20, 3);
  twin::track(g);
  const RenderOutputs out = render(g, twin::small_camera(32));
  EXPECT_TRUE(out.full.requires_grad());
  EXPECT_FALSE(out.component_weights.requires_grad());
}

TEST(RenderGradient, FilteredAndCulledGaussiansGetZero) {
  Gaussians g = twin::random_scene(40, 9);
  g.opacities.slice(0, 0, 10).fill_(0.05F);
  g.means.slice(0, 10, 20) += twin::small_camera(16).centre()[2] * 2;  // behind the camera
  twin::track(g);
  render(g, twin::small_camera(32)).full.square().sum().backward();
  for (const torch::Tensor& t : {g.means.grad(), g.covariances.grad(), g.colours.grad(), g.opacities.grad()}) {
    EXPECT_EQ(t.slice(0, 0, 20).abs().max().item<float>(), 0.0F);
    EXPECT_GT(t.slice(0, 20).abs().max().item<float>(), 0.0F);
  }
}

TEST(RenderGradient, EqualsTheRecordedOne) {
  const io::ArrayMap golden = io::read_npz(std::filesystem::path(LAV_GOLDEN_DIR) / "splat" / "g_raster_smooth.npz");
  const auto get = [&](const std::string& name) { return tensor::to_tensor(golden.at(name)); };
  for (const int index : {0, 7})
    for (const int bg : {0, 1}) {
      const std::string view = "cam" + std::to_string(index) + ".";
      const std::string key = view + "bg" + std::to_string(bg) + ".";
      Gaussians g{get("means3D"), get("cov3D"), get("colors"), get("opacities").squeeze(1).clone(),
                  torch::zeros({200}, torch::kUInt8)};
      twin::track(g);
      RenderOptions options;
      options.background.fill(static_cast<float>(bg));
      options.min_opacity = 0;
      options.components = false;
      const RenderOutputs out = render(g, geometry::turntable_cameras(64)[static_cast<std::size_t>(index)], options);
      const torch::Tensor clean = get(key + "borderline").logical_not();
      const auto worst = [&](const torch::Tensor& got, const std::string& name) {
        return ((got - get(key + name)).abs() * clean).max().item<float>();
      };
      EXPECT_LT(worst(out.full, "color"), 1e-4F) << key;
      EXPECT_LT(worst(out.alpha.unsqueeze(0), "alpha"), 1e-4F) << key;
      EXPECT_LT(worst(out.depth.unsqueeze(0), "depth"), 1e-3F) << key;
      torch::autograd::backward({out.full, out.depth, out.alpha},
                                {get(view + "gc"), 0.1 * get(view + "gd").squeeze(0), get(view + "ga").squeeze(0)});
      EXPECT_LT(relative(g.means.grad(), twin::doubles(get(key + "grad_means3D"))), 1e-3) << key;
      EXPECT_LT(relative(g.covariances.grad(), twin::doubles(get(key + "grad_cov3D"))), 1e-3) << key;
      EXPECT_LT(relative(g.colours.grad(), twin::doubles(get(key + "grad_colors"))), 1e-3) << key;
      EXPECT_LT(relative(g.opacities.grad(), twin::doubles(get(key + "grad_opacities"))), 1e-3) << key;
      // What the product does not return, of its slow twin: the gradient in half pictures, and the radii.
      twin::Scene scene = twin::scene_of(g, geometry::turntable_cameras(64)[static_cast<std::size_t>(index)], -1, false);
      scene.background.fill(bg);
      const twin::Doubles by_depth = twin::doubles(0.1 * get(view + "gd"));
      const twin::Gradients slow = twin::gradients(scene, {twin::doubles(get(view + "gc")), twin::doubles(get(view + "ga")), by_depth});
      const std::vector<int> radii = twin::radii(scene);
      const torch::Tensor want_screen = get(key + "grad_means2D"), want_radii = get(key + "radii");
      const double scale = want_screen.abs().max().item<double>();
      ASSERT_EQ(scene.ids.size(), 200U);
      for (std::int64_t i = 0; i < 200; ++i) {
        const auto at = static_cast<std::size_t>(i);
        EXPECT_EQ(radii[at], want_radii[i].item<int>()) << key << i;
        for (std::int64_t k = 0; k < 2; ++k)
          EXPECT_NEAR(32 * slow.screen[2 * at + static_cast<std::size_t>(k)], want_screen[i][k].item<double>(), 1e-3 * scale) << key << i;
      }
    }
}

// Every output and gradient of one scene.
std::vector<torch::Tensor> everything(std::int64_t count, int size) {
  Gaussians g = twin::random_scene(count, 17);
  twin::track(g);
  const RenderOutputs out = render(g, twin::small_camera(size));
  const auto by = twin::random_gradients(out, 17);
  std::vector<torch::Tensor> all = twin::differentiable(out);
  torch::autograd::backward(all, by);
  for (torch::Tensor& t : all) t = t.detach();
  all.insert(all.end(),
             {out.component_weights, g.means.grad(), g.covariances.grad(), g.colours.grad(), g.opacities.grad()});
  return all;
}

TEST(RenderGradient, BitsDoNotDependOnThreads) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto one = everything(3000, 120);
  for (const int threads : {2, 3}) {
    omp_set_num_threads(threads);
    const auto more = everything(3000, 120);
    for (std::size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(torch::equal(one[i], more[i])) << threads << ' ' << i;
  }
  omp_set_num_threads(before);
}

TEST(RenderGradient, LaterPicturesLeaveEarlierOnesAlone) {
  // Memory is used again: what is still held, by a picture or by its graph, must not be.
  const geometry::Camera camera = twin::small_camera(160);
  Gaussians g = twin::random_scene(3000, 31);
  twin::track(g);
  const auto gradient = [&](const RenderOutputs& out) {
    g.means.mutable_grad() = torch::Tensor();
    (out.full.square().sum() + out.components.sum()).backward();
    return g.means.grad().clone();
  };
  const RenderOutputs first = render(g, camera);
  const torch::Tensor full = first.full.detach().clone(), parts = first.components.detach().clone();
  const torch::Tensor want = gradient(render(g, camera));
  for (const std::uint64_t seed : {32, 33, 34}) {
    Gaussians other = twin::random_scene(2000, seed);
    twin::track(other);
    render(other, camera).full.sum().backward();
  }
  EXPECT_TRUE(torch::equal(first.full, full));
  EXPECT_TRUE(torch::equal(first.components, parts));
  EXPECT_TRUE(torch::equal(gradient(first), want));
}

TEST(RenderGradient, IsTheSameForEveryInstructionSet) {
  const auto best = everything(400, 50);
  int sets = 0;
  for (std::int64_t left = hwy::SupportedTargets() | HWY_SCALAR; left != 0; left &= left - 1, ++sets) {
    const std::int64_t target = left & -left;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
    const auto other = everything(400, 50);
    for (std::size_t i = 0; i < best.size(); ++i) {
      const float scale = best[i].abs().max().item<float>();
      EXPECT_LT((other[i] - best[i]).abs().max().item<float>(), 2e-4F * scale) << hwy::TargetName(target) << ' ' << i;
    }
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
  EXPECT_GE(sets, 2);
}

}  // namespace
}  // namespace layeravatar::splat
