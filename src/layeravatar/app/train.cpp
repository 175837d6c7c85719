// train, report, samplers
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "layeravatar/app/command.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/eval/compare_samplers.h"
#include "layeravatar/train/report.h"
#include "layeravatar/train/run_training.h"

namespace layeravatar::app {
namespace {

void add_settings(CLI::App& command, std::vector<std::string>& settings) {
  command.add_option("--set", settings, "key=value: a setting over the file's")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

// On a terminal a line below the log, with the time that is left; elsewhere nothing.
class Bar {
 public:
  explicit Bar(const Common& common) : shown_(!common.quiet && ::isatty(STDERR_FILENO) != 0) {}
  void clear() {
    if (shown_) std::fputs("\r\x1b[K", stderr);
  }
  void draw(std::int64_t done, std::int64_t of) {
    const auto now = Clock::now();
    if (first_ < 0) first_ = done, began_ = now;
    if (!shown_ || (done < of && now - drawn_ < std::chrono::milliseconds(200))) return;
    drawn_ = now;
    constexpr std::int64_t kWidth = 30;
    const auto full = static_cast<std::size_t>(kWidth * done / of);
    const double each = done > first_ ? std::chrono::duration<double>(now - began_).count() / static_cast<double>(done - first_) : 0, left = each * static_cast<double>(of - done);
    clear();
    std::fputs(fmt::format("[{}{}] {}/{} {:.2f} s, {:.0f} h {:02.0f} min left", std::string(full, '='), std::string(kWidth - full, ' '), done, of, each, std::floor(left / 3600),
                           std::fmod(left / 60, 60)).c_str(), stderr);
    if (done == of) clear();
  }

 private:
  using Clock = std::chrono::steady_clock;
  bool shown_;
  std::int64_t first_ = -1;
  Clock::time_point began_, drawn_;
};

}  // namespace

void add_train(CLI::App& app, const Common& common, Chosen& chosen) {
  struct Flags {
    train::TrainingFiles files;
    std::filesystem::path config;
  };
  auto* command = app.add_subcommand("train", "Single-stage training, resumable; ends with a model pack.\nExample: layeravatar train --config configs/default.toml --body body.npz --run runs/default --resume");
  auto o = std::make_shared<Flags>();
  command->add_option("--config", o->config, "settings, .json or .toml")->required();
  add_settings(*command, o->files.settings);
  command->add_option("--body", o->files.body, "body made by `people body`, or with --templates an SMPL-X model")->required();
  command->add_option("--templates", o->files.templates, "folder of the official template's arrays (see 'template'); --body is an SMPL-X model then");
  command->add_option("--run", o->files.run, "folder of checkpoints and logs")->required();
  command->add_option("--pack", o->files.pack, "where the finished pack goes (default: in the run's folder)");
  command->add_option("--init", o->files.init, "pack whose networks a new run starts from");
  command->add_option_function<std::int64_t>("--iterations", [o](std::int64_t n) { o->files.settings.push_back(fmt::format("iterations={}", n)); }, "iterations of the whole run");
  command->add_flag_callback("--sync-batchnorm", [o] { o->files.settings.emplace_back("sync-batchnorm=true"); }, "several processes normalise by the statistics of all their scenes");
  command->add_flag_callback("--reference", [o] { o->files.settings.emplace_back("reference=true"); }, "the release's frozen training views");
  command->add_flag("--resume", o->files.resume, "go on from the newest checkpoint");
  command->add_flag("--export-only", o->files.export_only, "write the pack of the newest checkpoint, train nothing");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->files.config_text = read_file(o->config);
      o->files.config_name = o->config.string();
      constexpr int kInterrupted = 130;
      Bar bar(common);
      o->files.progress = [&](std::int64_t done, std::int64_t of) { bar.draw(done, of); };
      const bool whole = train::run_training(o->files, [&](const std::string& line) { bar.clear(); say(common, line); }, &stop_on_signal());
      return whole ? 0 : kInterrupted;
    };
  });
}

void add_report(CLI::App& app, const Common& common, Chosen& chosen) {
  struct Flags {
    std::filesystem::path run, output;
  };
  auto* command = app.add_subcommand("report", "One HTML page of a training run: curves, previews, times, settings, machine and data.\nExample: layeravatar report runs/default -o report.html");
  auto o = std::make_shared<Flags>();
  command->add_option("run", o->run, "the run's folder")->required();
  command->add_option("-o,--output", o->output, "the page (default: report.html in the run's folder)");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      const std::filesystem::path output = o->output.empty() ? o->run / "report.html" : o->output;
      write_file(output, train::html_report(o->run));
      report_files(common, {output});
      return 0;
    };
  });
}

void add_samplers(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("samplers", "Error and time of samplers and steps with a pack, against many steps of ddim from the same noise.\nExample: layeravatar samplers --steps 8,10,15,25");
  auto o = std::make_shared<eval::CompareOptions>();
  command->add_option("--model", o->model, "model pack");
  command->add_option("--steps", o->steps, "numbers of steps, with commas")->delimiter(',');
  command->add_option("--count", o->count, "noises to average over");
  command->add_option("--seed", o->seed, "of the first noise");
  command->add_option("--reference-steps", o->reference_steps, "of ddim, which the others are held against");
  command->add_option("--precision", o->precision, "of the denoiser: fp32, bf16 or auto");
  command->add_option("--size", o->size, "pixels of the pictures (0: the pack's)");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->model = model_or_default(o->model);
      const auto rows = eval::compare_samplers(*o, [&](const std::string& line) { say(common, line); });
      if (common.json) {
        nlohmann::ordered_json out = nlohmann::ordered_json::array();
        for (const auto& r : rows)
          out.push_back({{"sampler", r.sampler}, {"order", r.order}, {"spacing", r.spacing}, {"steps", r.steps}, {"distance", r.distance}, {"psnr", r.psnr}, {"seconds", r.seconds}});
        std::puts(out.dump().c_str());
        return 0;
      }
      std::puts(fmt::format("{:8} {:>5} {:10} {:>5} {:>9} {:>8} {:>8}", "sampler", "order", "spacing", "steps", "distance", "PSNR dB", "seconds").c_str());
      for (const auto& r : rows)
        std::puts(fmt::format("{:8} {:5} {:10} {:5} {:9.4f} {:8.2f} {:8.2f}", r.sampler, r.order, r.spacing, r.steps, r.distance, r.psnr, r.seconds).c_str());
      return 0;
    };
  });
}

}  // namespace layeravatar::app
