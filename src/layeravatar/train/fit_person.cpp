#include "layeravatar/train/fit_person.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "layeravatar/avatar/avatar_file.h"
#include "layeravatar/body/smplx_format.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/eval/metrics.h"
#include "layeravatar/train/dataset_source.h"
#include "layeravatar/train/fit_views.h"

namespace layeravatar::train {
namespace {

namespace fs = std::filesystem;

struct Point {
  bool guided;
  int step;
  double seen, unseen;  // dB
};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '<' ? "&lt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  return out;
}

// Both curves over the steps of the two parts, one after the other, as SVG.
std::string curve(const std::vector<Point>& points, int guided_steps, int steps) {
  constexpr int kWidth = 760, kHeight = 300, kLeft = 50, kBottom = 30;
  double low = 1e9, high = -1e9;
  for (const Point& p : points)
    for (const double y : {p.seen, p.unseen})
      if (std::isfinite(y)) low = std::min(low, y), high = std::max(high, y);
  low = std::floor(low) - 1, high = std::ceil(high) + 1;
  const auto x_of = [&](double step) { return kLeft + step / std::max(1, guided_steps + steps) * (kWidth - kLeft - 10); };
  const auto y_of = [&](double y) { return 10 + (high - y) / (high - low) * (kHeight - kBottom - 10); };
  std::string out = fmt::format("<svg width=\"{}\" height=\"{}\" font-size=\"12\">\n", kWidth, kHeight);
  for (double y = low; y <= high; y += std::max(1.0, std::round((high - low) / 8)))
    out += fmt::format("<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/><text x=\"8\" y=\"{3:.1f}\">{4:.0f} dB</text>\n", kLeft, kWidth - 10, y_of(y), y_of(y) + 4, y);
  if (guided_steps > 0)
    out += fmt::format("<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"10\" y2=\"{1}\" stroke=\"#999\" stroke-dasharray=\"4\"/>\n", x_of(guided_steps), kHeight - kBottom);
  const auto line = [&](const char* colour, double Point::*value) {
    std::string path;
    for (const Point& p : points)
      if (std::isfinite(p.*value)) path += fmt::format("{}{:.1f} {:.1f} ", path.empty() ? "M" : "L", x_of(p.step + (p.guided ? 0 : guided_steps)), y_of(p.*value));
    if (!path.empty()) out += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", path, colour);
  };
  line("#1f77b4", &Point::seen);
  line("#d62728", &Point::unseen);
  return out + fmt::format("<text x=\"{}\" y=\"{}\">steps of guided sampling, then of optimisation</text></svg>\n", kLeft, kHeight - 8);
}

SceneBatch part_of(const SceneBatch& all, const std::vector<std::int64_t>& views) {
  SceneBatch out;
  out.params = all.params;
  const torch::Tensor at = torch::tensor(views, torch::kInt64);
  out.images = all.images.index_select(0, at);
  out.labels = all.labels.index_select(0, at);
  for (const std::int64_t v : views) out.cameras.push_back(all.cameras[static_cast<std::size_t>(v)]);
  return out;
}

std::vector<torch::Tensor> draw_all(const produce::Studio& studio, const torch::Tensor& planes, const SceneBatch& views) {
  const torch::NoGradGuard no_grad;
  const auto posed = produce::pose(studio, produce::decode(studio, planes), views.params.betas, views.params);
  std::vector<torch::Tensor> out;
  for (const auto& camera : views.cameras) out.push_back(produce::render_view(posed, camera, false).full.clamp(0, 1));
  return out;
}

// Of each view, in the person's box.
std::vector<double> psnr_of(const produce::Studio& studio, const torch::Tensor& planes, const SceneBatch& views) {
  std::vector<double> out;
  const auto drawn = draw_all(studio, planes, views);
  for (std::size_t v = 0; v < drawn.size(); ++v) {
    const auto at = static_cast<std::int64_t>(v);
    out.push_back(eval::psnr(drawn[v], views.images[at], eval::box_of(views.labels[at], 4)));
  }
  return out;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return values.empty() ? std::nan("") : sum / static_cast<double>(values.size());
}

}  // namespace

std::vector<fs::path> fit_person(const FitPersonOptions& options, const std::function<void(const std::string&)>& say, const std::atomic<bool>* stop) {
  if (options.steps < 0 || options.steps > 100000) throw Error(ErrorKind::kConfig, fmt::format("steps = {}, must be in 0..100000", options.steps));
  if (options.guided_steps < 0 || options.guided_steps > 1000) throw Error(ErrorKind::kConfig, fmt::format("guided-steps = {}, must be in 0..1000", options.guided_steps));
  data::Scene scene = data::read_pictures(options.pictures);
  scene.params = body::read_unified_params(options.params);
  std::vector<std::int64_t> used, held_out;
  for (const std::string& name : options.use)
    if (std::none_of(scene.views.begin(), scene.views.end(), [&](const auto& v) { return v.name == name; }))
      throw Error(ErrorKind::kConfig, fmt::format("use: no picture is called '{}'", name));
  for (std::size_t v = 0; v < scene.views.size(); ++v) {
    const bool chosen = options.use.empty() || std::find(options.use.begin(), options.use.end(), scene.views[v].name) != options.use.end();
    (chosen ? used : held_out).push_back(static_cast<std::int64_t>(v));
  }
  const produce::Studio studio = produce::open_studio(options.model);
  produce::set_precision(studio, "auto");
  const int own = scene.views[0].camera.width, wanted = options.size != 0 ? options.size : own % studio.config.image_size == 0 ? studio.config.image_size : own;
  if (wanted < 1 || own % wanted != 0) throw Error(ErrorKind::kConfig, fmt::format("size = {}, must be a whole part of the pictures' {}", wanted, own));
  std::vector<std::int64_t> every(scene.views.size());
  for (std::size_t v = 0; v < every.size(); ++v) every[v] = static_cast<std::int64_t>(v);
  const SceneBatch all = load_views(scene, every, wanted);
  const SceneBatch seen = part_of(all, used), unseen = part_of(all, held_out);
  const Scaffold scaffold = make_scaffold(studio.deformer);
  make_folder(options.output);

  FitViewsOptions fit;
  fit.labelled = !options.pictures.masks.empty();
  fit.guided_steps = options.guided_steps;
  fit.steps = options.steps;
  fit.seed = options.seed;
  fit.stop = stop;
  const int guided_steps = studio.unet ? fit.guided_steps : 0;
  std::vector<Point> points;
  fit.observe = [&](bool guided, int step, const torch::Tensor& planes) {
    const int every_n = guided ? 5 : std::max(1, options.steps / 20);
    if (step % every_n != 0 && (guided || step != options.steps)) return;
    points.push_back({guided, step, mean_of(psnr_of(studio, planes, seen)), mean_of(psnr_of(studio, planes, unseen))});
    say(fmt::format("{} step {} of {}: {:.2f} dB{}", guided ? "guided" : "fit", step, guided ? guided_steps : options.steps, points.back().seen,
                    held_out.empty() ? "" : fmt::format(", held out {:.2f} dB", points.back().unseen)));
  };
  const torch::Tensor planes = fit_views(studio, scaffold, seen, fit);
  if (!planes.defined()) return {};

  std::vector<fs::path> written = {options.output / "avatar.safetensors", options.output / "sheet.png", options.output / "report.html", options.output / "report.json"};
  avatar::write_avatar(written[0], {planes.contiguous(), scene.params.betas,
                                    {{"pack", studio.pack_hash.get()}, {"source", fmt::format("fit to {} pictures", used.size())}, {"seed", std::to_string(options.seed)},
                                     {"guided-steps", std::to_string(guided_steps)}, {"steps", std::to_string(options.steps)}}});
  const auto drawn = draw_all(studio, planes, all);
  const std::vector<double> psnr = psnr_of(studio, planes, all), mean = psnr_of(studio, mean_planes(studio), all);
  std::vector<io::Image> cells;
  nlohmann::ordered_json json = {{"pack", studio.pack_hash.get()}, {"seed", options.seed}, {"guided_steps", guided_steps}, {"steps", options.steps}, {"labels", fit.labelled}};
  std::string rows;
  for (const bool fitted : {true, false})
    for (const std::int64_t v : fitted ? used : held_out) {
      const auto at = static_cast<std::size_t>(v);
      const std::string& name = scene.views[at].name;
      constexpr std::size_t kMostCells = 48;
      if (cells.size() < kMostCells) {
        cells.push_back(produce::picture(all.images[v]));
        cells.push_back(produce::picture(drawn[at]));
      }
      json["views"].push_back({{"name", name}, {"fitted", fitted}, {"psnr_box", psnr[at]}, {"psnr_box_of_mean_avatar", mean[at]}});
      rows += fmt::format("<tr><td>{}</td><td>{}</td><td>{:.2f}</td><td>{:.2f}</td></tr>\n", escaped(name), fitted ? "fitted" : "held out", psnr[at], mean[at]);
    }
  for (const Point& p : points) {
    json["course"].push_back({{"part", p.guided ? "guided" : "fit"}, {"step", p.step}, {"fitted", p.seen}});
    if (std::isfinite(p.unseen)) json["course"].back()["held_out"] = p.unseen;
  }
  io::write_png(written[1], produce::tile(cells, std::min<int>(8, static_cast<int>(cells.size()))), 6);
  write_file(written[2], fmt::format("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>fit</title><style>\n"
                                     "body{{font:14px sans-serif;margin:1.5em;color:#222}} table{{border-collapse:collapse}} td,th{{border-bottom:1px solid #ddd;padding:4px 10px;text-align:left}} "
                                     "img{{max-width:100%}}\n</style></head><body>\n<h1>Fit to {} pictures</h1>\n<p>PSNR in the person's box over the steps: "
                                     "<span style=\"color:#1f77b4\">fitted pictures</span>, <span style=\"color:#d62728\">held-out ones</span>.</p>\n{}"
                                     "<p>Each picture beside the fit, fitted ones first:</p>\n<img src=\"sheet.png\" alt=\"pictures and fit\">\n"
                                     "<table><tr><th>picture</th><th></th><th>fit, dB</th><th>mean avatar, dB</th></tr>\n{}</table></body></html>\n",
                                     used.size(), curve(points, guided_steps, options.steps), rows));
  write_file(written[3], json.dump(1) + "\n");
  return written;
}

}  // namespace layeravatar::train
