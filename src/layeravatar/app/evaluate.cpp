// evaluate
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "layeravatar/app/command.h"
#include "layeravatar/body/motion_file.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/bvh.h"
#include "layeravatar/people/retarget.h"
#include "layeravatar/train/evaluate.h"

namespace layeravatar::app {
namespace {

namespace fs = std::filesystem;

struct Flags {
  train::EvaluationFiles files;
  fs::path config, motion;
  std::int64_t frames = 0;
};

// At the strides that `animate` usually takes; a .bvh without its first frame, the T-pose from which the motion jumps.
std::vector<body::PoseParams> read_poses(const fs::path& file, std::int64_t frames) {
  if (file.extension() == ".bvh") {
    constexpr std::int64_t kStride = 4;
    return people::retarget(io::read_bvh(file), kStride, frames == 0 ? -1 : frames * kStride + 1, kStride);
  }
  if (file.extension() != ".pkl" && file.extension() != ".npz")
    throw Error(ErrorKind::kConfig, file.string() + ": motions of this kind are not read; .bvh, .pkl and .npz work");
  body::MotionOptions options;
  options.frames = frames;
  body::Motion motion = body::read_motion(file, options);
  warn(file.string() + ": ", motion.warnings);
  return std::move(motion.frames);
}

std::string json_of(const train::Evaluation& found) {
  nlohmann::ordered_json out;
  for (const auto& [name, value] : found.numbers) out[name] = value;  // null where it is not finite
  out["not_computed"] = nlohmann::ordered_json::object();
  for (const auto& [name, needs] : found.left_out) out["not_computed"][name] = "needs " + needs;
  return out.dump();
}

int evaluate(Flags flags, const Common& common) {
  constexpr int kInterrupted = 130;
  train::EvaluationFiles& files = flags.files;
  const bool named = files.run.run.empty() ? !files.model.empty() : !files.run.body.empty();
  if (!named) throw Error(ErrorKind::kUsage, "evaluate needs --model, or --run and --body");
  if (!flags.config.empty()) {
    files.run.config_text = read_file(flags.config);
    files.run.config_name = flags.config.string();
  }
  if (!flags.motion.empty()) files.motion = read_poses(flags.motion, flags.frames);
  const train::Evaluation found = train::evaluate(files, [&](const std::string& line) { say(common, line); }, &stop_on_signal());
  if (!found.whole) {
    say(common, files.output.empty() ? "stopped; with -o FOLDER it could go on" : "stopped; the same command goes on");
    return kInterrupted;
  }
  if (!files.output.empty()) write_file(files.output / "evaluation.json", json_of(found) + "\n");
  if (common.json) {
    std::puts(json_of(found).c_str());
    return 0;
  }
  for (const auto& [name, value] : found.numbers) std::puts(fmt::format("{:28} {:.4f}", name, value).c_str());
  for (const auto& [name, needs] : found.left_out) std::puts(fmt::format("{:28} not computed: needs {}", name, needs).c_str());
  return 0;
}

}  // namespace

void add_evaluate(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("evaluate", "Numbers of a run or a pack (docs/evaluation.md): held-out views of the training people, swaps, samples, distances to the real pictures.\n"
                                                 "Example: layeravatar evaluate --config configs/default.toml --model models/default.safetensors --stride 8");
  command->alias("test")->alias("eval");
  auto o = std::make_shared<Flags>();
  auto& files = o->files;
  command->add_option("--config", o->config, "settings of the run, .json or .toml (default: those of --run; the usual ones with --model)");
  command->add_option("--set", files.run.settings, "key=value: a setting over the file's")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option_function<std::string>("--dataset", [o](const std::string& folder) { o->files.run.settings.push_back("dataset=" + folder); }, "folder of scenes (default: the settings')");
  auto* run = command->add_option("--run", files.run.run, "folder of checkpoints and logs");
  command->add_option("--body", files.run.body, "body made by `people body`, or with --templates an SMPL-X model, for --run");
  command->add_option("--templates", files.run.templates, "folder of the official template's arrays, for --run");
  command->add_option("--model", files.model, "pack instead of a run: planes are fitted to the people first")->excludes(run);
  command->add_option("--metrics", files.metrics, fmt::format("names with commas (default: all that can be): {}", fmt::join(train::metric_names(), ", ")))->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->delimiter(',');
  command->add_option("--inception", files.inception, "TorchScript of StyleGAN's Inception network, for fid, fid_strip and kid; it is a program: take only one that you trust");
  command->add_option("--lpips", files.lpips, "TorchScript of StyleGAN's vgg16.pt, for lpips; a program, too");
  command->add_option("--real", files.real, "the release's statistics of the real pictures, .pkl, as `dataset stats` writes (default: from the dataset's pictures)");
  command->add_option("--motion", o->motion, "motion for jitter: .bvh, .pkl or .npz as of `animate`");
  command->add_option("--motion-frames", o->frames, "of them (0: all)")->check(CLI::Range(0, 1000000));
  command->add_option("-o,--output", files.output, "folder where finished parts stay, so that the same command goes on after an interruption, and evaluation.json");
  command->add_option("--fit-steps", files.fit_steps, "steps of the fit of a pack's planes")->check(CLI::Range(1, 100000));
  command->add_option("--sheet", files.sheet, "picture of reconstructions, .png");
  command->add_option("--stride", files.stride, "every n-th person")->check(CLI::Range(1, 100000));
  command->add_option("--samples", files.samples, "generated avatars for variety and silhouettes (0: none)")->check(CLI::Range(0, 100000));
  command->add_option("--views", files.views, "pictures of each person for fid, fid_strip and kid (0: all)")->check(CLI::Range(0, 100000));
  command->add_option("--batch", files.batch, "pictures at once through the Inception network")->check(CLI::Range(1, 1024));
  command->callback([=, &common, &chosen] { chosen.run = [=, &common] { return evaluate(*o, common); }; });
}

}  // namespace layeravatar::app
