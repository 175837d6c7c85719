// Time of one training iteration by stage of the work, at the official size (planes 12 x 128 x 384, 89 490 Gaussians, 1024 x 1024 pixels) and with the
// networks of the default profile at 512 x 512.
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include <filesystem>

#include "layeravatar/train/trainer.h"
#include "machine.h"
#include "official_template.h"

namespace layeravatar::train {
namespace {

// Views of one grey scene; its labels are a disk of each component.
class GreyScene : public SceneSource {
 public:
  explicit GreyScene(int views) : views_(views) {}
  std::vector<std::string> names() const override { return {"0000"}; }
  SceneBatch load(std::int64_t /*scene*/, std::int64_t /*epoch*/, int size) override {
    if (made_.images.defined()) return made_;
    made_.images = torch::full({views_, 3, size, size}, 0.5F);
    const torch::Tensor at = torch::arange(size);
    const torch::Tensor row = at.unsqueeze(1) * 6 / size, inside = (at - size / 2).abs() * 5 < size;
    made_.labels = (row * inside).to(torch::kUInt8).unsqueeze(0).repeat({views_, 1, 1});
    for (const geometry::Camera& camera : geometry::turntable_cameras(size))
      if (static_cast<int>(made_.cameras.size()) < views_) made_.cameras.push_back(camera);
    made_.params = body::default_viewing_pose();
    return made_;
  }

 private:
  int views_;
  SceneBatch made_;
};

TrainConfig config_of(bool official, bool bf16, bool diffusion) {
  TrainConfig config;
  if (official) {
    config.planes_height = 128;
    config.unet_base_channels = 128;
    config.unet_channel_factors = {0.5, 1, 2, 2, 4, 4};
    config.unet_attention = {16, 8, 4};
  } else {
    config.planes_height = 96;
    config.unet_channel_factors = {0.75, 1.5, 2, 2, 3};
    config.unet_attention = {12, 6};
    config.unet_scenes = 2;
  }
  config.unet_precision = bf16 ? "bf16" : "fp32";
  config.stages[0].image_size = official ? 1024 : 512;
  config.stages[0].diffusion = diffusion;
  return config;
}

// Arguments: official; the U-Net in bfloat16; with the diffusion model.
void iteration(benchmark::State& state) {
  if (bench::left_out(state, state.range(1) != 0)) return;
  const auto folder = std::filesystem::temp_directory_path() / ("layeravatar_train_bench_" + std::to_string(::getpid()));
  {
    const TrainConfig config = config_of(state.range(0) != 0, state.range(1) != 0, state.range(2) != 0);
    Trainer trainer(config, bench::official_body(), bench::official_template(), std::make_shared<GreyScene>(config.views_per_scene),
                    {.folder = folder, .start = {}, .say = {}});
    StepTimes times;
    trainer.step(times);
    times = {};
    for (auto _ : state) trainer.step(times);
    const auto per = [&](double seconds) { return 1e3 * seconds / static_cast<double>(state.iterations()); };
    for (const auto& [name, seconds] : {std::pair{"load", times.load}, {"decode", times.decode}, {"deform", times.deform}, {"splat", times.splat},
                                        {"losses", times.losses}, {"unet", times.unet}, {"optimiser", times.optimiser}})
      state.counters[name] = per(seconds);
  }
  std::filesystem::remove_all(folder);
}

BENCHMARK(iteration)->ArgNames({"official", "bf16", "diffusion"})->Args({0, 0, 0})->Args({0, 0, 1})->Args({0, 1, 1})->Args({1, 0, 0})->Args({1, 0, 1})->Args({1, 1, 1})->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace layeravatar::train

int main(int argc, char** argv) { return layeravatar::bench::run(argc, argv); }
