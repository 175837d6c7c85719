#include "layeravatar/train/run_training.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <numeric>

#include "layeravatar/core/error.h"
#include "layeravatar/data/cc0_template.h"
#include "layeravatar/eval/leakage.h"
#include "layeravatar/eval/reconstruction.h"
#include "layeravatar/eval/silhouette.h"
#include "layeravatar/eval/variety.h"
#include "layeravatar/train/dataset_source.h"
#include "layeravatar/train/export_pack.h"

namespace layeravatar::train {

namespace {

struct OpenRun {
  std::shared_ptr<const data::Dataset> dataset;
  std::unique_ptr<Trainer> trainer;
  int image_size = 0;

  [[nodiscard]] std::vector<body::PoseParams> people() const {
    std::vector<body::PoseParams> out;
    for (const auto& scene : dataset->scenes()) out.push_back(scene.params);
    return out;
  }
};

OpenRun open_run(const TrainingFiles& files, const std::function<void(const std::string&)>& say, const std::atomic<bool>* stop) {
  TrainConfig config;
  apply_settings(config, files.config_text, files.config_name);
  config.check();
  if (config.dataset.empty()) throw Error(ErrorKind::kConfig, files.config_name + ".dataset: is empty");
  const people::Cc0Body body = people::read_cc0_body(files.body);
  data::DatasetOptions data_options;
  data_options.held_out = config.held_out;
  data_options.reference = config.reference;
  OpenRun out;
  out.image_size = data_options.image_size;
  out.dataset = std::make_shared<data::Dataset>(data::Dataset::open(config.dataset, data_options, [&](std::size_t done, std::size_t total) {
    if (done == total || done % 32 == 0) say(fmt::format("read {}/{} scenes", done, total));
  }));
  RunOptions options;
  options.folder = files.run;
  options.resume = files.resume;
  if (!files.init.empty()) options.start = std::make_shared<avatar::ModelPack>(avatar::read_pack(files.init));
  options.say = say;
  options.stop = stop;
  out.trainer = std::make_unique<Trainer>(config, body.model, data::cc0_template(body),
                                          std::make_shared<DatasetSource>(out.dataset, config.views_per_scene), options);
  return out;
}

// Seeds 0..count - 1.
std::vector<avatar::Avatar> draw_samples(const produce::Studio& studio, int count) {
  std::vector<std::uint64_t> seeds(static_cast<std::size_t>(count));
  std::iota(seeds.begin(), seeds.end(), 0);
  produce::SamplingOptions options;
  options.steps = 20;
  return produce::sample_avatars(studio, seeds, options);
}

}  // namespace

bool run_training(const TrainingFiles& files, const std::function<void(const std::string&)>& say, const std::atomic<bool>* stop) {
  TrainingFiles opened = files;
  opened.resume = files.resume || files.export_only;
  OpenRun run = open_run(opened, say, stop);
  Trainer& trainer = *run.trainer;
  if (!files.export_only) {
    const std::int64_t last = trainer.config().iterations;
    say(fmt::format("training from iteration {} to {}", trainer.iteration(), last));
    trainer.run();
    if (trainer.iteration() < last) {
      say(fmt::format("stopped at iteration {}; the checkpoint is whole, go on with --resume", trainer.iteration()));
      return false;
    }
  }
  const auto path = files.pack.empty() ? files.run / "pack.safetensors" : files.pack;
  avatar::write_pack(path, make_pack(trainer, run.people(), run.image_size));
  say(fmt::format("pack {} at iteration {}", path.string(), trainer.iteration()));
  return true;
}

std::vector<std::pair<std::string, double>> evaluate_run(const EvaluationFiles& files, const std::function<void(const std::string&)>& say) {
  TrainingFiles opened = files.run;
  opened.resume = true;
  const OpenRun run = open_run(opened, say, nullptr);
  if (run.dataset->held_out_views().empty()) throw Error(ErrorKind::kConfig, "held-out: no views are held out; nothing to evaluate on");
  const produce::Studio studio = produce::make_studio(make_pack(*run.trainer, run.people(), run.image_size), files.run.run.string());
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> planes;
  std::vector<avatar::Avatar> people;
  for (std::int64_t i = 0; i < run.trainer->codes().size(); ++i) {
    planes.push_back(run.trainer->learned().activation.forward(run.trainer->codes().code(i)));
    people.push_back({planes.back(), run.dataset->scenes()[static_cast<std::size_t>(i)].params.betas, {}});
  }
  const auto& held_out = run.dataset->held_out_views();
  if (!files.sheet.empty()) io::write_png(files.sheet, eval::reconstruction_sheet(studio, *run.dataset, planes, held_out[0], 6));
  const eval::Reconstruction r = eval::evaluate_reconstruction(studio, *run.dataset, planes, held_out, files.stride);
  std::vector<std::pair<std::string, double>> out = {{"iteration", static_cast<double>(run.trainer->iteration())},
                                                     {"pictures", r.pictures},
                                                     {"psnr_box", r.psnr},
                                                     {"psnr_box_of_mean_avatar", r.mean_avatar_psnr},
                                                     {"psnr_head_box", r.head_psnr},
                                                     {"ssim_box", r.ssim},
                                                     {"iou_body", r.parts.iou(1)},
                                                     {"iou_top", r.parts.iou(2)},
                                                     {"iou_hair", r.parts.iou(3)},
                                                     {"iou_shoes", r.parts.iou(4)},
                                                     {"iou_bottom", r.parts.iou(5)}};
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
