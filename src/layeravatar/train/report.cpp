#include "layeravatar/train/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/html.h"
#include "layeravatar/io/png.h"
#include "layeravatar/io/sha1.h"

namespace layeravatar::train {
namespace {

namespace fs = std::filesystem;
using Curve = std::map<std::int64_t, double>;

constexpr std::size_t kPoints = 400, kPreviews = 8;
constexpr int kPreviewWidth = 900;

std::optional<double> number(const std::string& text) {
  char* end = nullptr;
  const double out = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0') return std::nullopt;
  return out;
}

// At most kPoints means of neighbours; numbers that are not finite are left out.
std::vector<std::pair<double, double>> thinned(const Curve& curve) {
  std::vector<std::pair<double, double>> out;
  const std::size_t run = (curve.size() + kPoints - 1) / kPoints;
  double x = 0, y = 0;
  std::size_t count = 0, seen = 0;
  for (const auto& [iteration, value] : curve) {
    ++seen;
    if (std::isfinite(value)) {
      x += static_cast<double>(iteration);
      y += value;
      ++count;
    }
    if (count > 0 && (seen % run == 0 || seen == curve.size())) {
      out.emplace_back(x / static_cast<double>(count), y / static_cast<double>(count));
      x = y = 0;
      count = 0;
    }
  }
  return out;
}

std::string chart(const std::string& name, const Curve& curve) {
  const auto points = thinned(curve);
  if (points.empty()) return "";
  constexpr double kWidth = 360, kHeight = 150;
  double low = points[0].second, high = low;
  for (const auto& p : points) low = std::min(low, p.second), high = std::max(high, p.second);
  const double first = points.front().first, span = std::max(points.back().first - first, 1.0), range = high > low ? high - low : 1;
  std::string line;
  for (const auto& [x, y] : points) line += fmt::format("{:.1f},{:.1f} ", (x - first) / span * kWidth, (high - y) / range * kHeight);
  return fmt::format(
      "<figure><figcaption>{} <b>{:.5g}</b></figcaption><svg viewBox=\"-4 -4 {} {}\" width=\"{}\"><rect width=\"{}\" height=\"{}\"/>"
      "<polyline points=\"{}\"/></svg><div class=\"axis\"><span>{:.4g} .. {:.4g}</span><span>iterations {:.0f} .. {:.0f}</span></div></figure>\n",
      io::html_escaped(name), points.back().second, kWidth + 8, kHeight + 8, kWidth + 8, kWidth, kHeight, line, low, high, first, points.back().first);
}

// Means of whole pixels.
io::Image shrunk(const io::Image& image, int width) {
  const int by = (image.width + width - 1) / width;
  if (by <= 1) return image;
  io::Image out{image.width / by, image.height / by, image.channels, {}};
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x)
      for (int c = 0; c < out.channels; ++c) {
        int sum = 0;
        for (int i = 0; i < by; ++i)
          for (int j = 0; j < by; ++j) sum += image.pixels[static_cast<std::size_t>(((y * by + i) * image.width + x * by + j) * image.channels + c)];
        out.pixels.push_back(static_cast<std::uint8_t>((sum + by * by / 2) / (by * by)));
      }
  return out;
}

// Evenly chosen, the last one among them.
std::string previews(const fs::path& folder) {
  std::vector<fs::path> all;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".png") all.push_back(entry.path());
  std::sort(all.begin(), all.end());
  std::string out;
  const std::size_t shown = std::min(all.size(), kPreviews);
  for (std::size_t k = 0; k < shown; ++k) {
    const fs::path& path = all[shown == 1 ? all.size() - 1 : k * (all.size() - 1) / (shown - 1)];
    out += "<figure><figcaption>" + io::html_escaped(path.stem().string()) + "</figcaption>" + io::html_image(io::format_png(shrunk(io::read_png(path), kPreviewWidth))) + "</figure>\n";
  }
  return out;
}

std::string cpu_name() {
  std::istringstream text(read_file("/proc/cpuinfo"));
  for (std::string line; std::getline(text, line);)
    if (line.starts_with("model name")) return line.substr(std::min(line.size(), line.find(':') + 2));
  return "unknown";
}

nlohmann::json json_of(const fs::path& path) {
  if (!fs::exists(path)) return {};
  auto out = nlohmann::json::parse(read_file(path), nullptr, false);
  if (out.is_discarded()) throw Error(ErrorKind::kInput, path.string() + ": not valid JSON");
  return out;
}

std::string text_of(const nlohmann::json& value) {
  return io::html_escaped(value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

std::string table_of(const nlohmann::json& object) {
  std::string out = "<table>\n";
  for (const auto& [name, value] : object.items())
    if (!value.is_array() || value.empty() || !value[0].is_object()) out += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", io::html_escaped(name), text_of(value));
  out += "</table>\n";
  for (const auto& [name, value] : object.items())
    if (value.is_array())
      for (std::size_t i = 0; i < value.size(); ++i)
        if (value[i].is_object()) out += fmt::format("<h3>{} {}</h3>\n", io::html_escaped(name), i) + table_of(value[i]);
  return out;
}

std::string times(const RunLog& log) {
  double all = 0;
  std::vector<std::pair<std::string, double>> stages;
  for (const auto& [name, curve] : log.curves)
    if (name.starts_with("time/")) {
      double sum = 0;
      for (const auto& point : curve) sum += point.second;
      stages.emplace_back(name.substr(5), sum / static_cast<double>(curve.size()));
      all += stages.back().second;
    }
  std::sort(stages.begin(), stages.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string out = "<table><tr><th>stage</th><th>seconds an iteration</th><th>share</th></tr>\n";
  for (const auto& [name, seconds] : stages)
    out += fmt::format("<tr><td>{}</td><td class=\"n\">{:.3f}</td><td><div class=\"bar\" style=\"width:{:.0f}px\"></div></td></tr>\n", io::html_escaped(name), seconds,
                       all > 0 ? 300 * seconds / all : 0);
  return out + "</table>\n";
}

}  // namespace

RunLog parse_log(std::string_view text) {
  RunLog out;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word, name, value, unit;
    words >> word;
    if (word != "iter") {
      if (!line.empty() && word != "checkpoint") out.events.push_back(line);
      continue;
    }
    // iter 50/20000 0.123 s loss 1.5 ... | load 0.01 ...
    words >> word;
    const std::size_t slash = word.find('/');
    const auto at = number(word.substr(0, slash)), last = number(slash == std::string::npos ? "" : word.substr(slash + 1));
    if (!at || !last) continue;
    out.iteration = static_cast<std::int64_t>(*at);
    out.iterations = static_cast<std::int64_t>(*last);
    if (!(words >> value >> unit)) continue;
    if (const auto seconds = number(value)) out.curves["seconds"][out.iteration] = *seconds;
    std::string prefix;
    while (words >> name) {
      if (name == "|") {
        prefix = "time/";
        continue;
      }
      if (!(words >> value)) break;
      if (const auto x = number(value)) out.curves[prefix + name][out.iteration] = *x;
    }
  }
  return out;
}

std::string html_report(const fs::path& run_folder) {
  const fs::path log_file = run_folder / "log.txt";
  if (!fs::exists(log_file)) throw Error(ErrorKind::kInput, run_folder.string() + ": no log.txt; not the folder of a training run");
  const RunLog log = parse_log(read_file(log_file));
  const std::string title = "training run " + fs::absolute(run_folder).lexically_normal().filename().string();
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>\n"
      "body{{font:14px sans-serif;margin:1.5em;color:#222;max-width:1200px}} .charts{{display:flex;flex-wrap:wrap;gap:14px}} figure{{margin:0}} "
      "svg rect{{fill:#f6f6f6}} polyline{{fill:none;stroke:#1667a8;stroke-width:1.5}} .axis{{display:flex;justify-content:space-between;color:#777;font-size:12px}} "
      "table{{border-collapse:collapse}} td,th{{border-bottom:1px solid #ddd;padding:3px 10px;text-align:left;vertical-align:top}} td.n{{text-align:right}} "
      ".bar{{background:#1667a8;height:12px}} img{{display:block;max-width:100%;margin-bottom:10px}}\n</style></head><body>\n<h1>{0}</h1>\n<p>Iteration {1} of {2}.</p>\n",
      io::html_escaped(title), log.iteration, log.iterations);
  out += "<h2>Curves</h2>\n<div class=\"charts\">\n";
  for (const auto& [name, curve] : log.curves)
    if (!name.starts_with("time/")) out += chart(name, curve);
  out += "</div>\n<h2>Time</h2>\n" + times(log);
  if (const std::string shown = previews(run_folder / "previews"); !shown.empty()) out += "<h2>Previews</h2>\n" + shown;
  if (const nlohmann::json record = json_of(run_folder / "run.json"); record.is_object()) out += "<h2>Machine and data</h2>\n" + table_of(record);
  if (!log.events.empty()) {
    out += "<h2>Events</h2>\n<ul>\n";
    for (const std::string& line : log.events) out += "<li>" + io::html_escaped(line) + "</li>\n";
    out += "</ul>\n";
  }
  if (const nlohmann::json settings = json_of(run_folder / "config.json"); settings.is_object()) out += "<h2>Settings</h2>\n" + table_of(settings);
  return out + "</body></html>\n";
}

void record_start(const fs::path& run_folder, const RunStart& start) {
  const fs::path file = run_folder / "run.json";
  nlohmann::json record = json_of(file);
  if (!record.is_object()) record = nlohmann::json::object();
  record["starts"].push_back({{"date", fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(start.seconds)))},
                              {"iteration", start.iteration},
                              {"processor", cpu_name()},
                              {"threads", start.threads},
                              {"processes", start.processes},
                              {"memory_gib", std::lround(static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 30))},
                              {"dataset", start.dataset},
                              {"scenes", start.scenes},
                              {"data_sha1", start.data_sha1}});
  write_file(file, record.dump(1) + "\n");
}

std::string data_hash(const std::vector<fs::path>& scenes) {
  constexpr std::uintmax_t kSmall = 64 << 10;
  std::string all;
  for (const fs::path& scene : scenes) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(scene))
      if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
      const auto size = fs::file_size(file);
      all += fmt::format("{} {} {}\n", fs::relative(file, scene.parent_path()).string(), size, size < kSmall ? io::sha1_hex(read_file(file)) : "");
    }
  }
  return io::sha1_hex(all);
}

}  // namespace layeravatar::train
