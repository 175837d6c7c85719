#include "layeravatar/train/run_training.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <chrono>
#include <numeric>

#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/data/cc0_template.h"
#include "layeravatar/eval/leakage.h"
#include "layeravatar/eval/reconstruction.h"
#include "layeravatar/eval/silhouette.h"
#include "layeravatar/eval/variety.h"
#include "layeravatar/train/dataset_source.h"
#include "layeravatar/produce/sampling.h"
#include "layeravatar/templates/template_folder.h"
#include "layeravatar/train/export_pack.h"
#include "layeravatar/train/fit_code.h"
#include "layeravatar/train/ranks.h"
#include "layeravatar/train/report.h"

namespace layeravatar::train {

namespace {

struct OpenRun {
  std::shared_ptr<Ranks> ranks;
  std::shared_ptr<const data::Dataset> dataset;
  std::unique_ptr<Trainer> trainer;
  int image_size = 0;

  [[nodiscard]] std::vector<body::PoseParams> people() const {
    std::vector<body::PoseParams> out;
    for (const auto& scene : dataset->scenes()) out.push_back(scene.params);
    return out;
  }
};

TrainConfig read_config(const TrainingFiles& files) {
  TrainConfig config;
  apply_settings(config, files.config_text, files.config_name);
  for (const std::string& setting : files.settings) apply_setting(config, setting);
  config.check();
  if (config.dataset.empty()) throw Error(ErrorKind::kConfig, files.config_name + ".dataset: is empty");
  return config;
}

std::shared_ptr<const data::Dataset> open_dataset(const TrainConfig& config, const std::function<void(const std::string&)>& say) {
  data::DatasetOptions options;
  options.held_out = config.held_out;
  options.reference = config.reference;
  return std::make_shared<data::Dataset>(data::Dataset::open(config.dataset, options, [&](std::size_t done, std::size_t total) {
    if (done == total || done % 32 == 0) say(fmt::format("read {}/{} scenes", done, total));
  }));
}

OpenRun open_run(const TrainingFiles& files, const std::function<void(const std::string&)>& say, const std::atomic<bool>* stop) {
  const TrainConfig config = read_config(files);
  OpenRun out;
  body::BodyModel body;
  templates::LayeredTemplate layers;
  if (files.templates.empty()) {
    const people::Cc0Body own = people::read_cc0_body(files.body);
    body = own.model;
    layers = data::cc0_template(own);
  } else {
    body = body::read_smplx(files.body).model;
    layers = templates::read_template_folder(files.templates);
  }
  out.dataset = open_dataset(config, say);
  out.image_size = out.dataset->scenes().front().views.front().camera.width;
  RunOptions options;
  options.folder = files.run;
  options.resume = files.resume;
  if (!files.init.empty()) options.start = std::make_shared<avatar::ModelPack>(avatar::read_pack(files.init));
  options.say = say;
  options.progress = files.progress;
  options.stop = stop;
  options.ranks = connect_ranks(rank_environment(environment_variable));
  out.ranks = options.ranks;
  out.trainer = std::make_unique<Trainer>(config, body, layers,
                                          std::make_shared<DatasetSource>(out.dataset, config.views_per_scene), options);
  return out;
}

void record(const OpenRun& run, const TrainingFiles& files, const Trainer& trainer) {
  std::vector<std::filesystem::path> scenes;
  for (const auto& scene : run.dataset->scenes()) scenes.push_back(std::filesystem::path(trainer.config().dataset) / scene.name);
  record_start(files.run, {.iteration = trainer.iteration(),
                           .seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count(),
                           .threads = torch::get_num_threads(),
                           .processes = run.ranks->size(),
                           .dataset = trainer.config().dataset,
                           .data_sha1 = data_hash(scenes),
                           .scenes = trainer.scene_count()});
}

// What is evaluated: networks, people, and the planes of those that have some.
struct Subject {
  produce::Studio studio;
  std::shared_ptr<const data::Dataset> dataset;
  std::vector<torch::Tensor> planes;  // one per scene; undefined where not known
  std::int64_t iteration = -1;        // unknown of a pack
};

Subject subject_of_run(const TrainingFiles& files, const std::function<void(const std::string&)>& say) {
  TrainingFiles opened = files;
  opened.resume = true;
  const OpenRun run = open_run(opened, say, nullptr);
  return {produce::make_studio(make_pack(*run.trainer, run.people(), run.image_size), files.run.string()), run.dataset, run.trainer->planes(), run.trainer->iteration()};
}

Subject subject_of_pack(const EvaluationFiles& files, const std::function<void(const std::string&)>& say) {
  const TrainConfig config = read_config(files.run);
  const avatar::ModelPack pack = avatar::read_pack(files.model);
  const Scaffold scaffold = make_scaffold(pack.body, pack.layers);
  Subject out{produce::make_studio(pack, files.model.string()), open_dataset(config, say), {}, -1};
  DatasetSource source(out.dataset, config.views_per_scene);
  FitOptions options;
  options.steps = files.fit_steps;
  options.stage = config.stages.back();
  const CodePrior prior =
      code_prior(out.studio.unet ? out.studio.unet->prior() : nullptr, pack.activation, pack.config.planes_height);
  const auto scenes = static_cast<std::int64_t>(out.dataset->scenes().size()), count = (scenes + files.stride - 1) / files.stride;
  const auto codes = fit_codes(scaffold, *out.studio.decoder, pack.activation, prior, count,
                               [&](std::int64_t i, int batch) { return source.load(i * files.stride, batch, 0); }, options,
                               [&](std::int64_t n) { say(fmt::format("fitted {} of {} people", n, count)); }, nullptr);
  out.planes.resize(static_cast<std::size_t>(scenes));
  for (std::int64_t i = 0; i < count; ++i) out.planes[static_cast<std::size_t>(i * files.stride)] = pack.activation.forward(codes[static_cast<std::size_t>(i)]);
  return out;
}

// Seeds 0..count - 1, by the pack's usual sampler.
std::vector<avatar::Avatar> draw_samples(const produce::Studio& studio, int count) {
  std::vector<std::uint64_t> seeds(static_cast<std::size_t>(count));
  std::iota(seeds.begin(), seeds.end(), 0);
  return produce::sample_avatars(studio, seeds, {});
}

}  // namespace

bool run_training(const TrainingFiles& files, const std::function<void(const std::string&)>& say, const std::atomic<bool>* stop) {
  TrainingFiles opened = files;
  opened.resume = files.resume || files.export_only;
  OpenRun run = open_run(opened, say, stop);
  Trainer& trainer = *run.trainer;
  if (!files.export_only) {
    const std::int64_t last = trainer.config().iterations;
    if (run.ranks->rank() == 0) {
      say(fmt::format("training from iteration {} to {}", trainer.iteration(), last) + (run.ranks->size() > 1 ? fmt::format(" in {} processes", run.ranks->size()) : ""));
      record(run, files, trainer);
    }
    trainer.run();
    if (trainer.iteration() < last) {
      say(fmt::format("stopped at iteration {}; the checkpoint is whole, go on with --resume", trainer.iteration()));
      return false;
    }
  }
  const auto path = files.pack.empty() ? files.run / "pack.safetensors" : files.pack;
  const avatar::ModelPack pack = make_pack(trainer, run.people(), run.image_size);
  if (run.ranks->rank() > 0) return true;
  avatar::write_pack(path, pack);
  say(fmt::format("pack {} at iteration {}", path.string(), trainer.iteration()));
  return true;
}

std::vector<std::pair<std::string, double>> evaluate(const EvaluationFiles& files, const std::function<void(const std::string&)>& say) {
  if (read_config(files.run).held_out.empty()) throw Error(ErrorKind::kConfig, "held-out: no views are held out; nothing to evaluate on");
  const Subject subject = files.model.empty() ? subject_of_run(files.run, say) : subject_of_pack(files, say);
  const produce::Studio& studio = subject.studio;
  produce::set_precision(studio, "auto");  // as `generate` does
  const auto& held_out = subject.dataset->held_out_views();
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> planes;
  std::vector<avatar::Avatar> people;
  for (std::size_t i = 0; i < subject.planes.size(); ++i) {
    if (!subject.planes[i].defined()) continue;
    planes.push_back(subject.planes[i]);
    people.push_back({planes.back(), subject.dataset->scenes()[i].params.betas, {}});
  }
  if (!files.sheet.empty()) io::write_png(files.sheet, eval::reconstruction_sheet(studio, *subject.dataset, subject.planes, held_out[0], 6));
  const eval::Reconstruction r = eval::evaluate_reconstruction(studio, *subject.dataset, subject.planes, held_out, files.stride);
  std::vector<std::pair<std::string, double>> out = {{"pictures", r.pictures},
                                                     {"psnr_box", r.psnr},
                                                     {"psnr_box_of_mean_avatar", r.mean_avatar_psnr},
                                                     {"psnr_head_box", r.head_psnr},
                                                     {"ssim_box", r.ssim},
                                                     {"iou_body", r.parts.iou(1)},
                                                     {"iou_top", r.parts.iou(2)},
                                                     {"iou_hair", r.parts.iou(3)},
                                                     {"iou_shoes", r.parts.iou(4)},
                                                     {"iou_bottom", r.parts.iou(5)}};
  if (subject.iteration >= 0) out.insert(out.begin(), {"iteration", static_cast<double>(subject.iteration)});
  constexpr int kPairs = 16;
  if (people.size() > 1)
    if (const eval::Leakage l = eval::evaluate_leakage(studio, people, kPairs); l.pictures > 0)
      out.emplace_back("transfer_leakage_psnr", l.psnr);
  if (files.samples > 1) {
    const std::vector<avatar::Avatar> samples = draw_samples(studio, files.samples);
    const eval::Variety v = eval::evaluate_variety(studio, planes, samples);
    const eval::Silhouettes s = eval::evaluate_silhouettes(studio, samples);
    out.insert(out.end(), {{"variety_of_samples", v.sample_spread},
                           {"nearest_training_ratio", v.nearest_ratio},
                           {"one_silhouette_share", s.one_piece_share},
                           {"largest_hole_px", static_cast<double>(s.largest_hole)}});
  }
  return out;
}

}  // namespace layeravatar::train
