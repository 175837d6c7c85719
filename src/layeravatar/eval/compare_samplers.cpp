#include "layeravatar/eval/compare_samplers.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <chrono>
#include <string>
#include <utility>

#include "layeravatar/core/error.h"
#include "layeravatar/eval/metrics.h"
#include "layeravatar/produce/command_parts.h"
#include "layeravatar/produce/sampling.h"

namespace layeravatar::eval {
namespace {

struct View {
  torch::Tensor picture, alpha;
};

std::vector<View> views_of(const produce::Studio& studio, const torch::Tensor& planes, int size) {
  const auto around = geometry::turntable_cameras(size);
  const splat::Gaussians posed = produce::pose(studio, produce::decode(studio, planes), studio.betas.predict(planes), body::default_viewing_pose());
  std::vector<View> out;
  for (const std::size_t view : {0UL, around.size() / 2}) {
    const splat::RenderOutputs o = produce::render_view(posed, around[view], false);
    out.push_back({o.full, o.alpha});
  }
  return out;
}

}  // namespace

std::vector<ComparedSampler> compare_samplers(const CompareOptions& o, const produce::Say& say) {
  constexpr int kMostNoises = 100, kMargin = 8;
  produce::require_range("count", o.count, 1, kMostNoises);
  const produce::Studio studio = produce::open_studio(o.model);
  produce::set_precision(studio, o.precision);
  const int size = produce::image_size(studio, o.size);
  std::vector<produce::SamplingOptions> kinds;
  const auto add = [&](const char* sampler, int order, const char* spacing, int steps) {
    kinds.push_back(produce::usual_sampling(studio, {.sampler = sampler, .spacing = spacing, .steps = steps, .order = order, .progress = {}}));
  };
  add("ddim", 0, "uniform", o.reference_steps);
  add("ddim", 0, "uniform", 50);
  constexpr std::pair<const char*, int> kKinds[] = {{"ddim", 0}, {"dpmpp", 2}, {"unipc", 2}, {"unipc", 3}};
  for (const auto& [sampler, order] : kKinds)
    for (const char* const spacing : {"uniform", "logsnr", "quadratic"})
      for (const int steps : o.steps)
        if (steps != 50 || std::string(sampler) != "ddim" || std::string(spacing) != "uniform") add(sampler, order, spacing, steps);
  std::vector<ComparedSampler> out(kinds.size() - 1);
  for (int i = 0; i < o.count; ++i) {
    const std::uint64_t seed = o.seed + static_cast<std::uint64_t>(i);
    const torch::Tensor noise = produce::noise_of(studio, seed).unsqueeze(0);
    torch::Tensor reference;
    std::vector<View> wanted;
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      const auto begin = std::chrono::steady_clock::now();
      const torch::Tensor planes = produce::sample_planes(studio, noise, seed, kinds[k])[0];
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
      const std::vector<View> views = views_of(studio, planes, size);
      if (k == 0) {
        reference = planes;
        wanted = views;
        say(fmt::format("noise {} of {}: the reference, {} steps, took {:.1f} s", i + 1, o.count, o.reference_steps, time.count()));
        continue;
      }
      ComparedSampler& row = out[k - 1];
      row.sampler = kinds[k].sampler, row.spacing = kinds[k].spacing, row.order = kinds[k].order, row.steps = kinds[k].steps;
      row.distance += (planes - reference).square().mean().sqrt().item<double>() / o.count;
      row.seconds += time.count() / o.count;
      for (std::size_t v = 0; v < views.size(); ++v)
        row.psnr += psnr(views[v].picture, wanted[v].picture, box_of(wanted[v].alpha, kMargin)) / static_cast<double>(views.size()) / o.count;
    }
  }
  return out;
}

}  // namespace layeravatar::eval
