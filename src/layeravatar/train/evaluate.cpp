#include "layeravatar/train/evaluate.h"

#include <fmt/format.h>
#include <omp.h>
#include <torch/torch.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/data/scene_folders.h"
#include "layeravatar/eval/frechet.h"
#include "layeravatar/eval/inception_sets.h"
#include "layeravatar/eval/jitter.h"
#include "layeravatar/eval/journal.h"
#include "layeravatar/eval/leakage.h"
#include "layeravatar/eval/reconstruction.h"
#include "layeravatar/eval/silhouette.h"
#include "layeravatar/eval/variety.h"
#include "layeravatar/io/sha1.h"
#include "layeravatar/nn/inception.h"
#include "layeravatar/produce/sampling.h"
#include "layeravatar/train/checkpoint.h"
#include "layeravatar/train/dataset_source.h"
#include "layeravatar/train/export_pack.h"
#include "layeravatar/train/fit_code.h"
#include "layeravatar/train/open_run.h"
#include "layeravatar/train/report.h"

namespace layeravatar::train {
namespace {

namespace fs = std::filesystem;
using Say = std::function<void(const std::string&)>;

enum Need : unsigned { kHeldOut = 1, kInception = 2, kLpips = 4, kMotion = 8, kSamples = 16 };

struct Metric {
  const char* name;
  unsigned needs;
};
constexpr Metric kMetrics[] = {{"psnr", kHeldOut},       {"ssim", kHeldOut},      {"lpips", kHeldOut | kLpips}, {"part_iou", kHeldOut}, {"silhouette_iou", kHeldOut}, {"leakage", 0},
                               {"variety", kSamples},    {"silhouettes", kSamples}, {"jitter", kMotion},        {"fid", kInception},    {"fid_strip", kInception},    {"kid", kInception}};

struct Stopped {};

// A folder that is removed in the end unless it has a name.
class WorkFolder {
 public:
  explicit WorkFolder(const fs::path& named) : path_(named), kept_(!named.empty()) {
    if (kept_) return;
    path_ = fs::temp_directory_path() / fmt::format("layeravatar_evaluate_{}", ::getpid());
    fs::remove_all(path_);  // of an earlier process of this number
  }
  ~WorkFolder() {
    std::error_code ignored;
    if (!kept_) fs::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  bool kept_;
};

// Scenes that only have names.
class SceneNames : public SceneSource {
 public:
  explicit SceneNames(std::vector<std::string> names) : names_(std::move(names)) {}
  [[nodiscard]] std::vector<std::string> names() const override { return names_; }
  [[nodiscard]] SceneBatch load(std::int64_t, std::int64_t, int) override {
    LAV_CHECK(false, "no pictures for an evaluation");
    return {};
  }

 private:
  std::vector<std::string> names_;
};

// What is evaluated. Planes of the people that have some, by their scenes.
struct Subject {
  produce::Studio studio;
  std::vector<std::size_t> known;
  std::function<torch::Tensor(std::size_t scene)> planes;
  std::int64_t iteration = -1;  // unknown of a pack
};

std::string missing(const EvaluationFiles& files, unsigned needs, bool held_out) {
  if ((needs & kHeldOut) != 0 && !held_out) return "held-out views in the settings (--config, or --set held-out=[...])";
  if ((needs & kLpips) != 0 && files.lpips.empty()) return "--lpips FILE";
  if ((needs & kInception) != 0 && files.inception.empty()) return "--inception FILE";
  if ((needs & kMotion) != 0 && files.motion.empty()) return "--motion FILE";
  if ((needs & kSamples) != 0 && files.samples < 2) return "--samples 2 or more";
  return "";
}

class Evaluator {
 public:
  Evaluator(const EvaluationFiles& files, Say say, const std::atomic<bool>* stop) : files_(files), say_(std::move(say)), stop_(stop) {}

  Evaluation run() {
    read_settings();
    choose();
    if (chosen_.contains("lpips")) {
      lpips_.emplace(files_.lpips);
      lpips_hash_ = io::sha256_hex(read_file(files_.lpips));
      say_(fmt::format("{}: SHA-256 {}", files_.lpips.string(), lpips_hash_));
    }
    if (wants({"fid", "fid_strip", "kid"})) {
      inception_ = nn::load_script(files_.inception, torch::kCPU);
      say_(fmt::format("{}: SHA-256 {}", inception_->file, inception_->sha256));
      if (!files_.real.empty()) real_ = eval::read_statistics_pickle(files_.real);
      if (real_ && !real_->features.defined()) leave_out("kid", "a --real file with feats_np");
    }
    scenes_.emplace(config_.dataset);
    const WorkFolder work(files_.output);
    if (files_.model.empty()) open_run(work.path());
    else open_pack(work.path());
    produce::set_precision(subject_.studio, "auto");  // as `generate` does
    if (!subject_.studio.unet)
      for (const char* name : {"variety", "silhouettes", "jitter", "fid", "fid_strip", "kid"}) leave_out(name, "a pack with a denoiser");
    if (subject_.known.size() < 2)
      for (const char* name : {"leakage", "variety"}) leave_out(name, "two people or more");
    try {
      if (pack_ && (!files_.sheet.empty() || wants({"psnr", "ssim", "lpips", "part_iou", "silhouette_iou", "leakage", "variety"}))) fit_people();
      const torch::NoGradGuard no_grad;
      if (!files_.sheet.empty()) write_sheet();
      reconstruct();
      leak();
      look_at_samples();
      shake();
      compare_sets();
    } catch (const Stopped&) {
      out_.whole = false;
    }
    return std::move(out_);
  }

 private:
  void check_stop() const {
    if (stop_ != nullptr && stop_->load()) throw Stopped{};
  }
  [[nodiscard]] bool wants(std::initializer_list<const char*> any) const {
    return std::any_of(any.begin(), any.end(), [&](const char* name) { return chosen_.contains(name); });
  }
  void add(const std::string& name, double value) { out_.numbers.emplace_back(name, value); }
  // A metric that lacks something: asked for, an error; else a line.
  void leave_out(const std::string& name, const std::string& needs) {
    if (chosen_.erase(name) == 0) return;
    if (!files_.metrics.empty()) throw Error(ErrorKind::kUsage, fmt::format("metric {} needs {}", name, needs));
    out_.left_out.emplace_back(name, needs);
  }

  void read_settings() {
    TrainingFiles files = files_.run;
    if (files.config_text.empty() && files_.model.empty()) {
      files.config_name = (files.run / "config.json").string();
      files.config_text = read_file(files.config_name);
    } else if (files.config_text.empty()) {
      files.config_name = "settings.json";
      files.config_text = "{}";
    }
    config_ = read_config(files);
  }

  void choose() {
    for (const std::string& name : files_.metrics)
      if (std::none_of(std::begin(kMetrics), std::end(kMetrics), [&](const Metric& m) { return name == m.name; }))
        throw Error(ErrorKind::kConfig, fmt::format("metrics: '{}', must be of {}", name, fmt::join(metric_names(), ", ")));
    for (const Metric& metric : kMetrics) {
      if (!files_.metrics.empty() && std::find(files_.metrics.begin(), files_.metrics.end(), metric.name) == files_.metrics.end()) continue;
      chosen_.insert(metric.name);
      if (const std::string needs = missing(files_, metric.needs, !config_.held_out.empty()); !needs.empty()) leave_out(metric.name, needs);
    }
  }

  // Records are of this and nothing else. What is not used now may be used by the next call.
  void open_journal(const fs::path& folder, const std::string& subject) {
    std::vector<fs::path> paths;
    for (std::size_t s = 0; s < scenes_->size(); ++s) paths.push_back(fs::path(config_.dataset) / scenes_->name(s));
    std::map<std::string, std::string> origin = {{"subject", subject},
                                                 {"dataset", data_hash(paths)},
                                                 {"stride", std::to_string(files_.stride)},
                                                 {"held-out", fmt::format("{}", fmt::join(config_.held_out, " "))}};
    if (!files_.model.empty()) {
      origin["fit-steps"] = std::to_string(files_.fit_steps);
      const Stage& stage = config_.stages.back();
      TrainConfig weights;  // of the settings, what a fit looks at
      weights.views_per_scene = config_.views_per_scene, weights.stages = {stage};
      origin["fit-settings"] = io::sha1_hex(to_json(weights));
    }
    if (wants({"variety", "silhouettes"})) origin["samples"] = std::to_string(files_.samples);
    if (lpips_) origin["lpips"] = lpips_hash_;
    if (inception_) {
      origin["inception"] = inception_->sha256;
      origin["views"] = std::to_string(files_.views);
      origin["real"] = files_.real.empty() ? "dataset" : io::sha1_hex(read_file(files_.real));
    }
    if (wants({"jitter"})) {
      std::string poses;
      for (const auto& pose : files_.motion)
        for (const float v : body::pose_to_vector(pose, body::PoseLayout::k189)) poses += fmt::format("{} ", v);
      origin["motion"] = io::sha1_hex(poses);
    }
    journal_.emplace(folder, std::move(origin));
    if (!journal_->records().empty()) say_(fmt::format("{}: going on, {} parts are there", folder.string(), journal_->records().size()));
  }

  void open_run(const fs::path& work) {
    TrainingFiles files = files_.run;
    files.resume = true;
    if (newest_checkpoint(files.run).empty()) throw Error(ErrorKind::kInput, files.run.string() + ": holds no checkpoint");
    std::vector<std::string> names;
    std::vector<body::PoseParams> people;
    for (std::size_t s = 0; s < scenes_->size(); ++s) {
      names.push_back(scenes_->name(s));
      people.push_back(scenes_->params(s));
    }
    RunOptions options;
    options.say = say_;
    const auto trainer = open_trainer(config_, read_ground(files), files, std::make_shared<SceneNames>(names), options);
    subject_.studio = produce::make_studio(make_pack(*trainer, people, scenes_->image_size()), files.run.string());
    subject_.iteration = trainer->iteration();
    const auto planes = std::make_shared<std::vector<torch::Tensor>>(trainer->planes());
    for (std::size_t s = 0; s < planes->size(); ++s) subject_.known.push_back(s);
    subject_.planes = [planes](std::size_t scene) { return planes->at(scene); };
    add("iteration", static_cast<double>(subject_.iteration));
    open_journal(work, fmt::format("{} at iteration {}", fs::absolute(files.run).lexically_normal().string(), subject_.iteration));
  }

  void open_pack(const fs::path& work) {
    pack_ = avatar::read_pack(files_.model);
    subject_.studio = produce::make_studio(*pack_, files_.model.string());
    for (std::size_t s = 0; s < scenes_->size(); s += static_cast<std::size_t>(files_.stride)) subject_.known.push_back(s);
    subject_.planes = [this](std::size_t scene) { return avatar::read_avatar(person_file(scene), pack_->config.planes_height).planes; };
    open_journal(work, pack_->hash.get());
  }

  [[nodiscard]] fs::path person_file(std::size_t scene) const { return journal_->folder() / "people" / (scenes_->name(scene) + ".safetensors"); }

  // As many people at once as there are threads; each becomes a file.
  void fit_people() {
    make_folder(journal_->folder() / "people");
    const Scaffold scaffold = make_scaffold(pack_->body, pack_->layers);
    FitOptions options;
    options.steps = files_.fit_steps;
    options.stage = config_.stages.back();
    const CodePrior prior = code_prior(subject_.studio.unet ? subject_.studio.unet->prior() : nullptr, pack_->activation, pack_->config.planes_height);
    std::vector<std::size_t> todo;
    for (const std::size_t scene : subject_.known)
      if (!fs::exists(person_file(scene))) todo.push_back(scene);
    const auto at_once = static_cast<std::size_t>(std::max(1, omp_get_max_threads()));
    for (std::size_t first = 0; first < todo.size(); first += at_once) {
      check_stop();
      std::vector<data::Scene> scenes;
      std::vector<std::vector<std::int64_t>> training;
      for (std::size_t i = first; i < std::min(first + at_once, todo.size()); ++i) {
        scenes.push_back(scenes_->read(todo[i]));
        training.push_back(data::other_views(scenes.back(), config_.held_out));
        if (static_cast<int>(training.back().size()) < config_.views_per_scene)
          throw Error(ErrorKind::kConfig, fmt::format("views-per-scene = {}, scene {} has {} training views", config_.views_per_scene, scenes.back().name, training.back().size()));
      }
      const auto load = [&](std::int64_t i, int batch) {
        const auto at = static_cast<std::size_t>(i);
        std::vector<std::int64_t> views;
        for (const std::int64_t k : geometry::view_permutation(config_.reference ? 0U : static_cast<std::uint32_t>(batch), static_cast<std::int64_t>(training[at].size()), config_.views_per_scene))
          views.push_back(training[at][static_cast<std::size_t>(k)]);
        return load_views(scenes[at], views, 0);
      };
      const auto codes = fit_codes(scaffold, *subject_.studio.decoder, pack_->activation, prior, static_cast<std::int64_t>(scenes.size()), load, options, [](std::int64_t) {}, stop_);
      if (codes.empty()) throw Stopped{};
      for (std::size_t i = 0; i < scenes.size(); ++i)
        avatar::write_avatar(person_file(todo[first + i]), {pack_->activation.forward(codes[i]), scenes[i].params.betas, {{"pack", pack_->hash.get()}, {"source", "fitted to " + scenes[i].name}}});
      say_(fmt::format("fitted {} of {} people", first + scenes.size(), todo.size()));
    }
  }

  // The people whose pictures are compared.
  [[nodiscard]] std::vector<std::size_t> compared() const {
    std::vector<std::size_t> out;
    for (const std::size_t scene : subject_.known)
      if (scene % static_cast<std::size_t>(files_.stride) == 0) out.push_back(scene);
    return out;
  }

  void write_sheet() {
    if (config_.held_out.empty()) throw Error(ErrorKind::kConfig, "held-out: no views are held out, so there is no --sheet");
    constexpr std::size_t kRows = 6;
    std::vector<io::Image> rows;
    for (const std::size_t s : compared()) {
      if (rows.size() == kRows) break;
      const data::Scene scene = scenes_->read(s);
      rows.push_back(eval::reconstruction_row(subject_.studio, scene, subject_.planes(s), data::named_views(scene, config_.held_out).front()));
    }
    io::write_png(files_.sheet, produce::tile(rows, 1));
  }

  void reconstruct() {
    const bool pictures = wants({"psnr", "ssim", "part_iou", "silhouette_iou"});
    if (!pictures && !chosen_.contains("lpips")) return;
    torch::Tensor mean;  // made when a scene asks for it
    const auto mean_planes = [&] {
      if (mean.defined()) return mean;
      for (const std::size_t s : subject_.known) mean = mean.defined() ? mean + subject_.planes(s) : subject_.planes(s).clone();
      return mean = mean / static_cast<double>(subject_.known.size());
    };
    const auto whole_image = [&](const torch::Tensor& image, const torch::Tensor& target) { return lpips_->distance(image, target, {0, 0, image.size(1)}).item<double>(); };
    eval::Reconstruction sums;
    double distance = 0, distances = 0;
    const std::vector<std::size_t> people = compared();
    for (std::size_t i = 0; i < people.size(); ++i) {
      check_stop();
      const std::size_t s = people[i];
      std::optional<data::Scene> scene;  // read when there is something to do
      const auto views = [&] {
        if (!scene) scene = scenes_->read(s);
        return data::named_views(*scene, config_.held_out);
      };
      if (pictures)
        sums.add(eval::Reconstruction::of_numbers(journal_->once("pictures/" + scenes_->name(s), [&] {
          const auto held_out = views();
          return eval::compare_scene(subject_.studio, *scene, subject_.planes(s), mean_planes(), held_out).numbers();
        })));
      if (lpips_) {
        const auto of_scene = journal_->once("lpips/" + scenes_->name(s), [&] {
          const auto held_out = views();
          const auto sum = eval::distance_of_scene(subject_.studio, *scene, subject_.planes(s), held_out, whole_image);
          return std::vector<double>(sum.begin(), sum.end());
        });
        distance += of_scene.at(0), distances += of_scene.at(1);
      }
      if (scene) say_(fmt::format("compared {} of {} people", i + 1, people.size()));
    }
    if ((pictures && sums.pictures == 0) || (lpips_ && distances == 0)) throw Error(ErrorKind::kInput, config_.dataset + ": no person in any held-out view");
    const double n = sums.pictures;
    if (pictures) add("pictures", n);
    if (chosen_.contains("psnr")) {
      add("psnr", sums.psnr / n);
      add("psnr_box", sums.psnr_box / n);
      add("psnr_box_of_mean_avatar", sums.psnr_mean_avatar / n);
      add("psnr_head_box", sums.psnr_head / std::max(sums.heads, 1.0));
    }
    if (chosen_.contains("ssim")) {
      add("ssim", sums.ssim / n);
      add("ssim_box", sums.ssim_box / n);
      add("ssim_uniform", sums.ssim_uniform / n);
      add("ssim_uniform_box", sums.ssim_uniform_box / n);
    }
    if (lpips_) add("lpips", distance / distances);
    if (chosen_.contains("part_iou")) {
      const char* const parts[] = {"iou_body", "iou_top", "iou_hair", "iou_shoes", "iou_bottom"};
      for (int label = 1; label <= 5; ++label) add(parts[label - 1], sums.parts.iou(label));
    }
    if (chosen_.contains("silhouette_iou")) add("silhouette_iou", sums.silhouette_any == 0 ? 1 : sums.silhouette_both / sums.silhouette_any);
  }

  void leak() {
    if (!chosen_.contains("leakage")) return;
    check_stop();
    constexpr int kPairs = 16;
    const auto leakage = journal_->once("leakage", [&] {
      const eval::Leakage l = eval::evaluate_leakage(subject_.studio, subject_.known.size(), [&](std::size_t i) {
        const std::size_t s = subject_.known[i];
        return avatar::Avatar{subject_.planes(s), scenes_->params(s).betas, {}};
      }, kPairs);
      return std::vector<double>{l.psnr, static_cast<double>(l.pictures)};
    });
    if (leakage.at(1) > 0) add("transfer_leakage_psnr", leakage[0]);
  }

  // Seed i, by the pack's usual sampler; those that are missing of `seeds` are sampled, a few at a time.
  std::vector<avatar::Avatar> samples(const std::vector<std::uint64_t>& seeds) {
    constexpr std::size_t kAtOnce = 8;
    const auto file = [&](std::uint64_t seed) { return journal_->folder() / "samples" / fmt::format("seed_{:06}.safetensors", seed); };
    make_folder(journal_->folder() / "samples");
    std::vector<std::uint64_t> todo;
    for (const std::uint64_t seed : seeds)
      if (!fs::exists(file(seed))) todo.push_back(seed);
    for (std::size_t first = 0; first < todo.size(); first += kAtOnce) {
      check_stop();
      const std::vector<std::uint64_t> some(todo.begin() + static_cast<std::ptrdiff_t>(first), todo.begin() + static_cast<std::ptrdiff_t>(std::min(first + kAtOnce, todo.size())));
      const auto made = produce::sample_avatars(subject_.studio, some, {});
      for (std::size_t i = 0; i < some.size(); ++i) avatar::write_avatar(file(some[i]), made[i]);
      if (todo.size() > kAtOnce) say_(fmt::format("sampled {} of {} avatars", first + some.size(), todo.size()));
    }
    std::vector<avatar::Avatar> out;
    for (const std::uint64_t seed : seeds) out.push_back(avatar::read_avatar(file(seed)));
    return out;
  }

  std::vector<avatar::Avatar> first_samples(int count) {
    std::vector<std::uint64_t> seeds;
    for (int i = 0; i < count; ++i) seeds.push_back(static_cast<std::uint64_t>(i));
    return samples(seeds);
  }

  void look_at_samples() {
    const auto look = [&](const torch::Tensor& planes) {
      check_stop();
      return eval::look_of(subject_.studio, planes);
    };
    if (chosen_.contains("variety")) {
      constexpr std::size_t kMostPeople = 512;
      const auto variety = journal_->once("variety", [&] {
        std::vector<torch::Tensor> made, trained;
        for (const auto& one : first_samples(files_.samples)) made.push_back(look(one.planes));
        const std::size_t count = std::min(subject_.known.size(), kMostPeople);
        for (std::size_t i = 0; i < count; ++i) trained.push_back(look(subject_.planes(subject_.known[i * subject_.known.size() / count])));
        const eval::Variety v = eval::variety_of(torch::stack(made), torch::stack(trained));
        return std::vector<double>{v.sample_spread, v.nearest_ratio};
      });
      add("variety_of_samples", variety.at(0));
      add("nearest_training_ratio", variety.at(1));
    }
    if (chosen_.contains("silhouettes")) {
      const auto found = journal_->once("silhouettes", [&] {
        const eval::Silhouettes s = eval::evaluate_silhouettes(subject_.studio, first_samples(files_.samples));
        return std::vector<double>{s.one_piece_share, static_cast<double>(s.largest_hole)};
      });
      add("one_silhouette_share", found.at(0));
      add("largest_hole_px", found.at(1));
    }
  }

  void shake() {
    if (!chosen_.contains("jitter")) return;
    constexpr int kAvatars = 4;
    eval::Jitter sums;
    for (int k = 0; k < kAvatars; ++k) {
      check_stop();
      const auto found = journal_->once(fmt::format("jitter/{}", k), [&] {
        const avatar::Avatar one = first_samples(kAvatars)[static_cast<std::size_t>(k)];
        const eval::Jitter j = eval::evaluate_jitter(subject_.studio, produce::decode(subject_.studio, one.planes), one.betas, files_.motion);
        say_(fmt::format("moved {} of {} avatars", k + 1, kAvatars));
        return std::vector<double>{j.own, j.body, j.frames};
      });
      sums.own += found.at(0), sums.body += found.at(1), sums.frames += found.at(2);
    }
    add("jitter_mm", sums.own / sums.frames);
    add("jitter_of_body_mm", sums.body / sums.frames);
  }

  torch::Tensor features_of(const std::vector<torch::Tensor>& pictures) {
    std::vector<torch::Tensor> parts;
    const auto batch = static_cast<std::size_t>(files_.batch);
    for (std::size_t first = 0; first < pictures.size(); first += batch)
      parts.push_back(nn::inception_features(*inception_, torch::stack(std::vector<torch::Tensor>(pictures.begin() + static_cast<std::ptrdiff_t>(first),
                                                                                                  pictures.begin() + static_cast<std::ptrdiff_t>(std::min(first + batch, pictures.size()))))));
    return torch::cat(parts);
  }

  // Sample i in the pose, the shape and the cameras of person i, and that person's own pictures.
  void compare_sets() {
    const bool full = wants({"fid", "kid"}), strip = chosen_.contains("fid_strip");
    if (!full && !strip) return;
    eval::FeatureRows generated(*journal_, "generated"), strips(*journal_, "strips"), real(*journal_, "real");
    std::vector<std::size_t> people;
    for (std::size_t s = 0; s < scenes_->size(); s += static_cast<std::size_t>(files_.stride)) people.push_back(s);
    const auto lacks = [&](std::size_t s) { return (full && !generated.has(scenes_->name(s))) || (strip && !strips.has(scenes_->name(s))); };
    std::map<std::size_t, avatar::Avatar> sampled;  // a few of those that come next
    const auto sample_of = [&](std::size_t i) {
      constexpr std::size_t kAtOnce = 8;
      if (!sampled.contains(people[i])) {
        std::vector<std::uint64_t> seeds;
        for (std::size_t k = i; k < people.size() && seeds.size() < kAtOnce; ++k)
          if (lacks(people[k])) seeds.push_back(people[k]);
        const auto made = produce::sample_avatars(subject_.studio, seeds, {});
        for (std::size_t k = 0; k < seeds.size(); ++k) sampled[seeds[k]] = made[k];
      }
      return sampled.extract(people[i]).mapped();
    };
    for (std::size_t i = 0; i < people.size(); ++i) {
      check_stop();
      const std::size_t s = people[i];
      const std::string name = scenes_->name(s);
      const bool want_full = full && !generated.has(name), want_strip = strip && !strips.has(name), want_real = !real_ && !real.has(name);
      if (!want_full && !want_strip && !want_real) continue;
      const data::Scene scene = scenes_->read(s);
      const std::size_t all = scene.views.size(), count = files_.views == 0 ? all : std::min(all, static_cast<std::size_t>(files_.views));
      std::vector<torch::Tensor> drawn, panels, photographs;
      std::optional<splat::Gaussians> posed;
      if (want_full || want_strip) {
        const avatar::Avatar one = sample_of(i);
        posed = produce::pose(subject_.studio, produce::decode(subject_.studio, one.planes), scene.params.betas, scene.params);
      }
      for (std::size_t k = 0; k < count; ++k) {
        check_stop();
        const data::SceneView& view = scene.views[k * all / count];
        if (posed) {
          const auto outputs = produce::render_view(*posed, view.camera, want_strip);
          if (want_full) drawn.push_back(eval::byte_picture(outputs.full));
          if (want_strip) panels.push_back(eval::panel_strip(outputs));
        }
        if (want_real) photographs.push_back(eval::byte_picture(eval::image_of(view)));
      }
      if (want_full) generated.add(name, features_of(drawn));
      if (want_strip) strips.add(name, features_of(panels));
      if (want_real) real.add(name, features_of(photographs));
      say_(fmt::format("features of {} of {} people", i + 1, people.size()));
    }
    const auto moments = [&](const eval::FeatureRows& rows) {
      constexpr std::int64_t kRows = 4096;
      eval::Moments out;
      const torch::Tensor of = rows.rows();
      for (std::int64_t first = 0; first < of.size(0); first += kRows) out.add(of.slice(0, first, std::min(first + kRows, of.size(0))));
      return out;
    };
    for (const auto* rows : {full ? &generated : &strips, real_ ? nullptr : &real})
      if (rows != nullptr && rows->count() < 2) throw Error(ErrorKind::kInput, fmt::format("fid: expected two pictures or more, found {}", rows->count()));
    torch::Tensor real_mean, real_covariance;
    if (real_) {
      real_mean = real_->mean, real_covariance = real_->covariance;
    } else {
      const eval::Moments m = moments(real);
      real_mean = m.mean(), real_covariance = m.covariance();
    }
    const std::int64_t width = (full ? generated : strips).width();
    if (real_mean.size(0) != width) throw Error(ErrorKind::kInput, fmt::format("{}: expected {} features, found {}", files_.real.string(), width, real_mean.size(0)));
    const auto frechet = [&](const std::string& name, const eval::FeatureRows& rows) {
      const auto found = journal_->once(name, [&] {
        const eval::Moments m = moments(rows);
        const eval::FrechetDistance d = eval::frechet_distance(m.mean(), m.covariance(), real_mean, real_covariance);
        return std::vector<double>{d.total(), d.mean, d.covariance};
      });
      add(name, found.at(0));
      add(name + "_mean", found.at(1));
      add(name + "_cov", found.at(2));
    };
    add("fid_pictures", static_cast<double>((full ? generated : strips).count()));
    if (chosen_.contains("fid")) frechet("fid", generated);
    if (strip) frechet("fid_strip", strips);
    if (chosen_.contains("kid")) {
      const auto found = journal_->once("kid", [&] { return std::vector<double>{eval::kernel_distance(generated.rows(), real_ ? real_->features : real.rows())}; });
      add("kid_x1000", 1000 * found.at(0));
    }
  }

  const EvaluationFiles& files_;
  Say say_;
  const std::atomic<bool>* stop_;
  TrainConfig config_;
  std::set<std::string> chosen_;
  std::optional<PerceptualLoss> lpips_;
  std::string lpips_hash_;
  std::optional<nn::ScriptNetwork> inception_;
  std::optional<eval::RealStatistics> real_;
  std::optional<data::SceneFolders> scenes_;
  std::optional<eval::Journal> journal_;
  std::optional<avatar::ModelPack> pack_;
  Subject subject_;
  Evaluation out_;
};

}  // namespace

std::vector<std::string> metric_names() {
  std::vector<std::string> out;
  for (const Metric& metric : kMetrics) out.emplace_back(metric.name);
  return out;
}

Evaluation evaluate(const EvaluationFiles& files, const Say& say, const std::atomic<bool>* stop) { return Evaluator(files, say, stop).run(); }

}  // namespace layeravatar::train
