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

// Calls `look` for each view in which there is a person; `components` are drawn where asked for.
template <class Look>
void each_view(const produce::Studio& studio, const data::Scene& scene, const torch::Tensor& planes, const std::vector<std::int64_t>& views, bool components, Look&& look) {
  const torch::NoGradGuard no_grad;
  const auto posed = produce::pose(studio, produce::decode(studio, planes), scene.params.betas, scene.params);
  for (const std::int64_t v : views) {
    const data::SceneView& view = scene.views.at(static_cast<std::size_t>(v));
    const Target target = target_of(view);
    if (const Box box = box_of(target.labels, 4); !box.empty()) look(view.camera, target, box, produce::render_view(posed, view.camera, components));
  }
}

template <class Self, class Visitor>
void visit(Self& r, Visitor&& field) {
  for (auto* number : {&r.pictures, &r.heads, &r.psnr, &r.ssim, &r.ssim_uniform, &r.psnr_box, &r.ssim_box, &r.ssim_uniform_box, &r.psnr_head, &r.psnr_mean_avatar,
                       &r.silhouette_both, &r.silhouette_any})
    field(*number);
  for (auto& number : r.parts.both) field(number);
  for (auto& number : r.parts.any) field(number);
}

}  // namespace

std::vector<double> Reconstruction::numbers() const {
  std::vector<double> out;
  visit(*this, [&](double number) { out.push_back(number); });
  return out;
}

Reconstruction Reconstruction::of_numbers(const std::vector<double>& numbers) {
  Reconstruction out;
  std::size_t at = 0;
  visit(out, [&](double& number) { number = numbers.at(at++); });
  return out;
}

void Reconstruction::add(const Reconstruction& other) {
  const std::vector<double> more = other.numbers();
  std::size_t at = 0;
  visit(*this, [&](double& number) { number += more[at++]; });
}

torch::Tensor image_of(const data::SceneView& view) { return target_of(view).image; }

Reconstruction compare_scene(const produce::Studio& studio, const data::Scene& scene, const torch::Tensor& planes, const torch::Tensor& mean,
                             const std::vector<std::int64_t>& views) {
  const auto average = produce::pose(studio, produce::decode(studio, mean), scene.params.betas, scene.params);
  Reconstruction out;
  each_view(studio, scene, planes, views, true, [&](const geometry::Camera& camera, const Target& target, const Box& box, const splat::RenderOutputs& drawn) {
    const torch::Tensor image = drawn.full.clamp(0, 1);
    const Box whole{0, image.size(1), 0, image.size(2)};
    out.pictures += 1;
    out.psnr += psnr(image, target.image, whole);
    out.ssim += ssim(image, target.image, whole);
    out.ssim_uniform += ssim_uniform(image, target.image, whole);
    out.psnr_box += psnr(image, target.image, box);
    out.ssim_box += ssim(image, target.image, box);
    out.ssim_uniform_box += ssim_uniform(image, target.image, box);
    out.psnr_mean_avatar += psnr(produce::render_view(average, camera, false).full.clamp(0, 1), target.image, box);
    out.parts.add(produce::label_map(drawn), target.labels);
    const torch::Tensor covered = drawn.alpha >= 0.5, person = target.labels != 0;
    out.silhouette_both += covered.logical_and(person).sum().item<double>();
    out.silhouette_any += covered.logical_or(person).sum().item<double>();
    if (const Box head = head_box(studio, scene.params, camera, target.labels); !head.empty()) {
      out.psnr_head += psnr(image, target.image, head);
      out.heads += 1;
    }
  });
  return out;
}

std::array<double, 2> distance_of_scene(const produce::Studio& studio, const data::Scene& scene, const torch::Tensor& planes, const std::vector<std::int64_t>& views,
                                        const ImageDistance& distance) {
  std::array<double, 2> out{};
  each_view(studio, scene, planes, views, false, [&](const geometry::Camera&, const Target& target, const Box&, const splat::RenderOutputs& drawn) {
    out[0] += distance(drawn.full.clamp(0, 1), target.image);
    out[1] += 1;
  });
  return out;
}

io::Image reconstruction_row(const produce::Studio& studio, const data::Scene& scene, const torch::Tensor& planes, std::int64_t view) {
  const data::SceneView& one = scene.views.at(static_cast<std::size_t>(view));
  const auto posed = produce::pose(studio, produce::decode(studio, planes), scene.params.betas, scene.params);
  const io::Image target = produce::picture(target_of(one).image), strip = produce::panels(produce::render_view(posed, one.camera, true));
  io::Image row{target.width + strip.width, target.height, 3, {}};
  for (int y = 0; y < target.height; ++y) {
    const auto line = [&](const io::Image& i) { return i.pixels.begin() + static_cast<long>(3) * y * i.width; };
    row.pixels.insert(row.pixels.end(), line(target), line(target) + 3L * target.width);
    row.pixels.insert(row.pixels.end(), line(strip), line(strip) + 3L * strip.width);
  }
  return row;
}

}  // namespace layeravatar::eval
