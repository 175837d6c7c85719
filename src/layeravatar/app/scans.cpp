// render-scans
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "layeravatar/app/command.h"
#include "layeravatar/app/scan_flags.h"
#include "layeravatar/core/error.h"
#include "layeravatar/scan/render_scans.h"

namespace layeravatar::app {
namespace {

struct Flags {
  ScanFlags scans;
  scan::RenderScansOptions options;
  std::string shard = "1/1";
  bool resume = false;
};

void read_shard(const std::string& text, scan::RenderScansOptions& options) {
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, options.shard);
  const bool slash = first.ec == std::errc() && first.ptr != end && *first.ptr == '/';
  const auto second = slash ? std::from_chars(first.ptr + 1, end, options.shards) : first;
  if (!slash || second.ec != std::errc() || second.ptr != end) throw Error(ErrorKind::kConfig, fmt::format("shard = {}, expected i/n", text));
}

// One line that is rewritten on a terminal; elsewhere one line when a scan begins and one every ten seconds.
class Progress {
 public:
  explicit Progress(const Common& common) : common_(common), terminal_(isatty(STDERR_FILENO) != 0) {}

  void show(const scan::RenderScansProgress& p) {
    const auto now = std::chrono::steady_clock::now();
    if (p.of_views == 0) {
      scan_began_ = now;
      ++begun_;
    }
    if (p.of_views != 0 && now - shown_ < (terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(10000))) return;
    shown_ = now;
    std::string line = fmt::format("{}/{} {}: ", p.scan + 1, p.scans, printable(p.id));
    line += p.of_views == 0 ? "reading" : fmt::format("view {}/{}", p.views, p.of_views);
    const double spent = std::chrono::duration<double>(scan_began_ - start_).count();
    if (begun_ > 1) {
      const double each = spent / (begun_ - 1);
      line += fmt::format(", {:.1f} s a scan, {:.0f} min left", each, each * static_cast<double>(p.scans - p.scan) / 60);
    }
    if (!terminal_) return say(common_, line);
    if (!common_.quiet) std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  }

  void end() const {
    if (terminal_ && !common_.quiet) std::fputs("\r\x1b[K", stderr);
  }

 private:
  const Common& common_;
  bool terminal_;
  int begun_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), scan_began_ = start_, shown_{};
};

nlohmann::ordered_json pairs(const std::vector<std::pair<std::string, std::string>>& list, const char* name) {
  auto out = nlohmann::ordered_json::array();
  for (const auto& [id, text] : list) out.push_back({{"id", id}, {name, text}});
  return out;
}

int run(const Flags& flags, const Common& common) {
  scan::RenderScansOptions options = flags.options;
  options.set = flags.scans.set();
  options.fits = flags.scans.fits;
  options.body = flags.scans.body;
  options.refined = flags.scans.refined;
  read_shard(flags.shard, options);
  Progress progress(common);
  const auto& stop = stop_on_signal();
  if (!options.body.empty()) say(common, "reading " + options.body.string());
  const scan::RenderScansReport report = scan::render_scans(options, [&](const scan::RenderScansProgress& p) {
    progress.show(p);
    return !stop;
  });
  progress.end();
  for (const auto& [id, text] : report.warnings) warn(id + ": ", {text});
  for (const auto& [id, reason] : report.failed) std::fputs(fmt::format("layeravatar: {}: failed: {}\n", printable(id), reason).c_str(), stderr);
  if (common.json) {
    nlohmann::ordered_json out = {{"rendered", report.rendered}, {"kept", report.kept}};
    out["failed"] = pairs(report.failed, "reason");
    out["warnings"] = pairs(report.warnings, "warning");
    std::puts(out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    for (const auto& id : report.rendered) std::puts(((options.out.empty() ? options.scans : options.out) / id / scan::kViewsFolder).c_str());
  }
  if (!report.kept.empty()) say(common, fmt::format("{} scans were complete already", report.kept.size()));
  constexpr int kInterrupted = 130;
  if (stop) return kInterrupted;
  const std::size_t done = report.rendered.size() + report.kept.size();
  if (!report.failed.empty())
    throw Error(ErrorKind::kPartial, fmt::format("{} of {} scans rendered", done, done + report.failed.size()));
  return 0;
}

}  // namespace

void add_render_scans(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand(
      "render-scans",
      "The 54 training views of each scan of a folder, brought into the body's frame by its fit.\nExample: layeravatar render-scans THuman2.0_Release -o views --shard 1/4");
  auto o = std::make_shared<Flags>();
  command->add_option("scans", o->options.scans, "folder with one folder for each scan: OBJ or GLB, and textures")->required();
  add_scan_flags(*command, o->scans);
  add_refined_flag(*command, o->scans);
  command->add_option("-o,--output", o->options.out, "folder of the views (default: the scans' own folders)");
  command->add_option("--size", o->options.size, "pixels of the pictures");
  command->add_option("--supersample", o->options.supersample, "n x n samples a pixel");
  command->add_flag("--depth", o->options.depth, "also depth, .npz in metres");
  command->add_flag("--normals", o->options.normals, "also normals");
  command->add_flag("--ao", o->options.ambient, "also pictures darkened by ambient occlusion");
  command->add_flag("--lit", o->options.lit, "also lit pictures");
  command->add_option("--shard", o->shard, "i/n: every n-th scan from the i-th on");
  auto* again = command->add_flag("--again", o->options.again, "render complete scans as well");
  command->add_flag("--resume", o->resume, "keep complete scans (as without it)")->excludes(again);
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] { return run(*o, common); };
  });
}

}  // namespace layeravatar::app
