#include "layeravatar/produce/sampling.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <future>
#include <iterator>
#include <memory>
#include <utility>

#include "layeravatar/avatar/plane_owner.h"
#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/sampler.h"
#include "layeravatar/produce/command_parts.h"
#include "layeravatar/produce/likeness.h"
#include "layeravatar/produce/settler.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/tensor/one_thread.h"

namespace layeravatar::produce {
namespace {

constexpr std::uint64_t kStepSeed = 0xDD93;  // of noise from elsewhere

// What a sampler usually takes, with default packs and with official ones.
struct Usual {
  const char* sampler;
  const char* spacing;
  int steps, official_steps, order;
};
constexpr Usual kUsual[] = {{"ddim", "uniform", 25, 50, 0}, {"ddpm", "uniform", 25, 50, 0}, {"dpmpp", "logsnr", 15, 20, 2}, {"unipc", "logsnr", 10, 15, 3}};

constexpr std::pair<const char*, diffusion::Spacing> kSpacings[] = {
    {"uniform", diffusion::Spacing::kUniform}, {"logsnr", diffusion::Spacing::kLogSnr}, {"quadratic", diffusion::Spacing::kQuadratic}};

// The prior's classes as far as `like` leaves them; null where nothing is asked for.
std::shared_ptr<const diffusion::Classes> asked_for(const Studio& s, const SamplingOptions& o) {
  if (o.like.empty() || o.guidance == 0) return nullptr;
  const diffusion::Condition condition = condition_named(s.config.attributes, o.like);
  if (!s.unet) throw Error(ErrorKind::kInput, "the pack holds no denoiser; it cannot generate");
  return std::make_shared<const diffusion::Classes>(s.unet->prior()->given(condition));
}

// One seed per avatar for the noise of its steps; `noise` [n, 12, h, 3h].
std::vector<avatar::Avatar> sample(const Studio& s, const torch::Tensor& noise, const std::vector<std::string>& names,
                                   const std::vector<std::uint64_t>& step_seeds, SamplingOptions options) {
  options = usual_sampling(s, std::move(options));
  const std::int64_t h = s.config.planes_height;
  tensor::expect_shape(noise, {static_cast<std::int64_t>(names.size()), 12, h, 3 * h}, "noise");
  const torch::NoGradGuard no_grad;
  // Beside the packing of weights, which takes all threads, and the first steps.
  std::future<std::unique_ptr<Settler>> making = std::async(std::launch::async, [&s] {
    const torch::NoGradGuard no_grad_here;
    tensor::stay_on_one_thread();
    if (s.unet && s.unet->prior() != nullptr) s.unet->prior()->prepare();
    return s.config.profile == "official" ? nullptr : std::make_unique<Settler>(s);
  });
  if (s.engine) s.engine->prepare();
  std::unique_ptr<Settler> settler;
  std::vector<avatar::Avatar> out;
  for (std::int64_t i = 0; i < noise.size(0); ++i) {
    SamplingOptions one_of = options;
    if (options.progress)
      one_of.progress = [&](int done, int steps) { options.progress(static_cast<int>(i) * steps + done, static_cast<int>(noise.size(0)) * steps); };
    const torch::Tensor planes = sample_planes(s, noise.slice(0, i, i + 1), step_seeds[static_cast<std::size_t>(i)], one_of);
    if (making.valid()) settler = making.get();
    avatar::Avatar one;
    one.planes = (settler ? settler->settle(planes[0], options.held.mask) : planes[0]).contiguous();
    one.betas = s.betas.predict(one.planes);
    one.provenance = {{"pack", s.pack_hash.get()}, {"source", names[static_cast<std::size_t>(i)]}, {"sampler", options.sampler},
                      {"steps", std::to_string(options.steps)}, {"spacing", options.spacing}};
    if (options.order != 0) one.provenance["order"] = std::to_string(options.order);
    if (options.eta != 0) one.provenance["eta"] = fmt::format("{}", options.eta);
    if (!options.like.empty()) one.provenance["like"] = options.like, one.provenance["guidance"] = fmt::format("{}", options.guidance);
    if (options.sampler == "ddpm") one.provenance["variance"] = options.small_variance ? "small" : "large";
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace

SamplingOptions usual_sampling(const Studio& s, SamplingOptions o) {
  const bool official = s.config.profile == "official";
  if (o.sampler.empty()) o.sampler = official || o.eta > 0 ? "ddim" : "unipc";  // the release's; docs/performance.md
  const auto usual = std::find_if(std::begin(kUsual), std::end(kUsual), [&](const Usual& u) { return o.sampler == u.sampler; });
  if (usual == std::end(kUsual)) throw Error(ErrorKind::kConfig, fmt::format("sampler = {}, must be ddim, ddpm, dpmpp or unipc", o.sampler));
  if (o.spacing.empty()) o.spacing = usual->spacing;
  if (std::none_of(std::begin(kSpacings), std::end(kSpacings), [&](const auto& one) { return o.spacing == one.first; }))
    throw Error(ErrorKind::kConfig, fmt::format("spacing = {}, must be uniform, logsnr or quadratic", o.spacing));
  if (o.order != 0 && usual->order == 0) throw Error(ErrorKind::kConfig, fmt::format("order = {}, needs sampler = dpmpp or unipc", o.order));
  if (o.order == 0) o.order = usual->order;
  if (o.steps == 0) o.steps = official ? usual->official_steps : usual->steps;
  require_range("steps", o.steps, 1, static_cast<int>(s.schedule.size()));
  if (!(o.eta >= 0 && o.eta <= 1)) throw Error(ErrorKind::kConfig, fmt::format("eta = {}, must be in 0..1", o.eta));
  if (!o.asked) o.asked = asked_for(s, o);
  if (!(o.guidance >= 0 && o.guidance <= 20)) throw Error(ErrorKind::kConfig, fmt::format("guidance = {}, must be in 0..20", o.guidance));
  if (o.eta > 0 && o.sampler != "ddim") throw Error(ErrorKind::kConfig, fmt::format("eta = {}, needs sampler = ddim", o.eta));
  return o;
}

int component_named(const std::string& name, const std::string& flag) {
  constexpr std::array<const char*, 5> kNames = {"body", "top", "hair", "shoes", "bottom"};
  const auto at = std::find(kNames.begin(), kNames.end(), name);
  if (at == kNames.end()) throw Error(ErrorKind::kConfig, fmt::format("{}: component '{}', must be body, top, hair, shoes or bottom", flag, name));
  return static_cast<int>(at - kNames.begin());
}

diffusion::Held hold(const Studio& s, const std::vector<Kept>& kept) {
  const std::int64_t h = s.config.planes_height;
  const templates::LayeredTemplate& layers = s.deformer->layers();
  diffusion::Held out{torch::zeros({avatar::kPlaneChannels, h, 3 * h}), torch::zeros({avatar::kPlaneChannels, h, 3 * h}, torch::kBool)};
  std::array<bool, 5> seen{};
  const auto add = [&](const Kept& one, const torch::Tensor& texels) {
    out.x0 = torch::where(texels.logical_and(out.mask.logical_not()), one.avatar->planes, out.x0);
    out.mask = out.mask.logical_or(texels);
  };
  for (const Kept& one : kept) {
    if (std::exchange(seen.at(static_cast<std::size_t>(one.component)), true)) throw Error(ErrorKind::kConfig, "keep: a component is kept twice");
    add(one, avatar::component_texels(layers, h, one.component, true));
  }
  for (const Kept& one : kept) add(one, avatar::texels_read(layers, h, one.component).unsqueeze(0).expand_as(out.mask));
  return out;
}

torch::Tensor noise_of(const Studio& s, std::uint64_t seed) {
  const std::int64_t h = s.config.planes_height;
  auto generator = at::detail::createCPUGenerator(seed);
  return torch::randn({12, h, 3 * h}, generator, torch::TensorOptions().dtype(torch::kFloat32));
}

torch::Tensor sample_planes(const Studio& s, const torch::Tensor& noise, std::uint64_t step_seed, const SamplingOptions& wanted) {
  if (!s.unet) throw Error(ErrorKind::kInput, "the pack holds no denoiser; it cannot generate");
  const torch::NoGradGuard no_grad;
  const SamplingOptions options = usual_sampling(s, wanted);
  const diffusion::Denoiser denoiser = [&](const torch::Tensor& x, std::int64_t t) {
    const torch::Tensor step = torch::full({x.size(0)}, t, torch::kInt64);
    if (!options.asked) return s.engine->forward(x, step);
    const torch::Tensor v = s.engine->forward(x, step, options.asked.get());
    if (options.guidance == 1) return v;
    const torch::Tensor open = s.engine->forward(x, step);
    return open + options.guidance * (v - open);
  };
  diffusion::SampleOptions o;
  o.steps = options.steps;
  for (const auto& [name, spacing] : kSpacings)
    if (options.spacing == name) o.spacing = spacing;
  o.eta = options.eta;
  o.variance = options.small_variance ? diffusion::SampleOptions::Variance::kSmall : diffusion::SampleOptions::Variance::kLarge;
  auto generator = at::detail::createCPUGenerator(step_seed);
  o.noise = [&](int) { return torch::randn(noise.sizes(), generator, torch::TensorOptions().dtype(torch::kFloat32)); };
  o.progress = options.progress;
  if (options.held.x0.defined()) o.held = {options.held.x0.unsqueeze(0).expand_as(noise), options.held.mask.unsqueeze(0).expand_as(noise)};
  if (options.sampler == "ddpm") return diffusion::sample_ddpm(denoiser, s.schedule, noise, o);
  if (options.sampler == "dpmpp") return diffusion::sample_multistep(denoiser, s.schedule, noise, o, diffusion::Solver::kDpmSolverPlusPlus, options.order);
  if (options.sampler == "unipc") return diffusion::sample_multistep(denoiser, s.schedule, noise, o, diffusion::Solver::kUniPC, options.order);
  return diffusion::sample_ddim(denoiser, s.schedule, noise, o);
}

std::vector<avatar::Avatar> sample_from_noise(const Studio& s, const torch::Tensor& noise, const std::vector<std::string>& names, const SamplingOptions& options) {
  std::vector<std::uint64_t> step_seeds;
  for (std::size_t i = 0; i < names.size(); ++i) step_seeds.push_back(kStepSeed + i);
  return sample(s, noise, names, step_seeds, options);
}

std::vector<avatar::Avatar> sample_avatars(const Studio& s, const std::vector<std::uint64_t>& seeds, const SamplingOptions& options) {
  constexpr std::uint64_t kOtherBits = 0x9E3779B97F4A7C15;
  std::vector<torch::Tensor> noise;
  std::vector<std::string> names;
  std::vector<std::uint64_t> step_seeds;
  for (const std::uint64_t seed : seeds) {
    noise.push_back(noise_of(s, seed));
    names.push_back("seed " + std::to_string(seed));
    step_seeds.push_back(seed ^ kOtherBits);
  }
  return sample(s, torch::stack(noise), names, step_seeds, options);
}

}  // namespace layeravatar::produce
