// doctor: what this machine has, measured
#include <dlfcn.h>
#include <fmt/format.h>
#include <omp.h>
#include <torch/torch.h>

#include <chrono>
#include <fstream>

#include "layeravatar/app/command.h"
#include "layeravatar/core/error.h"
#include "layeravatar/geometry/camera.h"
#include "layeravatar/io/video.h"
#include "layeravatar/splat/render.h"

namespace layeravatar::app {
namespace {

double seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

// The library that the matrix products of this process come from.
std::string blas_library() {
  Dl_info info{};
  void* symbol = dlsym(RTLD_DEFAULT, "sgemm_");
  return symbol != nullptr && dladdr(symbol, &info) != 0 ? info.dli_fname : "none";
}

// One opaque splat at its centre pixel: 0.99 of its colour and 0.01 of the background.
bool splatter_works() {
  const splat::Gaussians one{torch::zeros({1, 3}), torch::tensor({{1e-4F, 0.F, 0.F, 1e-4F, 0.F, 1e-4F}}), torch::tensor({{0.2F, 0.4F, 0.6F}}),
                             torch::ones({1}), torch::zeros({1}, torch::kUInt8)};
  const auto out = splat::render(one, geometry::turntable_cameras(33)[0]);
  return std::abs(out.full[0][16][16].item<float>() - (0.99F * 0.2F + 0.01F)) < 1e-5F;
}

}  // namespace

void add_doctor(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("doctor", "What this machine has, a self-test, and what is missing.");
  command->callback([&] {
    chosen.run = [&common] {
      (void)common;
      const torch::Tensor a = torch::randn({2048, 2048}), b = torch::randn({2048, 2048});
      torch::mm(a, b);
      constexpr int kRounds = 5;
      const double time = seconds([&] {
        for (int i = 0; i < kRounds; ++i) torch::mm(a, b);
      });
      const double speed = kRounds * 2 * 2048.0 * 2048.0 * 2048.0 / time / 1e9;
      const bool works = splatter_works();
      std::puts(fmt::format("processor   {}", processor()).c_str());
      std::puts(fmt::format("threads     {} (OpenMP), {} (LibTorch)", omp_get_max_threads(), torch::get_num_threads()).c_str());
      std::puts(fmt::format("LibTorch    {}.{}.{}", TORCH_VERSION_MAJOR, TORCH_VERSION_MINOR, TORCH_VERSION_PATCH).c_str());
      std::puts(fmt::format("BLAS        {}: 2048^3 product at {:.0f} GFLOP/s{}", blas_library(), speed,
                            speed < 20 * omp_get_max_threads() ? "; this is slow: is it OpenBLAS?" : "").c_str());
      std::puts(fmt::format("GPU         none used: this build has cpu only").c_str());
      std::puts(fmt::format("ffmpeg      {}", io::have_ffmpeg() ? "found" : "not found: films cannot be made, frames can").c_str());
      std::puts(fmt::format("splatter    {}", works ? "self-test passed" : "self-test FAILED").c_str());
      return works ? 0 : static_cast<int>(ErrorKind::kInternal);
    };
  });
}

}  // namespace layeravatar::app
