#include "layeravatar/train/run_training.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <chrono>
#include <utility>

#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/data/cc0_template.h"
#include "layeravatar/train/dataset_source.h"
#include "layeravatar/templates/template_folder.h"
#include "layeravatar/train/export_pack.h"
#include "layeravatar/train/open_run.h"
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
  const Ground ground = read_ground(files);  // before the dataset, which takes longer
  OpenRun out;
  const RankEnvironment place = rank_environment(environment_variable);
  out.dataset = open_dataset(config, [&](const std::string& line) {
    if (place.rank == 0) say(line);
  });
  out.image_size = out.dataset->scenes().front().views.front().camera.width;
  out.ranks = connect_ranks(place);
  RunOptions options;
  options.say = say;
  options.progress = files.progress;
  options.stop = stop;
  options.ranks = out.ranks;
  out.trainer = open_trainer(config, ground, files, std::make_shared<DatasetSource>(out.dataset, config.views_per_scene), options);
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

}  // namespace

TrainConfig read_config(const TrainingFiles& files) {
  TrainConfig config;
  apply_settings(config, files.config_text, files.config_name);
  for (const std::string& setting : files.settings) apply_setting(config, setting);
  config.check();
  if (config.dataset.empty()) throw Error(ErrorKind::kConfig, files.config_name + ".dataset: is empty");
  return config;
}

Ground read_ground(const TrainingFiles& files) {
  if (!files.templates.empty()) return {body::read_smplx(files.body).model, templates::read_template_folder(files.templates)};
  const people::Cc0Body own = people::read_cc0_body(files.body);
  return {own.model, data::cc0_template(own)};
}

std::unique_ptr<Trainer> open_trainer(const TrainConfig& config, const Ground& ground, const TrainingFiles& files, std::shared_ptr<SceneSource> source, RunOptions options) {
  options.folder = files.run;
  options.resume = files.resume;
  if (!files.init.empty()) options.start = std::make_shared<avatar::ModelPack>(avatar::read_pack(files.init));
  return std::make_unique<Trainer>(config, ground.body, ground.layers, std::move(source), std::move(options));
}

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

}  // namespace layeravatar::train
