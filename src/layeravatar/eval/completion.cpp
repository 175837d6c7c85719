#include "layeravatar/eval/completion.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <vector>

#include "layeravatar/eval/metrics.h"
#include "layeravatar/produce/sampling.h"

namespace layeravatar::eval {
namespace {

constexpr std::array<std::size_t, 4> kViews = {0, 9, 18, 27};  // of 36

// Full picture, the component alone and where it shows, in each view.
struct Drawn {
  std::vector<torch::Tensor> full, alone, alpha, shows;
};

Drawn draw(const produce::Studio& studio, const avatar::Avatar& one, int component) {
  const splat::Gaussians posed = produce::pose(studio, produce::decode(studio, one.planes), one.betas, body::default_viewing_pose());
  const auto cameras = geometry::turntable_cameras(studio.config.image_size);
  Drawn out;
  for (const std::size_t v : kViews) {
    const splat::RenderOutputs o = produce::render_view(posed, cameras[v], true);
    out.full.push_back(o.full.clamp(0, 1));
    out.alone.push_back(o.components[component].clamp(0, 1));
    out.alpha.push_back(o.component_alphas[component]);
    out.shows.push_back(o.component_weights[component] > 0.1);
  }
  return out;
}

}  // namespace

Completion measure_completion(const CompletionOptions& options, const std::function<void(const std::string&)>& say) {
  const produce::Studio studio = produce::open_studio(options.model);
  produce::set_precision(studio, "auto");
  const torch::NoGradGuard no_grad;
  const int component = produce::component_named(options.component, "component");
  const avatar::Avatar kept = produce::sample_avatars(studio, {options.seed}, {})[0];
  produce::SamplingOptions sampling;
  sampling.held = produce::hold(studio, {{&kept, component}});
  const Drawn before = draw(studio, kept, component);
  Completion out;
  out.least_kept = 1e9;
  std::vector<io::Image> cells;
  const auto show = [&](const Drawn& d) {
    for (const std::size_t v : {0U, 2U}) cells.push_back(produce::picture(torch::avg_pool2d(d.full[v].unsqueeze(0), 2)[0]));
  };
  show(before);
  Drawn last;
  int pairs = 0;
  for (int i = 0; i < options.count; ++i) {
    avatar::Avatar one = produce::sample_avatars(studio, {options.seed + 1 + static_cast<std::uint64_t>(i)}, sampling)[0];
    one.betas = kept.betas;
    Drawn now = draw(studio, one, component);
    for (std::size_t v = 0; v < kViews.size(); ++v) {
      const Box own = box_of((before.alpha[v] > 0.05).to(torch::kUInt8), 4);
      if (own.empty()) continue;
      const double same = psnr(now.alone[v], before.alone[v], own);
      out.least_kept = std::min(out.least_kept, same);
      out.mean_kept += same;
      ++out.pictures;
      if (i == 0) continue;
      const Box person = box_of((std::get<0>(now.full[v].min(0)) < 0.98).to(torch::kUInt8), 4);
      torch::Tensor elsewhere = torch::zeros(now.shows[v].sizes(), torch::kBool);
      elsewhere.slice(0, person.y0, person.y1).slice(1, person.x0, person.x1).fill_(true);
      elsewhere = elsewhere.logical_and(now.shows[v].logical_or(last.shows[v]).logical_not());
      const double alike = masked_psnr(now.full[v], last.full[v], elsewhere);
      out.mean_other += alike;
      out.most_alike = std::max(out.most_alike, alike);
      ++pairs;
    }
    if (i < 8) show(now);
    last = std::move(now);
    say(fmt::format("sample {} of {}", i + 1, options.count));
  }
  out.mean_kept /= std::max(1, out.pictures);
  out.mean_other /= std::max(1, pairs);
  if (!options.sheet.empty()) io::write_png(options.sheet, produce::tile(cells, 6), 9);
  return out;
}

}  // namespace layeravatar::eval
