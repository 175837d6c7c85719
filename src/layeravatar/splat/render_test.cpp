#include "layeravatar/splat/render.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::splat {
namespace {

using Doubles = std::vector<double>;

Doubles doubles(const torch::Tensor& t) {
  const torch::Tensor d = t.detach().to(torch::kFloat64).contiguous();
  return {d.data_ptr<double>(), d.data_ptr<double>() + d.numel()};
}

// One separate pass in double, written from the formulas of section 8, without tiles beyond the reference's rectangle.
struct Pass {
  Doubles colour, alpha, depth;
};
struct PassScene {
  Doubles means, covs, colours, opacities;
  geometry::Camera camera;
  std::array<double, 3> background;
};

Pass draw(const PassScene& s) {
  const int w = s.camera.width, h = s.camera.height;
  const auto& m = s.camera.camera_from_world;
  const double f = s.camera.focal;
  struct One {
    double x, y, a, b, c, z;
    int x0, x1, y0, y1;  // pixels of the reference's tiles
    std::size_t id;
  };
  std::vector<One> list;
  for (std::size_t i = 0; i < s.opacities.size(); ++i) {
    double q[3];
    for (std::size_t r = 0; r < 3; ++r)
      q[r] = m[4 * r] * s.means[3 * i] + m[4 * r + 1] * s.means[3 * i + 1] + m[4 * r + 2] * s.means[3 * i + 2] + m[4 * r + 3];
    if (q[2] <= 0.2) continue;
    const double lx = 1.3 * w / (2 * f), ly = 1.3 * h / (2 * f);
    const double tx = std::clamp(q[0] / q[2], -lx, lx) * q[2], ty = std::clamp(q[1] / q[2], -ly, ly) * q[2];
    double mm[2][3];
    for (std::size_t k = 0; k < 3; ++k) {
      mm[0][k] = f / q[2] * m[k] - f * tx / (q[2] * q[2]) * m[8 + k];
      mm[1][k] = f / q[2] * m[4 + k] - f * ty / (q[2] * q[2]) * m[8 + k];
    }
    const double* cv = s.covs.data() + 6 * i;
    const double full[3][3] = {{cv[0], cv[1], cv[2]}, {cv[1], cv[3], cv[4]}, {cv[2], cv[4], cv[5]}};
    double c2[2][2] = {};
    for (int r = 0; r < 2; ++r)
      for (int c = 0; c < 2; ++c)
        for (int j = 0; j < 3; ++j)
          for (int k = 0; k < 3; ++k) c2[r][c] += mm[r][j] * full[j][k] * mm[c][k];
    const double a = c2[0][0] + 0.3, b = c2[0][1], c = c2[1][1] + 0.3, det = a * c - b * b, mid = (a + c) / 2;
    const double radius = std::ceil(3 * std::sqrt(mid + std::sqrt(std::max(0.1, mid * mid - det))));
    const double x = f * q[0] / (q[2] + 1e-7) + (w - 1) / 2.0, y = f * q[1] / (q[2] + 1e-7) + (h - 1) / 2.0;
    const auto tile = [](double v, int size) { return 16 * std::clamp(static_cast<int>(v / 16), 0, (size + 15) / 16); };
    list.push_back({x, y, c / det, -b / det, a / det, q[2], tile(x - radius, w), tile(x + radius + 15, w),
                    tile(y - radius, h), tile(y + radius + 15, h), i});
  }
  std::stable_sort(list.begin(), list.end(), [](const One& l, const One& r) { return static_cast<float>(l.z) < static_cast<float>(r.z); });
  const auto pixels = static_cast<std::size_t>(w * h);
  Pass out{Doubles(3 * pixels), Doubles(pixels), Doubles(pixels)};
  for (int py = 0; py < h; ++py)
    for (int px = 0; px < w; ++px) {
      const auto at = static_cast<std::size_t>(py * w + px);
      double t = 1;
      for (const One& o : list) {
        if (px < o.x0 || px >= o.x1 || py < o.y0 || py >= o.y1) continue;
        const double dx = o.x - px, dy = o.y - py;
        const double e = -0.5 * (o.a * dx * dx + o.c * dy * dy) - o.b * dx * dy;
        const double alpha = std::min(0.99, s.opacities[o.id] * std::exp(e));
        if (e > 0 || alpha < 1.0 / 255) continue;
        if (t * (1 - alpha) < 1e-4) break;
        for (std::size_t k = 0; k < 3; ++k) out.colour[k * pixels + at] += s.colours[3 * o.id + k] * alpha * t;
        out.alpha[at] += alpha * t;
        out.depth[at] += o.z * alpha * t;
        t *= 1 - alpha;
      }
      for (std::size_t k = 0; k < 3; ++k) out.colour[k * pixels + at] += t * s.background[k];
    }
  return out;
}

geometry::Camera small_camera(int size) {
  geometry::Camera camera = geometry::turntable_cameras(size)[2];
  camera.focal *= 6;  // a close look at a small scene
  return camera;
}

// Thin and round Gaussians of all components in a small ball; opacities from below the filter to 1.
Gaussians random_scene(std::int64_t n, unsigned seed, double sigma = 0.012) {
  torch::manual_seed(seed);
  Gaussians g;
  g.means = 0.1 * torch::randn({n, 3});
  const torch::Tensor l = sigma * torch::randn({n, 3, 3});
  const torch::Tensor cov = l.matmul(l.transpose(1, 2));
  g.covariances = torch::stack({cov.select(1, 0).select(1, 0), cov.select(1, 0).select(1, 1), cov.select(1, 0).select(1, 2),
                                cov.select(1, 1).select(1, 1), cov.select(1, 1).select(1, 2), cov.select(1, 2).select(1, 2)}, 1);
  g.colours = torch::rand({n, 3});
  g.opacities = torch::rand({n});
  g.components = torch::randint(0, 6, {n}).to(torch::kUInt8);
  g.components.masked_fill_(g.components == 5, 255);
  return g;
}

PassScene pass_of(const Gaussians& g, const geometry::Camera& camera, int component, bool opaque) {
  torch::Tensor keep = g.opacities > 0.05F;
  if (component >= 0) keep = keep & (g.components == component);
  const torch::Tensor rows = keep.nonzero().squeeze(1);
  PassScene s{doubles(g.means.index_select(0, rows)), doubles(g.covariances.index_select(0, rows)),
              doubles(g.colours.index_select(0, rows)), doubles(g.opacities.index_select(0, rows)), camera, {1, 1, 1}};
  if (opaque) std::fill(s.opacities.begin(), s.opacities.end(), 1.0);
  return s;
}

double largest_difference(const torch::Tensor& got, const Doubles& want) {
  const Doubles g = doubles(got);
  EXPECT_EQ(g.size(), want.size());
  double worst = 0;
  for (std::size_t i = 0; i < g.size(); ++i) worst = std::max(worst, std::abs(g[i] - want[i]));
  return worst;
}

TEST(Render, EveryOutputEqualsItsOwnSeparatePass) {
  for (const int size : {48, 37}) {  // 37: tiles that reach beyond the image
    const Gaussians g = random_scene(400, 5);
    const geometry::Camera camera = small_camera(size);
    const RenderOutputs out = render(g, camera);
    const Pass full = draw(pass_of(g, camera, -1, false));
    EXPECT_LT(largest_difference(out.full, full.colour), 1e-4);
    EXPECT_LT(largest_difference(out.alpha, full.alpha), 1e-4);
    EXPECT_LT(largest_difference(out.depth, full.depth), 1e-3);
    for (int c = 0; c < 5; ++c) {
      const Pass part = draw(pass_of(g, camera, c, false));
      EXPECT_LT(largest_difference(out.components[c], part.colour), 1e-4) << c;
      EXPECT_LT(largest_difference(out.component_alphas[c], part.alpha), 1e-4) << c;
    }
    EXPECT_LT(largest_difference(out.inner_alpha, draw(pass_of(g, camera, 0, true)).alpha), 1e-4);
    // Component weights: white Gaussians of one component, all others black, over black.
    for (int c = 0; c < 5; ++c) {
      Gaussians marked = g;
      marked.colours = (g.components == c).to(torch::kFloat32).unsqueeze(1).repeat({1, 3});
      PassScene scene = pass_of(marked, camera, -1, false);
      scene.background = {0, 0, 0};
      Doubles red = draw(scene).colour;
      red.resize(red.size() / 3);
      EXPECT_LT(largest_difference(out.component_weights[c], red), 1e-4) << c;
    }
  }
}

TEST(Render, RecordedImagesAndGradients) {
  const io::ArrayMap golden = io::read_npz(std::filesystem::path(LAV_GOLDEN_DIR) / "splat" / "g_raster_smooth.npz");
  const auto get = [&](const std::string& name) { return tensor::to_tensor(golden.at(name)); };
  for (const int index : {0, 7})
    for (const int bg : {0, 1}) {
      const std::string view = "cam" + std::to_string(index) + ".";
      const std::string key = view + "bg" + std::to_string(bg) + ".";
      Gaussians g{get("means3D").requires_grad_(true), get("cov3D").requires_grad_(true), get("colors").requires_grad_(true),
                  get("opacities").squeeze(1).clone().requires_grad_(true), torch::zeros({200}, torch::kUInt8)};
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
      const torch::Tensor loss = (out.full * get(view + "gc")).sum() + (0.1 * out.depth * get(view + "gd").squeeze(0)).sum() +
                                 (out.alpha * get(view + "ga").squeeze(0)).sum();
      loss.backward();
      const auto relative = [&](const torch::Tensor& got, const std::string& name) {
        const torch::Tensor want = get(key + name).to(torch::kFloat32).reshape(got.sizes());
        return ((got - want).abs().max() / want.abs().max()).item<float>();
      };
      EXPECT_LT(relative(g.means.grad(), "grad_means3D"), 1e-3F) << key;
      EXPECT_LT(relative(g.covariances.grad(), "grad_cov3D"), 1e-3F) << key;
      EXPECT_LT(relative(g.colours.grad(), "grad_colors"), 1e-3F) << key;
      EXPECT_LT(relative(g.opacities.grad(), "grad_opacities"), 1e-3F) << key;
    }
}

// Weighted sum of every differentiable output of the twin's separate passes.
double twin_loss(const Gaussians& shape, const Doubles& means, const Doubles& covs, const Doubles& colours,
                 const Doubles& opacities, const geometry::Camera& camera, const std::vector<Doubles>& weights) {
  double sum = 0;
  const auto components = shape.components;
  const auto add = [&](int component, bool opaque, const Doubles* wc, const Doubles* wa, const Doubles* wz) {
    PassScene s{{}, {}, {}, {}, camera, {1, 1, 1}};
    for (std::size_t i = 0; i < opacities.size(); ++i) {
      if (component >= 0 && components[static_cast<std::int64_t>(i)].item<int>() != component) continue;
      s.means.insert(s.means.end(), means.begin() + static_cast<long>(3 * i), means.begin() + static_cast<long>(3 * i + 3));
      s.covs.insert(s.covs.end(), covs.begin() + static_cast<long>(6 * i), covs.begin() + static_cast<long>(6 * i + 6));
      s.colours.insert(s.colours.end(), colours.begin() + static_cast<long>(3 * i), colours.begin() + static_cast<long>(3 * i + 3));
      s.opacities.push_back(opaque ? 1.0 : opacities[i]);
    }
    const Pass p = draw(s);
    const auto dot = [](const Doubles& a, const Doubles& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); };
    if (wc != nullptr) sum += dot(p.colour, *wc);
    if (wa != nullptr) sum += dot(p.alpha, *wa);
    if (wz != nullptr) sum += dot(p.depth, *wz);
  };
  add(-1, false, &weights[0], &weights[1], &weights[2]);
  for (int c = 0; c < 5; ++c) add(c, false, &weights[static_cast<std::size_t>(3 + c)], &weights[static_cast<std::size_t>(8 + c)], nullptr);
  add(0, true, nullptr, &weights[13], nullptr);
  return sum;
}

TEST(Render, GradientsMatchFiniteDifferencesWhereNothingIsClamped) {
  // Wide, faint splats: no alpha reaches 0.99, no transmittance ends; the cut-off at 1/255 lies beyond the picture.
  torch::manual_seed(11);
  const std::int64_t n = 12;
  const int size = 16;
  Gaussians g = random_scene(n, 11, 0.02);
  g.means = 0.05 * torch::randn({n, 3});
  g.covariances = torch::tensor({4e-2F, 0.F, 0.F, 4e-2F, 0.F, 4e-2F}).repeat({n, 1}) + g.covariances;
  g.opacities = 0.1 + 0.2 * torch::rand({n});
  g.components = torch::arange(n).remainder(6).to(torch::kUInt8);
  g.components.masked_fill_(g.components == 5, 255);
  const geometry::Camera camera = small_camera(size);
  for (torch::Tensor* t : {&g.means, &g.covariances, &g.colours, &g.opacities}) t->requires_grad_(true);
  std::vector<Doubles> weights;
  std::vector<torch::Tensor> tensors;
  const auto weight = [&](torch::IntArrayRef shape) {
    tensors.push_back(torch::randn(shape));
    weights.push_back(doubles(tensors.back()));
    return tensors.back();
  };
  const RenderOutputs out = render(g, camera);
  torch::Tensor loss = (out.full * weight({3, size, size})).sum();
  loss = loss + (out.alpha * weight({size, size})).sum();
  loss = loss + (out.depth * weight({size, size})).sum();
  for (int c = 0; c < 5; ++c) loss = loss + (out.components[c] * weight({3, size, size})).sum();
  for (int c = 0; c < 5; ++c) loss = loss + (out.component_alphas[c] * weight({size, size})).sum();
  // The inner body at opacity 1 is clamped near each centre, where the reference's convention departs from the truth:
  // its gradient is checked by the recorded values' formula alone, so its weight is zero here.
  weights.emplace_back(static_cast<std::size_t>(size * size), 0.0);
  loss.backward();
  Doubles values[4] = {doubles(g.means), doubles(g.covariances), doubles(g.colours), doubles(g.opacities)};
  const torch::Tensor grads[4] = {g.means.grad(), g.covariances.grad(), g.colours.grad(), g.opacities.grad()};
  const double steps[4] = {1e-5, 1e-7, 1e-4, 1e-4};
  for (int k = 0; k < 4; ++k) {
    const Doubles got = doubles(grads[k]);
    const double scale = grads[k].abs().max().item<double>();
    for (std::size_t i = 0; i < got.size(); i += 3) {
      const auto at = [&](double delta) {
        Doubles moved[4] = {values[0], values[1], values[2], values[3]};
        moved[k][i] += delta;
        return twin_loss(g, moved[0], moved[1], moved[2], moved[3], camera, weights);
      };
      const double want = (at(steps[k]) - at(-steps[k])) / (2 * steps[k]);
      EXPECT_NEAR(got[i], want, 2e-3 * scale) << "input " << k << " element " << i;
    }
  }
}

TEST(Render, InnerBodyMovesGeometryAlone) {
  Gaussians g = random_scene(60, 3);
  for (torch::Tensor* t : {&g.means, &g.covariances, &g.colours, &g.opacities}) t->requires_grad_(true);
  render(g, small_camera(32)).inner_alpha.sum().backward();
  EXPECT_GT(g.means.grad().abs().max().item<float>(), 0.0F);
  EXPECT_EQ(g.opacities.grad().abs().max().item<float>(), 0.0F);
  EXPECT_EQ(g.colours.grad().abs().max().item<float>(), 0.0F);
  const torch::Tensor others = (g.components != 0).unsqueeze(1);
  EXPECT_EQ((g.means.grad() * others).abs().max().item<float>(), 0.0F);
}

TEST(Render, SingleOpaqueSplatAtItsCentre) {  // section 17
  geometry::Camera camera = geometry::turntable_cameras(33)[0];  // 16 is the centre pixel
  Gaussians g{torch::zeros({1, 3}), torch::tensor({{1e-4F, 0.F, 0.F, 1e-4F, 0.F, 1e-4F}}), torch::tensor({{0.2F, 0.4F, 0.6F}}),
              torch::ones({1}), torch::ones({1}, torch::kUInt8)};
  const RenderOutputs out = render(g, camera);
  EXPECT_NEAR(out.alpha[16][16].item<float>(), 0.99F, 1e-6);
  EXPECT_NEAR(out.full[0][16][16].item<float>(), 0.99F * 0.2F + 0.01F, 1e-6);
  EXPECT_NEAR(out.components[1][2][16][16].item<float>(), 0.99F * 0.6F + 0.01F, 1e-6);
  EXPECT_NEAR(out.depth[16][16].item<float>(), 9.9F, 1e-4);
  EXPECT_EQ(out.component_alphas[0].abs().max().item<float>(), 0.0F);
  EXPECT_EQ(out.components[0].abs().max().item<float>(), 0.0F) << "an empty component is black";
  RenderOptions exported;
  exported.reference_empty = false;
  EXPECT_EQ(render(g, camera, exported).components[0].min().item<float>(), 1.0F);
}

TEST(Render, OpacityFilterIsStrict) {
  const geometry::Camera camera = geometry::turntable_cameras(33)[0];
  Gaussians g{torch::zeros({1, 3}), torch::tensor({{1e-3F, 0.F, 0.F, 1e-3F, 0.F, 1e-3F}}), torch::zeros({1, 3}),
              torch::full({1}, 0.05F), torch::zeros({1}, torch::kUInt8)};
  EXPECT_EQ(render(g, camera).full.abs().max().item<float>(), 0.0F) << "no Gaussian is left, so even full is black";
  g.opacities = torch::full({1}, std::nextafter(0.05F, 1.0F));
  EXPECT_GT(render(g, camera).alpha.max().item<float>(), 0.04F);
}

TEST(Render, NothingAndBehindTheCamera) {
  const geometry::Camera camera = geometry::turntable_cameras(20)[0];
  Gaussians none{torch::zeros({0, 3}), torch::zeros({0, 6}), torch::zeros({0, 3}), torch::zeros({0}),
                 torch::zeros({0}, torch::kUInt8)};
  EXPECT_EQ(render(none, camera).full.abs().max().item<float>(), 0.0F);
  Gaussians behind{torch::tensor({{0.F, 0.F, 20.F}}), torch::full({1, 6}, 1e-3F), torch::zeros({1, 3}), torch::ones({1}),
                   torch::zeros({1}, torch::kUInt8)};
  EXPECT_EQ(render(behind, camera).full.min().item<float>(), 1.0F) << "culled, not absent: background";
}

TEST(Render, BitsDoNotDependOnThreads) {
  const auto run = [](int threads) {
    omp_set_num_threads(threads);
    Gaussians g = random_scene(3000, 17);
    for (torch::Tensor* t : {&g.means, &g.covariances, &g.colours, &g.opacities}) t->requires_grad_(true);
    const RenderOutputs out = render(g, small_camera(128));
    (out.full.sum() + out.components.square().sum() + out.inner_alpha.sum() + out.depth.sum()).backward();
    return std::vector<torch::Tensor>{out.full.detach(), out.components.detach(), g.means.grad(), g.covariances.grad(),
                                      g.colours.grad(), g.opacities.grad()};
  };
  const int before = omp_get_max_threads();
  const auto one = run(1), three = run(3);
  omp_set_num_threads(before);
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(torch::equal(one[i], three[i])) << i;
}

TEST(Render, WrongShapesAreNamed) {
  Gaussians g = random_scene(3, 1);
  g.colours = torch::zeros({4, 3});
  try {
    render(g, small_camera(16));
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "colours: shape [4, 3], expected [3, 3]");
  }
}

}  // namespace
}  // namespace layeravatar::splat
