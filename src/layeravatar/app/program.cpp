// layeravatar <command>: see spec/product.md section 3. Loaded by main.cpp.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <nlohmann/json.hpp>

#include "layeravatar/app/command.h"
#include "layeravatar/app/program.h"
#include "layeravatar/app/settings.h"
#include "layeravatar/core/error.h"

namespace layeravatar::app {

namespace {
std::atomic<bool> stop_requested{false};
}

const std::atomic<bool>& stop_on_signal() {
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { stop_requested = true; });
  return stop_requested;
}

void say(const Common& common, const std::string& line) {
  if (common.quiet) return;
  std::fputs((line + "\n").c_str(), stderr);
}

std::string printable(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, '?');
  return text;
}

void warn(const std::string& prefix, const std::vector<std::string>& lines) {
  for (const auto& line : lines) std::fputs(fmt::format("layeravatar: warning: {}{}\n", prefix, line).c_str(), stderr);
}

void report_files(const Common& common, const std::vector<std::filesystem::path>& files) {
  if (common.json) {
    nlohmann::json out;
    out["files"] = nlohmann::json::array();
    for (const auto& file : files) out["files"].push_back(file.string());
    std::puts(out.dump().c_str());
    return;
  }
  for (const auto& file : files) std::puts(file.c_str());
}

std::filesystem::path model_or_default(const std::filesystem::path& model) {
  if (!model.empty()) return model;
  const std::filesystem::path found = shipped_model();
  if (found.empty()) throw Error(ErrorKind::kInput, fmt::format("no model pack: give --model, or put one at {}", kShippedModel));
  return found;
}

namespace {

int run(int argc, char** argv, const std::shared_ptr<produce::Opening>& begun) {
  CLI::App app{"Generates, dresses, poses, trains and exports layered clothed 3D avatars.", "layeravatar"};
  app.require_subcommand(1);
  app.set_version_flag("--version", LAV_VERSION);
  app.fallthrough();
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // a flag wins over --config and --set
  app.footer("Every command takes --config FILE.toml and --set KEY=VALUE: the names of its flags without the dashes.");
  Common common;
  app.add_flag("--quiet", common.quiet, "no progress on standard error");
  app.add_flag("--json", common.json, "the result on standard output as JSON");
  app.add_option("--threads", common.threads, "threads to use (0: all)")->check(CLI::Range(0, 1024));
  app.add_option("--device", common.device, "cpu; cuda is not built yet");
  Chosen chosen;
  add_generate(app, common, begun, chosen);
  add_animate(app, common, chosen);
  add_interpolate(app, common, chosen);
  add_transfer(app, common, chosen);
  add_export(app, common, chosen);
  add_people(app, common, chosen);
  add_render_scans(app, common, chosen);
  add_segment(app, common, chosen);
  add_dataset(app, common, chosen);
  add_template(app, common, chosen);
  add_train(app, common, chosen);
  add_evaluate(app, common, chosen);
  add_report(app, common, chosen);
  add_samplers(app, common, chosen);
  add_fit(app, common, chosen);
  add_edit(app, common, chosen);
  add_measure(app, common, chosen);
  add_import(app, common, chosen);
  add_info(app, common, chosen);
  add_doctor(app, common, chosen);
  std::vector<std::string> arguments = settings_to_flags(app, {argv + 1, argv + argc});
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code == 0 ? 0 : static_cast<int>(ErrorKind::kUsage);
  }
  if (common.device != "cpu") {
    const bool cuda = common.device.starts_with("cuda");
    throw Error(cuda ? ErrorKind::kDevice : ErrorKind::kConfig, fmt::format("--device {}: this build has cpu only", common.device));
  }
  // LibTorch sets its own count at each thread's first parallel loop, half of what there is where it takes cores for siblings, or what the environment says;
  // set by its own function, it would start a second pool of threads, which spin.
  const int threads = common.threads > 0 ? common.threads : omp_get_max_threads();
  omp_set_num_threads(threads);
  ::setenv("OMP_NUM_THREADS", std::to_string(threads).c_str(), 1);
  return chosen.run();
}

// One line for whatever goes wrong.
int run_and_report(int argc, char** argv, const std::shared_ptr<produce::Opening>& begun) {
  try {
    return run(argc, argv, begun);
  } catch (const Error& e) {
    std::fprintf(stderr, "layeravatar: error: %s\n", e.what());
    return e.exit_code();
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "layeravatar: error: out of memory\n");
    return static_cast<int>(ErrorKind::kDevice);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "layeravatar: internal error: %s\n", e.what());
    return static_cast<int>(ErrorKind::kInternal);
  }
}

}  // namespace
}  // namespace layeravatar::app

int layeravatar_program(int argc, char** argv, const std::shared_ptr<layeravatar::produce::Opening>* begun) {
  const int code = layeravatar::app::run_and_report(argc, argv, *begun);
#ifndef __SANITIZE_ADDRESS__  // which looks for leaks at the end
  std::fflush(nullptr);  // every file is closed by now: what LibTorch takes down takes 0.1 s, and what is begun may take longer
  std::_Exit(code);
#else
  return code;
#endif
}
