#include "layeravatar/eval/reconstruction.h"

#include <torch/torch.h>

#include <algorithm>
#include <iterator>

#include "layeravatar/core/error.h"

namespace layeravatar::eval {
namespace {

struct Target {
  torch::Tensor image, labels;
};

Target target_of(const data::SceneView& view) {
  const std::int64_t size = view.camera.width;
  Target out{torch::empty({3, size, size}), torch::empty({size, size}, torch::kUInt8)};
  data::expand_view(view, static_cast<int>(size), out.image.data_ptr<float>(), out.labels.data_ptr<std::uint8_t>());
  return out;
}

// Pixels of the mask above the neck joint.
Box head_box(const produce::Studio& studio, const body::PoseParams& params, const geometry::Camera& camera, const torch::Tensor& labels) {
  const body::PosedBody posed = body::pose(studio.deformer->body(), params);
  constexpr std::size_t kNeck = 12;
  const auto neck = geometry::project(camera, {posed.joints[3 * kNeck], posed.joints[3 * kNeck + 1], posed.joints[3 * kNeck + 2]});
  const auto row = std::clamp<std::int64_t>(static_cast<std::int64_t>(neck.y), 0, labels.size(0));
  const auto column = static_cast<std::int64_t>(neck.x), reach = static_cast<std::int64_t>(0.18 * camera.focal / neck.depth);
  torch::Tensor mask = (labels != 0).to(torch::kUInt8);
  mask.slice(0, row, mask.size(0)).zero_();
  mask.slice(1, 0, std::clamp<std::int64_t>(column - reach, 0, mask.size(1))).zero_();
  mask.slice(1, std::clamp<std::int64_t>(column + reach, 0, mask.size(1)), mask.size(1)).zero_();
  return box_of(mask, 4);
}

splat::RenderOutputs draw(const produce::Studio& studio, const torch::Tensor& planes, const body::PoseParams& params, const geometry::Camera& camera) {
  return produce::render_view(produce::pose(studio, produce::decode(studio, planes), params.betas, params), camera, true);
}

}  // namespace

Reconstruction evaluate_reconstruction(const produce::Studio& studio, const data::Dataset& dataset, const std::vector<torch::Tensor>& planes,
                                       const std::vector<std::int64_t>& views, int stride) {
  LAV_CHECK(planes.size() == dataset.scenes().size() && !planes.empty() && stride > 0, "one plane per scene");
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> known;
  std::copy_if(planes.begin(), planes.end(), std::back_inserter(known), [](const torch::Tensor& p) { return p.defined(); });
  LAV_CHECK(!known.empty(), "no planes");
  const torch::Tensor mean = torch::stack(known).mean(0);
  const auto mean_attributes = produce::decode(studio, mean);
  Reconstruction out;
  int heads = 0;
  for (std::size_t s = 0; s < planes.size(); s += static_cast<std::size_t>(stride)) {
    if (!planes[s].defined()) continue;
    const data::Scene& scene = dataset.scenes()[s];
    const auto own = produce::pose(studio, produce::decode(studio, planes[s]), scene.params.betas, scene.params);
    const auto average = produce::pose(studio, mean_attributes, scene.params.betas, scene.params);
    for (const std::int64_t v : views) {
      const data::SceneView& view = scene.views.at(static_cast<std::size_t>(v));
      const Target target = target_of(view);
      const Box box = box_of(target.labels, 4);
      if (box.empty()) continue;
      const auto drawn = produce::render_view(own, view.camera, true);
      const torch::Tensor image = drawn.full.clamp(0, 1);
      out.psnr += psnr(image, target.image, box);
      out.ssim += ssim(image, target.image, box);
      out.mean_avatar_psnr += psnr(produce::render_view(average, view.camera, false).full.clamp(0, 1), target.image, box);
      out.parts.add(produce::label_map(drawn), target.labels);
      if (const Box head = head_box(studio, scene.params, view.camera, target.labels); !head.empty()) {
        out.head_psnr += psnr(image, target.image, head);
        ++heads;
      }
      ++out.pictures;
    }
  }
  LAV_CHECK(out.pictures > 0, "no picture to compare");
  out.psnr /= out.pictures;
  out.ssim /= out.pictures;
  out.mean_avatar_psnr /= out.pictures;
  out.head_psnr /= std::max(heads, 1);
  return out;
}

io::Image reconstruction_sheet(const produce::Studio& studio, const data::Dataset& dataset, const std::vector<torch::Tensor>& planes,
                               std::int64_t view, int scenes) {
  std::vector<io::Image> rows;
  for (std::size_t s = 0; s < planes.size() && static_cast<int>(rows.size()) < scenes; ++s) {
    if (!planes[s].defined()) continue;
    const data::Scene& scene = dataset.scenes()[s];
    const data::SceneView& one = scene.views.at(static_cast<std::size_t>(view));
    const auto drawn = draw(studio, planes[s], scene.params, one.camera);
    const io::Image target = produce::picture(target_of(one).image), strip = produce::panels(drawn);
    io::Image row{target.width + strip.width, target.height, 3, {}};
    for (int y = 0; y < target.height; ++y) {
      const auto line = [&](const io::Image& i) { return i.pixels.begin() + static_cast<long>(3) * y * i.width; };
      row.pixels.insert(row.pixels.end(), line(target), line(target) + 3L * target.width);
      row.pixels.insert(row.pixels.end(), line(strip), line(strip) + 3L * strip.width);
    }
    rows.push_back(std::move(row));
  }
  return produce::tile(rows, 1);
}

}  // namespace layeravatar::eval
