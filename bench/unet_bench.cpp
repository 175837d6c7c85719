// Time of the denoising U-Net of the default profile: sampling step and training step, by precision and batch.
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "layeravatar/diffusion/training_loss.h"

namespace layeravatar::diffusion {
namespace {

UNetConfig default_profile() {
  UNetConfig config;
  config.image_size = {96, 288};
  config.base_channels = 64;
  config.channel_factors = {0.75, 1.5, 2, 2, 3};
  config.attention_res = {12, 6};
  return config;
}

struct Batch {
  torch::Tensor x, t, noise;
  explicit Batch(std::int64_t n)
      : x(torch::randn({n, 12, 96, 288}) * 0.5), t(torch::randint(1000, {n}, torch::kInt64)), noise(torch::randn_like(x)) {}
};

// Arguments: 0 float32, 1 bfloat16; images.
void step(benchmark::State& state) {
  const torch::NoGradGuard no_grad;
  UNet unet(default_profile());
  unet.set_precision(state.range(0) == 0 ? Precision::kFloat32 : Precision::kBfloat16);
  const Batch batch(state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(unet.forward(batch.x, batch.t).data_ptr());
}

void training_step(benchmark::State& state) {
  UNet unet(default_profile());
  unet.set_precision(state.range(0) == 0 ? Precision::kFloat32 : Precision::kBfloat16);
  Batch batch(state.range(1));
  batch.x.requires_grad_(true);
  const Schedule schedule;
  for (auto _ : state) {
    unet.zero_grad();
    training_loss(unet, schedule, batch.x, batch.t, batch.noise).value.backward();
  }
}

BENCHMARK(step)->ArgNames({"bf16", "images"})->ArgsProduct({{0, 1}, {1}})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(training_step)->ArgNames({"bf16", "images"})->ArgsProduct({{0, 1}, {1, 4}})->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace layeravatar::diffusion

BENCHMARK_MAIN();
