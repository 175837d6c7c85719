#include "layeravatar/train/fit_table.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>

#include "layeravatar/core/error.h"
#include "layeravatar/data/dataset.h"
#include "layeravatar/eval/metrics.h"
#include "layeravatar/train/dataset_source.h"
#include "layeravatar/train/fit_views.h"

namespace layeravatar::train {
namespace {

std::vector<std::int64_t> indices(const data::Scene& scene, const std::vector<std::string>& names) {
  std::vector<std::int64_t> out;
  for (const std::string& name : names) {
    const auto at = std::find_if(scene.views.begin(), scene.views.end(), [&](const data::SceneView& v) { return v.name == name; });
    if (at == scene.views.end()) throw Error(ErrorKind::kConfig, fmt::format("views: scene {} has no view '{}'", scene.name, name));
    out.push_back(at - scene.views.begin());
  }
  return out;
}

torch::Tensor draw(const produce::Studio& studio, const torch::Tensor& planes, const SceneBatch& views, std::size_t at) {
  return produce::render_view(produce::pose(studio, produce::decode(studio, planes), views.params.betas, views.params), views.cameras[at], false).full.clamp(0, 1);
}

double mean_psnr(const produce::Studio& studio, const torch::Tensor& planes, const SceneBatch& views) {
  const torch::NoGradGuard no_grad;
  double sum = 0;
  for (std::size_t v = 0; v < views.cameras.size(); ++v) {
    const auto at = static_cast<std::int64_t>(v);
    sum += eval::psnr(draw(studio, planes, views, v), views.images[at], eval::box_of(views.labels[at], 4));
  }
  return sum / static_cast<double>(views.cameras.size());
}

}  // namespace

std::vector<FitRow> fit_table(const FitTableOptions& options, const std::function<void(const std::string&)>& say) {
  const produce::Studio studio = produce::open_studio(options.model);
  produce::set_precision(studio, "auto");
  const Scaffold scaffold = make_scaffold(studio.deformer);
  data::DatasetOptions opened;
  opened.image_size = studio.config.image_size;
  const data::Dataset dataset = data::Dataset::open(options.dataset, opened);
  std::vector<FitRow> out;
  std::vector<io::Image> cells;
  for (std::size_t s = static_cast<std::size_t>(options.first); s < dataset.scenes().size(); s += static_cast<std::size_t>(options.stride)) {
    const data::Scene& scene = dataset.scenes()[s];
    const SceneBatch unseen = load_views(scene, indices(scene, options.unseen), 0);
    for (const int count : options.counts) {
      if (count < 1 || count > static_cast<int>(options.views.size())) throw Error(ErrorKind::kConfig, fmt::format("counts = {}, must be in 1..{}", count, options.views.size()));
      SceneBatch seen = load_views(scene, indices(scene, {options.views.begin(), options.views.begin() + count}), 0);
      if (!options.labelled) seen.labels.clamp_max_(1);
      FitRow row{.scene = scene.name, .views = count};
      FitViewsOptions o;
      o.labelled = options.labelled;
      o.guided_steps = options.guided_steps;
      o.steps = options.steps;
      o.guidance = options.guidance;
      o.prior_weight = options.prior_weight;
      o.denoiser_weight = options.denoiser_weight;
      o.seed = options.seed;
      o.observe = [&](bool guided, int step, const torch::Tensor& planes) {
        if (!guided && step == 0) row.start = mean_psnr(studio, planes, unseen);
      };
      const torch::Tensor planes = fit_views(studio, scaffold, seen, o);
      row.fit = mean_psnr(studio, planes, unseen);
      row.input = mean_psnr(studio, planes, seen);
      const torch::Tensor mean = mean_planes(studio);
      row.mean_avatar = mean_psnr(studio, mean, unseen);
      torch::Tensor bare;
      if (options.baseline) {
        o.prior = false;
        o.observe = nullptr;
        bare = fit_views(studio, scaffold, seen, o);
        row.without_prior = mean_psnr(studio, bare, unseen);
      }
      if (!options.sheet.empty()) {
        cells.push_back(produce::picture(seen.images[0]));
        for (std::int64_t v = 0; v < 2; ++v) {
          const auto at = static_cast<std::size_t>(v);
          cells.push_back(produce::picture(unseen.images[v]));
          cells.push_back(produce::picture(draw(studio, planes, unseen, at)));
          if (bare.defined()) cells.push_back(produce::picture(draw(studio, bare, unseen, at)));
        }
      }
      say(fmt::format("{} from {} views: {:.2f} dB unseen ({:.2f} at the start, {:.2f} seen), {:.2f} without prior, {:.2f} mean avatar", row.scene, count, row.fit, row.start,
                      row.input, row.without_prior, row.mean_avatar));
      out.push_back(row);
    }
  }
  if (!cells.empty()) io::write_png(options.sheet, produce::tile(cells, options.baseline ? 7 : 5));
  return out;
}

}  // namespace layeravatar::train
