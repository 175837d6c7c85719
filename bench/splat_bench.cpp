// Time of one view with all outputs: a cylinder the size of a person in five layers, 40 thousand flat Gaussians.
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "layeravatar/splat/render.h"

namespace layeravatar::splat {
namespace {

Gaussians cylinder(std::int64_t n) {
  torch::manual_seed(1);
  const torch::Tensor layer = torch::randint(0, 5, {n}), height = 1.7 * torch::rand({n}) - 0.85;
  const torch::Tensor angle = 2 * M_PI * torch::rand({n}), radius = 0.15 + 0.01 * layer;
  const torch::Tensor normal = torch::stack({angle.cos(), torch::zeros({n}), angle.sin()}, 1);
  Gaussians g;
  g.means = torch::stack({radius * angle.cos(), height, radius * angle.sin()}, 1);
  const torch::Tensor flat = torch::eye(3).unsqueeze(0) - 0.9999 * normal.unsqueeze(2) * normal.unsqueeze(1);
  g.covariances =
      (0.006 * 0.006 * flat).reshape({n, 9}).index_select(1, torch::tensor({0, 1, 2, 4, 5, 8})).contiguous();
  g.colours = torch::rand({n, 3});
  g.opacities = 0.1 + 0.9 * torch::rand({n});
  g.components = layer.to(torch::kUInt8);
  for (torch::Tensor* t : {&g.means, &g.covariances, &g.colours, &g.opacities}) t->requires_grad_(true);
  return g;
}

void forward(benchmark::State& state) {
  const torch::NoGradGuard guard;
  const Gaussians g = cylinder(state.range(0));
  const geometry::Camera camera = geometry::turntable_cameras(static_cast<int>(state.range(1)))[1];
  for (auto _ : state) benchmark::DoNotOptimize(render(g, camera));
}

void forward_and_backward(benchmark::State& state) {
  const Gaussians g = cylinder(state.range(0));
  const geometry::Camera camera = geometry::turntable_cameras(static_cast<int>(state.range(1)))[1];
  std::vector<torch::Tensor> gradients;
  for (auto _ : state) {
    const RenderOutputs o = render(g, camera);
    const std::vector<torch::Tensor> outputs{o.full, o.alpha, o.depth, o.components, o.component_alphas, o.inner_alpha};
    if (gradients.empty())
      for (const torch::Tensor& t : outputs) gradients.push_back(torch::rand(t.sizes()));
    torch::autograd::backward(outputs, gradients);
  }
}

BENCHMARK(forward)->ArgsProduct({{40000}, {256, 512, 1024}})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(forward_and_backward)->ArgsProduct({{40000}, {256, 512, 1024}})->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace layeravatar::splat

BENCHMARK_MAIN();
