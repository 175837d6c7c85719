// What the commands of the program share.
#pragma once
#include <CLI/CLI.hpp>
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace layeravatar::produce {
class Opening;
}

namespace layeravatar::app {

/// Flags that every command has.
struct Common {
  bool quiet = false;
  bool json = false;
  int threads = 0;
  std::string device = "cpu";
};

/// From here on Ctrl-C does not end the program at once but sets what is returned, for commands that look at it.
const std::atomic<bool>& stop_on_signal();

/// A line on standard error unless --quiet.
void say(const Common& common, const std::string& line);

/// Names that come from a file, such that nothing in them acts on a terminal: control characters become '?'.
std::string printable(std::string text);

/// A line "layeravatar: warning: ..." on standard error for each, behind `prefix`.
void warn(const std::string& prefix, const std::vector<std::string>& lines);

/// The files of a finished command: one per line, or {"files": [...]} with --json.
void report_files(const Common& common, const std::vector<std::filesystem::path>& files);

/// The pack of --model, or the shipped one: beside the program's source (models/default.safetensors), or in the
/// working folder. Throws Error(kInput) naming what was tried.
std::filesystem::path model_or_default(const std::filesystem::path& model);

/// Each adds its command; `run` is called after parsing when it was chosen.
using Run = std::function<int()>;
struct Chosen {
  Run run;
};
/// `begun`: the opening of the pack that the command line names, or null.
void add_generate(CLI::App& app, const Common& common, const std::shared_ptr<produce::Opening>& begun, Chosen& chosen);
void add_animate(CLI::App& app, const Common& common, Chosen& chosen);
void add_interpolate(CLI::App& app, const Common& common, Chosen& chosen);
void add_transfer(CLI::App& app, const Common& common, Chosen& chosen);
void add_export(CLI::App& app, const Common& common, Chosen& chosen);
void add_segment(CLI::App& app, const Common& common, Chosen& chosen);
void add_dataset(CLI::App& app, const Common& common, Chosen& chosen);
void add_people(CLI::App& app, const Common& common, Chosen& chosen);
void add_render_scans(CLI::App& app, const Common& common, Chosen& chosen);
void add_template(CLI::App& app, const Common& common, Chosen& chosen);
void add_train(CLI::App& app, const Common& common, Chosen& chosen);
void add_evaluate(CLI::App& app, const Common& common, Chosen& chosen);
void add_report(CLI::App& app, const Common& common, Chosen& chosen);
void add_samplers(CLI::App& app, const Common& common, Chosen& chosen);
void add_fit(CLI::App& app, const Common& common, Chosen& chosen);
void add_edit(CLI::App& app, const Common& common, Chosen& chosen);
void add_measure(CLI::App& app, const Common& common, Chosen& chosen);
void add_import(CLI::App& app, const Common& common, Chosen& chosen);
void add_info(CLI::App& app, const Common& common, Chosen& chosen);
void add_doctor(CLI::App& app, const Common& common, Chosen& chosen);

}  // namespace layeravatar::app
