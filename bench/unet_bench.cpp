// Time of the denoising U-Net: sampling step by size, precision and way (LibTorch's layers or the engine), and training step.
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "layeravatar/diffusion/training_loss.h"
#include "layeravatar/diffusion/unet_engine.h"
#include "machine.h"

namespace layeravatar::diffusion {
namespace {

// The default profile, or the official size, which is UNetConfig's own.
UNetConfig config_of(bool official) {
  UNetConfig config;
  if (official) return config;
  config.image_size = {96, 288};
  config.base_channels = 64;
  config.channel_factors = {0.75, 1.5, 2, 2, 3};
  config.attention_res = {12, 6};
  return config;
}

struct Batch {
  torch::Tensor x, t, noise;
  Batch(const UNetConfig& config, std::int64_t n)
      : x(torch::randn({n, 12, config.image_size[0], config.image_size[1]}) * 0.5), t(torch::randint(1000, {n}, torch::kInt64)), noise(torch::randn_like(x)) {}
};

// Zeros of untrained layers would spare work with denormals and infinities that a trained network has not.
std::shared_ptr<UNet> network(const UNetConfig& config, bool bf16) {
  const torch::NoGradGuard no_grad;
  auto unet = std::make_shared<UNet>(config);
  for (torch::Tensor& p : unet->parameters())
    if (p.dim() > 1) p.normal_(0, 1 / std::sqrt(static_cast<double>(p.numel() / p.size(0))));
  unet->set_precision(bf16 ? Precision::kBfloat16 : Precision::kFloat32);
  return unet;
}

// Arguments: official size; bfloat16; engine.
void step(benchmark::State& state) {
  if (bench::left_out(state, state.range(1) != 0 && state.range(2) == 0)) return;
  const torch::NoGradGuard no_grad;
  const UNetConfig config = config_of(state.range(0) != 0);
  const auto unet = network(config, state.range(1) != 0);
  UNetEngine engine(unet);
  const Batch batch(config, 1);
  const auto run = [&] { return state.range(2) != 0 ? engine.forward(batch.x, batch.t) : unet->forward(batch.x, batch.t); };
  benchmark::DoNotOptimize(run().data_ptr());  // packs the weights
  const auto begin = bench::Clock::now();
  for (auto _ : state) benchmark::DoNotOptimize(run().data_ptr());
  state.counters["MiB"] = static_cast<double>(engine.memory()) / (1 << 20);
  // In float32: bfloat16's peak is not measured here.
  if (state.range(2) != 0) bench::set_floor(state, bench::per_iteration(state, begin), 2 * engine.work().products, engine.work().weight_bytes, std::min(2, omp_get_max_threads()), bench::kBest);
}

// Arguments: bfloat16; images.
void training_step(benchmark::State& state) {
  if (bench::left_out(state, state.range(0) != 0)) return;
  const auto unet = network(config_of(false), state.range(0) != 0);
  Batch batch(unet->config(), state.range(1));
  batch.x.requires_grad_(true);
  const Schedule schedule;
  for (auto _ : state) {
    unet->zero_grad();
    training_loss(*unet, schedule, batch.x, batch.t, batch.noise).value.backward();
  }
}

BENCHMARK(step)->ArgNames({"official", "bf16", "engine"})->ArgsProduct({{0, 1}, {0, 1}, {0, 1}})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(training_step)->ArgNames({"bf16", "images"})->ArgsProduct({{0, 1}, {1, 4}})->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace layeravatar::diffusion

int main(int argc, char** argv) { return layeravatar::bench::run(argc, argv); }
