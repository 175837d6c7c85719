#include "layeravatar/prepare/check_dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/body/smplx_format.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/data/scene_files.h"
#include "layeravatar/geometry/camera.h"
#include "layeravatar/io/label_colours.h"
#include "layeravatar/io/html.h"
#include "layeravatar/io/png.h"

namespace layeravatar::prepare {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 6> kParts = {"none", "body", "top", "hair", "shoes", "bottom"};

std::vector<std::string> stems(const fs::path& folder, const std::string& ending) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(ending)) out.push_back(name.substr(0, name.size() - ending.size()));
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Picture beside label colours, the columns of the person with a small margin, box-filtered down by a whole divisor.
std::string thumbnail(const io::Image& rgb, const std::vector<std::uint8_t>& labels, int wanted) {
  const int step = std::max(1, (rgb.height + wanted - 1) / wanted), height = rgb.height / step;
  int left = rgb.width, right = 0;
  for (std::size_t p = 0; p < labels.size(); ++p)
    if (labels[p] > 0 || (rgb.channels == 4 && rgb.pixels[4 * p + 3] > 0)) {
      const int x = static_cast<int>(p) % rgb.width;
      left = std::min(left, x), right = std::max(right, x + 1);
    }
  if (left >= right) left = 0, right = rgb.width;
  left = std::max(left - 4 * step, 0), right = std::min(right + 4 * step, rgb.width);
  const int width = std::max(1, (right - left) / step);
  io::Image out{2 * width, height, 3, std::vector<std::uint8_t>(6 * static_cast<std::size_t>(width) * static_cast<std::size_t>(height))};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      std::array<int, 6> sums{};
      for (int j = 0; j < step; ++j)
        for (int i = 0; i < step; ++i) {
          const auto at = static_cast<std::size_t>((y * step + j) * rgb.width + std::min(left + x * step + i, rgb.width - 1));
          for (std::size_t c = 0; c < 3; ++c) {
            sums[c] += rgb.pixels[at * static_cast<std::size_t>(rgb.channels) + c];
            sums[3 + c] += io::kLabelColours[labels[at]][c];
          }
        }
      const auto row = static_cast<std::size_t>(y) * static_cast<std::size_t>(2 * width);
      for (std::size_t c = 0; c < 6; ++c)
        out.pixels[3 * (row + static_cast<std::size_t>(x + (c < 3 ? 0 : width))) + c % 3] = static_cast<std::uint8_t>(sums[c] / (step * step));
    }
  return io::format_png(out, 6);
}

body::PoseParams params_of(const fs::path& scene) {
  const fs::path npy = scene / "smplx/smplx_param.npy", pkl = scene / "smplx/smplx_param.pkl";
  if (!fs::exists(npy) && !fs::exists(pkl)) throw Error(ErrorKind::kInput, pkl.string() + ": no such file");
  return body::read_unified_params(fs::exists(npy) ? npy : pkl);
}

void check_view(const fs::path& scene, const std::string& name, const CheckOptions& options, bool shown, SceneRow& row,
                std::array<std::int64_t, 6>& counts) {
  const fs::path file = scene / "rgb" / (name + ".png"), pose = scene / "pose" / (name + ".json");
  const io::Image rgb = io::read_png(file);
  if (row.size == 0) row.size = rgb.width;
  const int size = options.size > 0 ? options.size : row.size;
  if (rgb.width != size || rgb.height != size)
    throw Error(ErrorKind::kInput, fmt::format("{}: expected {}x{}, found {}x{}", file.string(), size, size, rgb.width, rgb.height));
  if (rgb.channels < 3) throw Error(ErrorKind::kInput, fmt::format("{}: expected 3 or 4 channels, found {}", file.string(), rgb.channels));
  if (fs::exists(pose)) (void)geometry::parse_cam_param(read_file(pose), pose.string(), 1);
  const fs::path first = scene / "seg" / (name + "_0.png"), second = scene / "seg" / (name + "_1.png");
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(size) * static_cast<std::size_t>(size));
  if (fs::exists(first) && fs::exists(second)) labels = data::read_masks(first, second, size);
  const auto channels = static_cast<std::size_t>(rgb.channels);
  for (std::size_t p = 0; p < labels.size(); ++p)
    if (labels[p] > 0 || (channels == 4 && rgb.pixels[4 * p + 3] >= 128)) ++counts[labels[p]];
  if (shown) row.thumbnails.push_back(thumbnail(rgb, labels, options.thumbnail_size));
}

SceneRow check_scene(const fs::path& scene, const CheckOptions& options) {
  SceneRow row;
  row.id = scene.filename().string();
  const auto attempt = [&](auto&& part) {
    try {
      part();
    } catch (const Error& e) {
      row.problems.emplace_back(e.what());
    } catch (const std::bad_alloc&) {
      throw;
    }
  };
  const auto names = stems(scene / "rgb", ".png");
  row.views = static_cast<int>(names.size());
  if (options.views > 0 && row.views != options.views) row.problems.push_back(fmt::format("expected {} views, found {}", options.views, row.views));
  if (names.empty()) row.problems.emplace_back("expected views in rgb/, found 0");
  for (const auto& [folder, ending, what] :
       {std::tuple("pose", ".json", "pose"), std::tuple("seg", "_0.png", "mask"), std::tuple("seg", "_1.png", "mask")}) {
    const auto others = stems(scene / folder, ending);
    for (const std::string& name : names)
      if (!std::binary_search(others.begin(), others.end(), name)) row.problems.push_back(fmt::format("view '{}' has no {} file ({}{})", name, what, name, ending));
    for (const std::string& name : others)
      if (!std::binary_search(names.begin(), names.end(), name)) row.problems.push_back(fmt::format("{}/{}{} belongs to no view", folder, name, ending));
  }
  const auto shown = static_cast<std::size_t>(std::min<std::int64_t>(options.thumbnails, row.views));
  std::array<std::int64_t, 6> counts{};
  for (std::size_t v = 0, next = 0; v < names.size(); ++v) {
    const bool show = next < shown && v == next * names.size() / shown;
    next += show ? 1 : 0;
    attempt([&] { check_view(scene, names[v], options, show, row, counts); });
  }
  std::int64_t all = 0;
  for (const auto count : counts) all += count;
  for (std::size_t l = 0; l < 6; ++l) row.shares[l] = all > 0 ? static_cast<double>(counts[l]) / static_cast<double>(all) : 0;
  if (!names.empty() && all - counts[0] == 0 && row.problems.empty()) row.problems.emplace_back("no pixel has a label");
  attempt([&] {
    const auto vector = body::pose_to_vector(params_of(scene), body::PoseLayout::k189);
    if (!std::all_of(vector.begin(), vector.end(), [](float x) { return std::isfinite(x); }))
      row.problems.emplace_back("smplx_param contains non-finite numbers");
  });
  return row;
}

}  // namespace

std::vector<SceneRow> check_dataset(const fs::path& folder, const CheckOptions& options, const std::function<void(std::size_t, std::size_t)>& progress) {
  std::vector<fs::path> scenes;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() != ".partial" && fs::is_directory(entry.path() / "rgb")) scenes.push_back(entry.path());
  if (error) throw Error(ErrorKind::kInput, folder.string() + ": cannot open: " + error.message());
  if (scenes.empty()) throw Error(ErrorKind::kInput, folder.string() + ": no scenes (folders with rgb/)");
  std::sort(scenes.begin(), scenes.end());
  std::vector<SceneRow> out;
  CheckOptions expected = options;
  for (const fs::path& scene : scenes) {
    out.push_back(check_scene(scene, expected));
    if (expected.views == 0) expected.views = out.back().views;
    if (expected.size == 0) expected.size = out.back().size;
    if (progress) progress(out.size(), scenes.size());
  }
  return out;
}

std::string html_sheet(const std::string& title, const std::vector<SceneRow>& rows) {
  const auto bad = std::count_if(rows.begin(), rows.end(), [](const SceneRow& row) { return !row.problems.empty(); });
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>\n"
      "body{{font:14px sans-serif;margin:1.5em;color:#222}} table{{border-collapse:collapse}} td,th{{border-bottom:1px solid #ddd;padding:4px 10px;"
      "text-align:left;vertical-align:top}} tr.bad{{background:#fdecea}} td.n{{text-align:right;white-space:nowrap}} img{{display:block}} .views{{display:flex;flex-wrap:wrap;gap:6px}}"
      " .key span{{display:inline-block;padding:2px 8px;margin-right:6px}} .problem{{color:#a00}}\n</style></head><body>\n<h1>{0}</h1>\n<p>{1} scenes, {2} with problems.</p>\n<p class=\"key\">",
      io::html_escaped(title), rows.size(), bad);
  for (std::size_t l = 1; l < 6; ++l) {
    const auto& c = io::kLabelColours[l];
    out += fmt::format("<span style=\"background:rgb({},{},{})\">{}</span>", c[0], c[1], c[2], kParts[l]);
  }
  out += "</p>\n<table><tr><th>scene</th><th>views</th><th>size</th>";
  for (const char* part : kParts) out += fmt::format("<th>{}</th>", part);
  out += "<th>pictures and labels</th></tr>\n";
  for (const SceneRow& row : rows) {
    out += fmt::format("<tr{}><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>", row.problems.empty() ? "" : " class=\"bad\"", io::html_escaped(row.id), row.views, row.size);
    for (const double share : row.shares) out += fmt::format("<td class=\"n\">{:.1f} %</td>", 100 * share);
    out += "<td>";
    for (const std::string& problem : row.problems) out += "<div class=\"problem\">" + io::html_escaped(problem) + "</div>";
    out += "<div class=\"views\">";
    for (const std::string& png : row.thumbnails) out += io::html_image(png);
    out += "</div></td></tr>\n";
  }
  return out + "</table></body></html>\n";
}

std::string text_table(const std::vector<SceneRow>& rows) {
  std::size_t width = 5;
  for (const SceneRow& row : rows) width = std::max(width, row.id.size());
  std::string out = fmt::format("{:{}} {:>5} {:>5}", "scene", width, "views", "size");
  for (const char* part : kParts) out += fmt::format(" {:>7}", part);
  out += "  state\n";
  for (const SceneRow& row : rows) {
    out += fmt::format("{:{}} {:>5} {:>5}", row.id, width, row.views, row.size);
    for (const double share : row.shares) out += fmt::format(" {:>6.1f}%", 100 * share);
    out += row.problems.empty() ? "  ok\n" : fmt::format("  {} problem{}: {}\n", row.problems.size(), row.problems.size() == 1 ? "" : "s", row.problems[0]);
  }
  return out;
}

}  // namespace layeravatar::prepare
