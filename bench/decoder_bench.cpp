// Time of one avatar's decoding at the official size: planes 12 x 128 x 384, 89 490 Gaussians; and with the way back to planes and parameters.
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "layeravatar/avatar/decoder.h"
#include "layeravatar/avatar/kernels/decoder_kernel.h"
#include "machine.h"

namespace layeravatar::avatar {
namespace {

constexpr std::int64_t kCount = 89490;
// Convolutions of 6 to 64 and 6 to 128 channels, each of their 7 x 7 in 121 products for 2 x 2 pixels, the heads' 1 x 1 to 10 and 3, and 13 channels from four texels; on the way back as much for the
// inputs and again for the parameters.
constexpr double kOperations = 2.0 * 128 * 384 * (121.0 / 4 * 6 * 192 + 64 * 10 + 128 * 3) + 8.0 * 13 * kCount;
constexpr double kBytes = 4.0 * (12 * 128 * 384 + 2 * 13 * 128 * 384 + 13 * kCount);

struct Case {
  Decoder decoder;
  MapSampler sampler;
  torch::Tensor planes = torch::randn({1, 12, 128, 384});

  Case() : sampler(uvs()) {}
  // Gaussians lie along the map in the order of faces: neighbours in the list are neighbours in the map.
  static std::vector<float> uvs() {
    std::vector<float> out(2 * kCount);
    const auto columns = static_cast<std::int64_t>(std::sqrt(3.0 * kCount));
    for (std::int64_t i = 0; i < kCount; ++i) {
      out[static_cast<std::size_t>(2 * i)] = (static_cast<float>(i % columns) + 0.37F) / static_cast<float>(columns);
      out[static_cast<std::size_t>(2 * i + 1)] = static_cast<float>(i / columns) / static_cast<float>(kCount / columns + 1);
    }
    return out;
  }
};

// Instruction sets of decoder_kernel.h by the bench's.
void hold(std::int64_t set) {
  const int best = decoder_kernels_count() - 1;
  use_decoder_kernels(set == bench::kBest ? best : std::min(best, set == bench::kAvx2 ? 1 : 0));
}

void decode(benchmark::State& state) {
  const bench::Held held(state.range(0), state.range(1));
  hold(state.range(1));
  const torch::NoGradGuard no_grad;
  Case c;
  c.decoder.eval();
  const auto step = [&] { return attributes_from_samples(c.sampler.sample(c.decoder.attribute_map(c.planes))[0]); };
  step();
  const auto begin = bench::Clock::now();
  for (auto _ : state) benchmark::DoNotOptimize(step());
  bench::set_floor(state, bench::per_iteration(state, begin), kOperations, kBytes, state.range(0), state.range(1));
  hold(bench::kBest);
}

void decode_and_backward(benchmark::State& state) {
  const bench::Held held(state.range(0), state.range(1));
  hold(state.range(1));
  Case c;
  c.planes.requires_grad_(true);
  const torch::Tensor by = torch::rand({1, kCount, kAttributeChannels});
  const auto step = [&] {
    c.decoder.zero_grad();
    c.planes.mutable_grad() = torch::Tensor();
    c.sampler.sample(c.decoder.attribute_map(c.planes)).backward(by);
  };
  step();
  const auto begin = bench::Clock::now();
  for (auto _ : state) step();
  bench::set_floor(state, bench::per_iteration(state, begin), 3 * kOperations, 3 * kBytes, state.range(0), state.range(1));
  hold(bench::kBest);
}

void sample(benchmark::State& state) {
  const bench::Held held(state.range(0), state.range(1));
  const torch::NoGradGuard no_grad;
  Case c;
  const torch::Tensor map = torch::rand({1, kAttributeChannels, 128, 384});
  benchmark::DoNotOptimize(c.sampler.sample(map));
  const auto begin = bench::Clock::now();
  for (auto _ : state) benchmark::DoNotOptimize(c.sampler.sample(map));
  bench::set_floor(state, bench::per_iteration(state, begin), 8.0 * 13 * kCount, 4.0 * 13 * (128 * 384 + kCount), state.range(0), state.range(1));
}

void all_rows(benchmark::internal::Benchmark* b) {
  b->ArgNames({"threads", "set"})->Unit(benchmark::kMillisecond)->UseRealTime();
  bench::rows(b, {});
}

BENCHMARK(decode)->Apply(all_rows);
BENCHMARK(decode_and_backward)->Apply(all_rows);
BENCHMARK(sample)->Apply(all_rows);

}  // namespace
}  // namespace layeravatar::avatar

int main(int argc, char** argv) { return layeravatar::bench::run(argc, argv); }
