// Time of one view. Official scene: 89 490 flat discs in five layers of a body of 1.7 m, as large as the distance to
// their neighbours, seen from 10 m at f = 5000 px and 1024 x 1024 pixels. Close-up: ellipsoids of 4 to 8 mm from 2.5 m.
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include <bit>
#include <utility>

#include "body_surface.h"
#include "layeravatar/splat/kernels/splat_kernel.h"
#include "layeravatar/splat/render.h"
#include "machine.h"

namespace layeravatar::splat {
namespace {

using bench::Held;

Gaussians gaussians_of(const std::vector<bench::SurfacePoint>& points, bool flat) {
  torch::manual_seed(1);
  const auto n = static_cast<std::int64_t>(points.size());
  Gaussians g;
  torch::Tensor normals = torch::empty({n, 3}), sizes = torch::empty({n, 1});
  g.means = torch::empty({n, 3});
  g.components = torch::empty({n}, torch::kUInt8);
  for (std::int64_t i = 0; i < n; ++i) {
    const bench::SurfacePoint& p = points[static_cast<std::size_t>(i)];
    for (std::int64_t k = 0; k < 3; ++k) {
      g.means.data_ptr<float>()[3 * i + k] = p.at[static_cast<std::size_t>(k)];
      normals.data_ptr<float>()[3 * i + k] = p.normal[static_cast<std::size_t>(k)];
    }
    sizes.data_ptr<float>()[i] = p.size;
    g.components.data_ptr<std::uint8_t>()[i] = p.component;
  }
  const torch::Tensor seed = torch::randn({n, 3});
  const torch::Tensor z = flat ? normals : torch::nn::functional::normalize(torch::randn({n, 3}));
  const torch::Tensor x = torch::nn::functional::normalize(seed - (seed * z).sum(1, true) * z);
  const torch::Tensor axes = torch::stack({x, torch::cross(z, x, 1), z}, 2);
  const torch::Tensor scales = flat ? sizes * (0.8 + 0.4 * torch::rand({n, 3})) * torch::tensor({1.0F, 1.0F, 0.01F})
                                    : 0.004 + 0.004 * torch::rand({n, 3});
  const torch::Tensor half = axes * scales.unsqueeze(1);
  g.covariances = half.matmul(half.transpose(1, 2)).reshape({n, 9}).index_select(1, torch::tensor({0, 1, 2, 4, 5, 8})).contiguous();
  g.colours = torch::rand({n, 3});
  g.opacities = 0.5 + 0.5 * torch::rand({n});
  return g;
}

geometry::Camera camera_at(double distance, double focal, int size) {
  geometry::Camera camera;
  camera.camera_from_world = geometry::invert_rigid(geometry::world_from_camera_on_sphere(std::numbers::pi / 2, 0.35, distance));
  camera.focal = focal;
  camera.width = camera.height = size;
  return camera;
}

struct Scene {
  Gaussians gaussians;
  geometry::Camera camera;
};

// thousandths of the official number, pixels
Scene official(const benchmark::State& state) {
  const int size = static_cast<int>(state.range(1));
  return {gaussians_of(bench::dressed_body(static_cast<double>(state.range(0)) / 1000), true), camera_at(10, 5000.0 * size / 1024, size)};
}

// thousands, pixels
Scene closeup(const benchmark::State& state) {
  std::vector<bench::SurfacePoint> points;
  std::mt19937 random(5);
  bench::add_layer(points, 1000 * state.range(0), {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0, 0, random);
  std::shuffle(points.begin(), points.end(), random);
  const int size = static_cast<int>(state.range(1));
  return {gaussians_of(points, false), camera_at(2.5, 1.35 * size, size)};
}

// Vector operations for one splat in one block of 4 x 4 pixels, one for each vector of sixteen: counted in the sources. Forward: offset and exponent 7, power of
// two 13, alpha and transmittance 7, colours and depth 4. Back: the first 20 and alpha again, the reciprocal 4, value 4, transmittance and rest 9, sums 15.
constexpr double kForward = 31, kForwardOwn = 8, kForwardInner = 6, kBackward = 55, kBackwardOwn = 16, kBackwardInner = 16;

// Operations and bytes of memory that a view costs at least with this algorithm: blocks that splats can reach before every pixel is
// full, the Gaussians once and the images once; on the way back the same again and the gradients.
std::pair<double, double> least_work(const Gaussians& g, const geometry::Camera& camera, bool all, bool backward) {
  SplatView view{};
  for (std::size_t k = 0; k < 12; ++k) view.camera_from_world[k] = static_cast<float>(camera.camera_from_world[k]);
  view.focal = static_cast<float>(camera.focal);
  view.width = camera.width;
  view.height = camera.height;
  const auto pixels = static_cast<std::size_t>(camera.width) * static_cast<std::size_t>(camera.height);
  std::vector<float> planes(31 * pixels);
  float* const p = planes.data();
  const SplatImages images{p, p + 3 * pixels, p + 4 * pixels, all ? p + 5 * pixels : nullptr, all ? p + 20 * pixels : nullptr,
                           all ? p + 25 * pixels : nullptr, all ? p + 26 * pixels : nullptr};
  const auto data = [](const torch::Tensor& t) { return t.data_ptr<float>(); };
  SplatScratch s;
  splat_forward_cpu({data(g.means), data(g.covariances), data(g.colours), data(g.opacities), g.components.data_ptr<std::uint8_t>(), g.means.size(0), view,
                     {1, 1, 1}, 0, all, false}, images, s);
  double operations = 0;
  for (std::size_t tile = 0; tile + 1 < s.tile_start.size(); ++tile)
    for (std::size_t at = s.tile_start[tile]; at < s.tile_start[tile + 1] && at < s.tile_stop[tile]; ++at) {
      const SplatPair& pair = s.pairs[at];
      double of_block = kForward + (backward ? kBackward : 0);
      if (all && pair.component < kComponents) of_block += kForwardOwn + (backward ? kBackwardOwn : 0);
      if (all && pair.component == 0) of_block += kForwardInner + (backward ? kBackwardInner : 0);
      operations += of_block * std::popcount(pair.blocks) * 32;  // sixteen pixels, and a multiply-add counts as two
    }
  const double of_images = (all ? 31.0 : 5.0) * 4 * static_cast<double>(pixels), of_gaussians = 53.0 * static_cast<double>(g.means.size(0));
  return {operations, backward ? 3 * of_images + 3 * of_gaussians : of_images + of_gaussians};
}

void set_floor(benchmark::State& state, double time, const Scene& scene, bool all, bool backward) {
  const torch::NoGradGuard guard;
  const auto [operations, bytes] = least_work(scene.gaussians, scene.camera, all, backward);
  bench::set_floor(state, time, operations, bytes, state.range(2), state.range(3));
}

void forward(benchmark::State& state, const Scene& scene, bool all) {
  const Held held(state.range(2), state.range(3));
  const torch::NoGradGuard guard;
  RenderOptions options;
  options.components = all;
  render(scene.gaussians, scene.camera, options);
  const auto begin = bench::Clock::now();
  for (auto _ : state) benchmark::DoNotOptimize(render(scene.gaussians, scene.camera, options));
  set_floor(state, bench::per_iteration(state, begin), scene, all, false);
}

void forward_and_backward(benchmark::State& state, Scene scene, bool all) {
  const Held held(state.range(2), state.range(3));
  Gaussians& g = scene.gaussians;
  for (torch::Tensor* t : {&g.means, &g.covariances, &g.colours, &g.opacities}) t->requires_grad_(true);
  RenderOptions options;
  options.components = all;
  std::vector<torch::Tensor> gradients;
  const auto step = [&] {
    const RenderOutputs o = render(g, scene.camera, options);
    std::vector<torch::Tensor> outputs{o.full, o.alpha, o.depth};
    if (all) outputs.insert(outputs.end(), {o.components, o.component_alphas, o.inner_alpha});
    if (!all) outputs.resize(1);
    if (gradients.empty())
      for (const torch::Tensor& t : outputs) gradients.push_back(torch::rand(t.sizes()));
    for (torch::Tensor* t : {&g.means, &g.covariances, &g.colours, &g.opacities}) t->mutable_grad() = torch::Tensor();
    torch::autograd::backward(outputs, gradients);
  };
  step();
  const auto begin = bench::Clock::now();
  for (auto _ : state) step();
  set_floor(state, bench::per_iteration(state, begin), scene, all, true);
}

void official_rows(benchmark::internal::Benchmark* b) {
  b->ArgNames({"permille", "pixels", "threads", "set"})->Unit(benchmark::kMillisecond)->UseRealTime();
  bench::rows(b, {1000, 1024});
  for (const std::int64_t pixels : {256, 512}) b->Args({1000, pixels, 2, bench::kBest});
  for (const std::int64_t permille : {100, 300, 2235}) b->Args({permille, 1024, 2, bench::kBest});
}

void closeup_rows(benchmark::internal::Benchmark* b) {
  b->ArgNames({"thousands", "pixels", "threads", "set"})->Unit(benchmark::kMillisecond)->UseRealTime();
  bench::rows(b, {200, 512});
}

void official_full(benchmark::State& s) { forward(s, official(s), false); }
void official_all(benchmark::State& s) { forward(s, official(s), true); }
void official_full_backward(benchmark::State& s) { forward_and_backward(s, official(s), false); }
void official_all_backward(benchmark::State& s) { forward_and_backward(s, official(s), true); }
void closeup_full(benchmark::State& s) { forward(s, closeup(s), false); }
void closeup_full_backward(benchmark::State& s) { forward_and_backward(s, closeup(s), false); }

BENCHMARK(official_full)->Apply(official_rows);
BENCHMARK(official_all)->Apply(official_rows);
BENCHMARK(official_full_backward)->Apply(official_rows);
BENCHMARK(official_all_backward)->Apply(official_rows);
BENCHMARK(closeup_full)->Apply(closeup_rows);
BENCHMARK(closeup_full_backward)->Apply(closeup_rows);

}  // namespace
}  // namespace layeravatar::splat

int main(int argc, char** argv) { return layeravatar::bench::run(argc, argv); }
