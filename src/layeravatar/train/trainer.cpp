#include "layeravatar/train/trainer.h"

#include <fmt/format.h>
#include <torch/optim/adam.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <optional>
#include <random>

#include "layeravatar/avatar/plane_owner.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/unet.h"
#include "layeravatar/io/safetensors.h"
#include "layeravatar/io/sha1.h"
#include "layeravatar/nn/named_tensors.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/train/checkpoint.h"
#include "layeravatar/train/event_file.h"
#include "layeravatar/train/fit_code.h"
#include "layeravatar/train/people_attributes.h"
#include "layeravatar/train/preview.h"

namespace layeravatar::train {
namespace {

namespace fs = std::filesystem;

Learned make_learned(const TrainConfig& config) {
  static std::mutex generator;  // LibTorch's own is the process's
  const std::lock_guard lock(generator);
  torch::manual_seed(config.seed);
  Learned out;
  diffusion::UNetConfig unet;
  unet.image_size = {config.planes_height, 3 * config.planes_height};
  unet.base_channels = config.unet_base_channels;
  unet.channel_factors = config.unet_channel_factors;
  unet.attention_res = config.unet_attention;
  unet.prior_rank = config.unet_prior_rank;
  unet.prior_attributes = config.unet_prior_attributes;
  out.decoder = std::make_shared<avatar::Decoder>();
  out.decoder_ema = std::make_shared<avatar::Decoder>();
  out.unet = std::make_shared<diffusion::UNet>(unet);
  out.unet_ema = std::make_shared<diffusion::UNet>(unet);
  for (const auto& unet_of : {out.unet, out.unet_ema})
    unet_of->set_precision(diffusion::precision_named(config.unet_precision));
  nn::load_named_tensors(*out.decoder_ema, nn::named_tensors(*out.decoder), "decoder");
  nn::load_named_tensors(*out.unet_ema, nn::named_tensors(*out.unet), "unet");
  out.decoder_ema->eval();
  out.unet_ema->eval();
  for (torch::Tensor& p : out.decoder_ema->parameters()) p.requires_grad_(false);
  for (torch::Tensor& p : out.unet_ema->parameters()) p.requires_grad_(false);
  out.decoder_adam = std::make_unique<torch::optim::Adam>(out.decoder->parameters(), config.decoder_lr);
  out.unet_adam = std::make_unique<torch::optim::Adam>(out.unet->parameters(), config.unet_lr);
  return out;
}

std::vector<std::int64_t> code_shape(const TrainConfig& config) {
  return {12, config.planes_height, 3LL * config.planes_height};
}

// Tensors of one part of the learned state under "<prefix>.".
using Tensors = std::map<std::string, torch::Tensor>;

void append(io::ArrayMap& out, const std::string& prefix, const Tensors& tensors) {
  for (const auto& [name, tensor] : tensors) out[prefix + "." + name] = tensor::share_array(tensor);
}

Tensors part(const io::ArrayMap& arrays, const std::string& prefix) {
  Tensors out;
  for (auto it = arrays.lower_bound(prefix + "."); it != arrays.end() && it->first.starts_with(prefix + "."); ++it)
    out[it->first.substr(prefix.size() + 1)] = tensor::to_tensor(it->second);
  return out;
}

// Planes mean nothing on another template: its texture coordinates and labels as one number.
std::string template_hash(const templates::LayeredTemplate& t) {
  std::string bytes(reinterpret_cast<const char*>(t.uvs.data()), t.uvs.size() * sizeof(float));
  bytes.append(reinterpret_cast<const char*>(t.labels.data()), t.labels.size() * sizeof(std::int32_t));
  return io::sha1_hex(bytes);
}

std::vector<std::string> names_of(const std::vector<std::string>& all, const Shard& shard) { return {all.begin() + shard.begin, all.begin() + shard.end}; }

// Networks from before the prior knew attributes lack them: zero until it is fitted.
Tensors with_attributes(Tensors tensors, const diffusion::UNet& unet) {
  for (const auto& [name, tensor] : nn::named_tensors(unet))
    if (name.starts_with("prior.attributes.")) tensors.emplace(name, torch::zeros_like(tensor));
  return tensors;
}

std::string file_name(std::int64_t iteration) { return fmt::format("iter_{:08}", iteration); }

constexpr const char *kState = "state.safetensors", *kCodes = "codes.safetensors";

}  // namespace

Draw draw_scenes(const TrainConfig& config, std::int64_t scene_count, std::int64_t iteration, bool fill) {
  LAV_CHECK(scene_count >= (fill ? 1 : config.scenes_per_step), "fewer scenes than scenes-per-step");
  const std::int64_t steps = (scene_count + (fill ? config.scenes_per_step - 1 : 0)) / config.scenes_per_step;
  Draw out{iteration / steps, {}};
  std::vector<std::int64_t> order(static_cast<std::size_t>(scene_count));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
  std::mt19937_64 engine(config.seed + static_cast<std::uint64_t>(out.epoch));
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[engine() % i]);
  for (std::size_t i = 0; order.size() < static_cast<std::size_t>(steps * config.scenes_per_step); ++i) order.push_back(order[i]);
  const auto first = order.begin() + (iteration % steps) * config.scenes_per_step;
  out.scenes.assign(first, first + config.scenes_per_step);
  return out;
}

torch::Tensor draw_timesteps(std::int64_t steps, std::int64_t count, double power, at::Generator generator) {
  if (power == 1) return torch::randint(steps, {count}, std::move(generator), torch::kInt64);
  const torch::Tensor u = torch::rand({count}, std::move(generator), torch::TensorOptions().dtype(torch::kFloat64));
  return (u.pow(1 / power) * static_cast<double>(steps)).floor().clamp(0, static_cast<double>(steps - 1)).to(torch::kInt64);
}

DrawnCode draw_code(const CodeCache& codes, const torch::Tensor& owner, std::mt19937_64& engine) {
  const auto draw = [&] { return static_cast<std::int64_t>(engine() % static_cast<std::uint64_t>(codes.size())); };
  DrawnCode out;
  out.person.fill(draw());
  out.code = codes.code(out.person[0]);
  for (std::size_t part = 1; owner.defined() && part < out.person.size(); ++part) {
    out.person[part] = draw();
    out.code = torch::where(owner == static_cast<std::int64_t>(part), codes.code(out.person[part]), out.code);
  }
  return out;
}

diffusion::Condition draw_condition(const std::vector<const diffusion::Condition*>& parts, double open, std::mt19937_64& engine) {
  diffusion::Condition out = diffusion::no_condition(static_cast<std::int64_t>(parts.size()));
  const auto heads = [&] { return (engine() >> 63) == 0; };
  if (static_cast<double>(engine() >> 11) * 0x1.0p-53 < open) return out;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    if (heads()) continue;
    const auto at = static_cast<std::int64_t>(p);
    if (heads()) out.values[at].copy_(parts[p]->values[at]);
    if (const torch::Tensor words = parts[p]->words[at].nonzero().squeeze(1); words.size(0) > 0 && heads())
      out.words[at][words[static_cast<std::int64_t>(engine() % static_cast<std::uint64_t>(words.size(0)))].item<std::int64_t>()] = true;
  }
  return out;
}

Trainer::Trainer(TrainConfig config, const body::BodyModel& body, const templates::LayeredTemplate& layers,
                 std::shared_ptr<SceneSource> source, RunOptions options)
    : config_(std::move(config)),
      source_(std::move(source)),
      options_(std::move(options)),
      shard_(shard_of(scene_count(), options_.ranks->rank(), options_.ranks->size())),
      scaffold_(make_scaffold(body, layers)),
      learned_(make_learned(config_)),
      codes_(names_of(source_->names(), shard_), code_shape(config_), config_.seed, scratch_folder(), shard_.begin),
      owner_(avatar::plane_owner(layers, config_.planes_height)) {
  config_.check();
  Ranks& ranks = *options_.ranks;
  scaffold_.ranks = options_.ranks;
  if (scene_count() < ranks.size()) throw Error(ErrorKind::kConfig, fmt::format("{} processes, the dataset has {} scenes", ranks.size(), scene_count()));
  if (ranks.size() == 1 && scene_count() < config_.scenes_per_step)
    throw Error(ErrorKind::kConfig, fmt::format("scenes-per-step = {}, the dataset has {} scenes",
                                                config_.scenes_per_step, scene_count()));
  if (ranks.rank() > 0) options_.say = {};
  const bool perceptual = std::any_of(config_.stages.begin(), config_.stages.end(), [](const Stage& s) { return s.weights.perceptual > 0; });
  if (perceptual && !config_.perceptual_network.empty()) scaffold_.perceptual = std::make_shared<PerceptualLoss>(config_.perceptual_network);
  else if (perceptual && options_.say) options_.say("perceptual-network is not given: the perceptual loss is left out");
  if (config_.unet_prior_rank > 0 && scene_count() < 2)
    throw Error(ErrorKind::kConfig, fmt::format("unet-prior-rank = {}, must be 0 with one scene", config_.unet_prior_rank));
  if (config_.unet_prior_attributes) {
    people_ = source_->attributes();
    set_vocabulary(make_vocabulary(people_));
  }
  const auto expect_vocabulary = [&] {
    if (config_.unet_prior_attributes && vocabulary_.empty()) throw Error(ErrorKind::kConfig, "unet-prior-attributes = true, the dataset says nothing of its people");
  };
  if (!options_.resume) expect_vocabulary();
  make_folder(options_.folder);
  const fs::path newest = newest_checkpoint(options_.folder);
  if (!newest.empty() && !options_.resume)
    throw Error(ErrorKind::kConfig, fmt::format("{}: holds a run at {}; give --resume or another folder",
                                                options_.folder.string(), newest.filename().string()));
  ranks.wait();  // until all have looked what is there
  std::optional<Checkpoint> found;
  if (ranks.rank() == 0) found = read_newest_checkpoint(options_.folder, options_.say);
  ranks.wait();  // until damaged ones are out of the way
  if (ranks.rank() > 0) found = read_newest_checkpoint(options_.folder, options_.say);
  if (found) load_checkpoint(*found);
  else if (options_.start) start_from(*options_.start);
  expect_vocabulary();  // a checkpoint may have brought one
  if (ranks.rank() == 0) write_file(options_.folder / "config.json", to_json(config_));
}

fs::path Trainer::scratch_folder() const {
  const auto bytes = static_cast<double>(CodeCache::bytes(shard_.end - shard_.begin, code_shape(config_)));
  if (bytes <= config_.codes_in_memory * (1 << 30)) return {};
  make_folder(options_.folder);
  if (options_.say) options_.say(fmt::format("codes of {:.1f} GiB lie on the disk of {}", bytes / (1 << 30), options_.folder.string()));
  return options_.folder;
}

bool Trainer::refit_codes(int steps) {
  const Stage& stage = config_.stage_at(iteration_);
  // A run's own codes say what codes are like, but for one that has just begun, perhaps from a pack.
  std::shared_ptr<diffusion::MixturePrior> known = learned_.unet->prior();
  if (iteration_ > 0 && scene_count() > 1) {
    known = std::make_shared<diffusion::MixturePrior>(avatar::kPlaneChannels, std::array{config_.planes_height, 3 * config_.planes_height}, scene_count() - 1);
    known->fit(planes(), owner_);
  }
  FitOptions options;
  options.steps = steps;
  options.stage = stage;
  const auto codes = fit_codes(scaffold_, *learned_.decoder_ema, learned_.activation, code_prior(known, learned_.activation, config_.planes_height), codes_.size(),
                               [&](std::int64_t i, int batch) { return source_->load(shard_.begin + i, batch, stage.image_size); }, options,
                               [&](std::int64_t n) {
                                 if (options_.say && (n % 16 == 0 || n == codes_.size())) options_.say(fmt::format("fitted {} of {} codes anew", n, codes_.size()));
                               },
                               options_.stop);
  if (options_.ranks->any(codes.empty())) return false;
  for (std::size_t i = 0; i < codes.size(); ++i)
    codes_.store(static_cast<std::int64_t>(i), {codes[i], torch::zeros_like(codes[i]), torch::zeros_like(codes[i]), 0});
  return true;
}

std::vector<torch::Tensor> Trainer::planes() const {
  // Shards differ by one scene at most: whoever has fewer repeats its last one.
  Ranks& ranks = *options_.ranks;
  std::vector<torch::Tensor> out(static_cast<std::size_t>(scene_count()));
  std::int64_t most = 0;
  for (int r = 0; r < ranks.size(); ++r) most = std::max(most, shard_of(scene_count(), r, ranks.size()).end - shard_of(scene_count(), r, ranks.size()).begin);
  for (std::int64_t i = 0; i < most; ++i) {
    const auto all = ranks.gather(learned_.activation.forward(codes_.code(std::min(i, codes_.size() - 1))));
    for (int r = 0; r < ranks.size(); ++r) {
      const Shard shard = shard_of(scene_count(), r, ranks.size());
      if (shard.begin + i < shard.end) out[static_cast<std::size_t>(shard.begin + i)] = all[static_cast<std::size_t>(r)];
    }
  }
  return out;
}

void Trainer::set_vocabulary(avatar::Vocabulary vocabulary) {
  vocabulary_ = std::move(vocabulary);
  conditions_.clear();
  for (const io::Attributes& person : people_) conditions_.push_back(condition_of(vocabulary_, person));
}

void Trainer::fit_prior() {
  const auto all = planes();
  if (config_.unet_prior_attributes) set_vocabulary(make_vocabulary(people_));
  const diffusion::PeopleAttributes attributes = people_attributes(vocabulary_, people_);
  for (const auto& unet : {learned_.unet, learned_.unet_ema}) unet->prior()->fit(all, owner_, vocabulary_.empty() ? nullptr : &attributes);
}

void Trainer::restart_unet() {
  const torch::NoGradGuard no_grad;
  for (const auto& unet : {learned_.unet, learned_.unet_ema})
    for (const auto& p : unet->named_parameters())
      if (p.key().starts_with("out.conv.")) p.value().zero_();
  learned_.unet_adam = std::make_unique<torch::optim::Adam>(learned_.unet->parameters(), config_.unet_lr);
}

StepLog Trainer::step(StepTimes& times) {
  const Stage& stage = config_.stage_at(iteration_);
  if (stage.diffusion && learned_.unet->prior() != nullptr &&
      (!learned_.unet->prior()->fitted() || !learned_.unet->prior()->attributes_fitted() || (stage.fit_prior && iteration_ == stage.from)))
    fit_prior();
  if (stage.diffusion && stage.restart_unet && iteration_ == stage.from) restart_unet();
  const auto begin = std::chrono::steady_clock::now();
  Ranks& ranks = *options_.ranks;
  const Draw draw = draw_scenes(config_, codes_.size(), iteration_, ranks.size() > 1);
  StepInput input;
  std::vector<CodeState> states;
  for (const std::int64_t scene : draw.scenes) {
    input.scenes.push_back(source_->load(shard_.begin + scene, draw.epoch, stage.image_size));
    states.push_back(codes_.load(scene));
  }
  for (CodeState& state : states) input.codes.push_back(&state);
  // Everything random in an iteration follows from the seed and its number, so that a resumed run repeats it.
  std::mt19937_64 engine((config_.seed + static_cast<std::uint64_t>(ranks.rank())) * 0x9E3779B97F4A7C15ULL + static_cast<std::uint64_t>(iteration_));
  std::vector<diffusion::Classes> classes;
  const auto tell = [&](const std::array<std::int64_t, diffusion::MixturePrior::kParts>& people) {
    std::vector<const diffusion::Condition*> parts;
    for (const std::int64_t person : people) parts.push_back(&conditions_[static_cast<std::size_t>(shard_.begin + person)]);
    classes.push_back(learned_.unet->prior()->given(draw_condition(parts, config_.unet_open, engine)));
  };
  const bool told = stage.diffusion && !vocabulary_.empty();
  if (told)
    for (const std::int64_t scene : draw.scenes) {
      std::array<std::int64_t, diffusion::MixturePrior::kParts> same{};
      same.fill(scene);
      tell(same);
    }
  for (int i = config_.scenes_per_step; stage.diffusion && i < config_.unet_scenes; ++i) {
    const DrawnCode drawn = draw_code(codes_, config_.unet_mix_parts ? owner_ : torch::Tensor(), engine);
    input.more_codes.push_back(drawn.code);
    if (told) tell(drawn.person);
  }
  if (told) input.classes = diffusion::stack(classes);
  const auto batch = static_cast<std::int64_t>(input.codes.size() + input.more_codes.size());
  auto generator = at::detail::createCPUGenerator(engine());
  input.timesteps = draw_timesteps(scaffold_.schedule.size(), batch, config_.unet_timestep_power, generator);
  std::vector<std::int64_t> noise_shape = code_shape(config_);
  noise_shape.insert(noise_shape.begin(), batch);
  input.noise = torch::randn(noise_shape, generator, torch::TensorOptions().dtype(torch::kFloat32));
  if (scaffold_.perceptual)
    for (int k = 0; k <= stage.extra_scene_step; ++k) input.crops.push_back(draw_crop(engine, input.scenes[0].images.size(3)));
  times.load += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  StepLog log;
  try {
    log = train_step(scaffold_, learned_, input, config_, iteration_, times);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kDiverged) throw;
    throw Error(ErrorKind::kDiverged, fmt::format("{}; the step is in {}", e.what(), save_diverged(input, draw).string()));
  }
  for (std::size_t i = 0; i < states.size(); ++i) codes_.store(draw.scenes[i], states[i]);
  if (ranks.size() > 1) {
    torch::Tensor values = torch::empty({static_cast<std::int64_t>(log.size())});
    std::int64_t k = 0;
    for (const auto& entry : log) values[k++] = entry.second;
    ranks.average({values});
    k = 0;
    for (auto& entry : log) entry.second = values[k++].item<double>();
  }
  ++iteration_;
  return log;
}

void Trainer::run() {
  try {
    train();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    const Ranks& ranks = *options_.ranks;
    if (!ranks.lost_peer(e)) throw;
    const fs::path newest = newest_checkpoint(options_.folder);
    throw Error(ErrorKind::kPeer, fmt::format("rank {} of {} at iteration {}: another process of the run was lost; {}; go on with --resume", ranks.rank(), ranks.size(),
                                              iteration_, newest.empty() ? "there is no checkpoint yet" : newest.filename().string() + " is whole"));
  }
}

void Trainer::train() {
  Ranks& ranks = *options_.ranks;
  const bool writes = ranks.rank() == 0;
  const auto now = [] {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  };
  std::optional<EventFile> events;
  if (writes) events.emplace(options_.folder / "events", static_cast<std::int64_t>(now()));
  const fs::path log_path = options_.folder / "log.txt";
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> log_file(writes ? std::fopen(log_path.c_str(), "a") : nullptr, &std::fclose);
  if (writes && !log_file) throw Error(ErrorKind::kOutput, log_path.string() + ": cannot open for writing");
  const auto say = [&](const std::string& line) {
    if (!writes) return;
    std::fputs((line + "\n").c_str(), log_file.get());
    std::fflush(log_file.get());
    if (options_.say) options_.say(line);
  };
  StepLog sums;
  std::map<std::string, int> seen;
  StepTimes times;
  int counted = 0;
  std::int64_t saved = iteration_;
  double since = now();
  const auto save = [&] {
    if (saved == iteration_) return;
    save_checkpoint();
    saved = iteration_;
    say(fmt::format("checkpoint {}", file_name(iteration_)));
  };
  if (writes) remove_partial_checkpoints(options_.folder);
  while (iteration_ < config_.iterations && !ranks.any(options_.stop != nullptr && *options_.stop)) {
    const Stage& stage = config_.stage_at(iteration_);
    if (stage.refit_steps > 0 && iteration_ == stage.from && !refit_codes(stage.refit_steps)) break;
    for (const auto& [name, value] : step(times)) {
      if (value == 0 && name.starts_with("loss_mse_quartile_")) continue;  // no step of this batch fell there
      sums[name] += value;
      ++seen[name];
    }
    ++counted;
    if (writes && options_.progress) options_.progress(iteration_, config_.iterations);
    if (writes && iteration_ % config_.log_every == 0) {
      const double n = counted;
      std::string line = fmt::format("iter {}/{} {:.3f} s", iteration_, config_.iterations, (now() - since) / n);
      for (const auto& [name, sum] : sums) {
        line += fmt::format(" {} {:.5g}", name, sum / seen[name]);
        events->scalar("train/" + name, iteration_, static_cast<float>(sum / seen[name]), now());
      }
      line += " |";
      const std::pair<const char*, double> seconds[] = {
          {"load", times.load},     {"decode", times.decode}, {"deform", times.deform},       {"splat", times.splat},
          {"losses", times.losses}, {"unet", times.unet},     {"optimiser", times.optimiser}};
      for (const auto& [name, sum] : seconds) {
        line += fmt::format(" {} {:.3f}", name, sum / n);
        events->scalar(fmt::format("time/{}", name), iteration_, static_cast<float>(sum / n), now());
      }
      say(line);
      sums.clear();
      seen.clear();
      times = {};
      counted = 0;
      since = now();
    }
    if (writes && config_.preview_every > 0 && iteration_ % config_.preview_every == 0) save_preview();
    if (iteration_ % config_.checkpoint_every == 0) save();
  }
  save();
}

void Trainer::save_checkpoint() const {
  // Each writes the codes of its scenes, rank 0 the rest, and the manifest when all are there.
  Ranks& ranks = *options_.ranks;
  ranks.broadcast(learned_.decoder->buffers());  // batch statistics, of each rank's own scenes until now: as after --resume
  ranks.broadcast(learned_.decoder_ema->buffers());
  const io::SafeTensors codes{codes_.to_arrays(), {}};
  const auto others = [&] {
    ranks.wait();
    ranks.wait();
  };
  if (ranks.rank() > 0) {
    ranks.wait();
    io::write_safetensors(partial_checkpoint(options_.folder, iteration_) / fmt::format("codes_{}.safetensors", ranks.rank()), codes);
    ranks.wait();
    return ranks.wait();
  }
  io::SafeTensors state;
  append(state.tensors, "decoder", nn::named_tensors(*learned_.decoder));
  append(state.tensors, "decoder_ema", nn::named_tensors(*learned_.decoder_ema));
  append(state.tensors, "unet", nn::named_tensors(*learned_.unet));
  append(state.tensors, "unet_ema", nn::named_tensors(*learned_.unet_ema));
  append(state.tensors, "decoder_adam", nn::adam_state(*learned_.decoder_adam, *learned_.decoder));
  append(state.tensors, "unet_adam", nn::adam_state(*learned_.unet_adam, *learned_.unet));
  append(state.tensors, "activation", {{"running_mean", learned_.activation.running_mean()},
                                       {"running_var", learned_.activation.running_var()}});
  state.metadata = {{"iteration", std::to_string(iteration_)},
                    {"config", to_json(config_)},
                    {"template", template_hash(scaffold_.deformer->layers())}};
  if (!vocabulary_.empty()) state.metadata["attributes"] = avatar::to_json(vocabulary_);
  write_checkpoint(options_.folder, iteration_, {{kState, std::move(state)}, {kCodes, codes}}, config_.keep_checkpoints, others);
  ranks.wait();
}

fs::path Trainer::save_diverged(const StepInput& input, const Draw& draw) const {
  io::SafeTensors out;
  for (std::size_t i = 0; i < draw.scenes.size(); ++i) {
    const std::string scene = codes_.names()[static_cast<std::size_t>(draw.scenes[i])];
    append(out.tensors, "before." + scene, {{"code", codes_.code(draw.scenes[i])}});
    const CodeState& state = *input.codes[i];
    append(out.tensors, "after." + scene, {{"code", state.code}, {"exp_avg", state.exp_avg}, {"exp_avg_sq", state.exp_avg_sq}});
  }
  append(out.tensors, "input", {{"timesteps", input.timesteps}, {"noise", input.noise}});
  for (const auto& [name, module] : {std::pair<std::string, const torch::nn::Module*>{"decoder", learned_.decoder.get()}, {"unet", learned_.unet.get()}}) {
    append(out.tensors, name, nn::named_tensors(*module));
    for (const auto& p : module->named_parameters())
      if (p.value().grad().defined()) append(out.tensors, "gradient." + name, {{p.key(), p.value().grad()}});
  }
  out.metadata = {{"iteration", std::to_string(iteration_)}, {"config", to_json(config_)}};
  const fs::path file = options_.folder / fmt::format("diverged_{}{}.safetensors", file_name(iteration_), options_.ranks->rank() > 0 ? fmt::format("_{}", options_.ranks->rank()) : "");
  io::write_safetensors(file, out);
  return file;
}

void Trainer::save_preview() const {
  const fs::path folder = options_.folder / "previews";
  make_folder(folder);
  io::write_png(folder / (file_name(iteration_) + ".png"),
                preview(scaffold_, learned_, codes_, *source_, config_, iteration_ - 1));
}

void Trainer::start_from(const avatar::ModelPack& pack) {
  if (template_hash(pack.layers) != template_hash(scaffold_.deformer->layers()))
    throw Error(ErrorKind::kInput, "the pack to start from has another template");
  for (const auto& decoder : {learned_.decoder, learned_.decoder_ema})
    nn::load_named_tensors(*decoder, pack.decoder, "the pack to start from: decoder");
  for (const auto& unet : {learned_.unet, learned_.unet_ema})
    nn::load_named_tensors(*unet, with_attributes(pack.unet, *unet), "the pack to start from: denoiser");
  if (learned_.unet->prior() != nullptr) learned_.unet->prior()->check("the pack to start from: denoiser");
  learned_.activation = pack.activation;
}

void Trainer::load_checkpoint(const Checkpoint& checkpoint) {
  const fs::path file = checkpoint.folder / kState;
  for (const char* name : {kState, kCodes})
    if (!checkpoint.files.contains(name)) throw Error(ErrorKind::kInput, (checkpoint.folder / name).string() + ": is missing");
  const io::SafeTensors& state = checkpoint.files.at(kState);
  const auto own = state.metadata.find("template");
  if (own == state.metadata.end() || own->second != template_hash(scaffold_.deformer->layers()))
    throw Error(ErrorKind::kInput, file.string() + ": was trained on another template; its planes cannot be used with this one");
  const auto load = [&](torch::nn::Module& module, const std::string& prefix) {
    nn::load_named_tensors(module, part(state.tensors, prefix), file.string() + ": " + prefix);
  };
  load(*learned_.decoder, "decoder");
  load(*learned_.decoder_ema, "decoder_ema");
  for (const auto& [unet, prefix] : {std::pair{learned_.unet, "unet"}, std::pair{learned_.unet_ema, "unet_ema"}})
    nn::load_named_tensors(*unet, with_attributes(part(state.tensors, prefix), *unet), file.string() + ": " + prefix);
  for (const auto& unet : {learned_.unet, learned_.unet_ema})
    if (unet->prior() != nullptr) unet->prior()->check(file.string() + ": unet");
  nn::load_adam_state(*learned_.decoder_adam, *learned_.decoder, part(state.tensors, "decoder_adam"), file.string());
  nn::load_adam_state(*learned_.unet_adam, *learned_.unet, part(state.tensors, "unet_adam"), file.string());
  const Tensors activation = part(state.tensors, "activation");
  if (!activation.contains("running_mean") || !activation.contains("running_var"))
    throw Error(ErrorKind::kInput, file.string() + ": the activation's statistics are missing");
  learned_.activation.set_statistics(activation.at("running_mean"), activation.at("running_var"));
  io::ArrayMap codes;
  for (const auto& [name, content] : checkpoint.files)
    if (name != kState) codes.insert(content.tensors.begin(), content.tensors.end());
  codes_.from_arrays(codes, (checkpoint.folder / kCodes).string());
  // The prior's own, which a dataset that has changed since does not change.
  if (const auto known = state.metadata.find("attributes"); known != state.metadata.end() && config_.unet_prior_attributes)
    set_vocabulary(avatar::vocabulary_from_json(known->second, file.string()));
  iteration_ = checkpoint.iteration;
}

}  // namespace layeravatar::train
