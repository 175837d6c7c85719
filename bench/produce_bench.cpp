// Time of each stage from a pack to pictures, on the shipped pack or the one that LAYERAVATAR_BENCH_PACK names.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "layeravatar/io/png.h"
#include "layeravatar/produce/release_files.h"
#include "layeravatar/produce/sampling.h"
#include "layeravatar/produce/studio.h"
#include "machine.h"

namespace layeravatar::produce {
namespace {

std::string pack_file() {
  const char* const named = std::getenv("LAYERAVATAR_BENCH_PACK");
  return named != nullptr ? named : LAV_SOURCE_DIR "/models/default.safetensors";
}

// One avatar, seen from the front.
struct Scene {
  Studio studio = open_studio(pack_file());
  torch::Tensor planes;
  avatar::GaussianAttributes attributes;
  splat::Gaussians posed;
  geometry::Camera camera;
  Scene() {
    set_precision(studio, "auto");
    const SamplingOptions few{.sampler = "ddim", .spacing = "uniform", .steps = 4, .progress = {}};
    planes = sample_planes(studio, noise_of(studio, 1).unsqueeze(0), 1, few)[0];
    attributes = decode(studio, planes);
    posed = pose(studio, attributes, {}, body::default_viewing_pose());
    camera = geometry::turntable_cameras(studio.config.image_size)[0];
  }
};

const Scene& scene() {
  static const Scene one;
  return one;
}

void open(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(open_studio(pack_file()));
}

void sampling(benchmark::State& state) {
  const Scene& s = scene();
  const SamplingOptions usual = usual_sampling(s.studio, {.progress = {}});
  state.SetLabel(usual.sampler + ", " + std::to_string(usual.steps) + " steps");
  for (auto _ : state) benchmark::DoNotOptimize(sample_planes(s.studio, noise_of(s.studio, 1).unsqueeze(0), 1, usual));
}

// With what follows the sampler: clothes put in front of the skin, floating Gaussians faded.
void sampling_and_settling(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(sample_avatars(scene().studio, {1}, {.progress = {}}));
}

void decoding(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(decode(scene().studio, scene().planes));
}

void posing(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(pose(scene().studio, scene().attributes, {}, body::default_viewing_pose()));
}

void drawing(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(render_view(scene().posed, scene().camera, state.range(0) != 0));
}

void picture_of_one(benchmark::State& state) {
  const splat::RenderOutputs view = render_view(scene().posed, scene().camera, true);
  for (auto _ : state) benchmark::DoNotOptimize(picture(view.full));
}

void panels_of_one(benchmark::State& state) {
  const splat::RenderOutputs view = render_view(scene().posed, scene().camera, true);
  for (auto _ : state) benchmark::DoNotOptimize(release_panels(view));
}

void png(benchmark::State& state) {
  const splat::RenderOutputs view = render_view(scene().posed, scene().camera, true);
  const io::Image image = state.range(0) != 0 ? release_panels(view) : picture(view.full);
  for (auto _ : state) benchmark::DoNotOptimize(io::format_png(image, 1));
}

#define LAV_STAGE(name) BENCHMARK(name)->Unit(benchmark::kMillisecond)->UseRealTime()
LAV_STAGE(open);
LAV_STAGE(sampling);
LAV_STAGE(sampling_and_settling);
LAV_STAGE(decoding);
LAV_STAGE(posing);
LAV_STAGE(drawing)->ArgName("components")->Arg(0)->Arg(1);
LAV_STAGE(picture_of_one);
LAV_STAGE(panels_of_one);
LAV_STAGE(png)->ArgName("panels")->Arg(0)->Arg(1);

}  // namespace
}  // namespace layeravatar::produce

int main(int argc, char** argv) { return layeravatar::bench::run(argc, argv); }
