#include "layeravatar/produce/release_files.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <utility>

#include "layeravatar/core/error.h"
#include "layeravatar/io/viridis.h"
#include "layeravatar/produce/command_parts.h"
#include "layeravatar/produce/studio.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::produce {
namespace {

constexpr std::size_t kWaiting = 4;  // pictures

io::Image viridis_of(const torch::Tensor& values, float low, float high) {
  const torch::Tensor t = values.contiguous();
  return io::viridis_picture({tensor::floats(t, "values"), static_cast<std::size_t>(t.numel())}, static_cast<int>(t.size(1)), static_cast<int>(t.size(0)), low, high);
}

}  // namespace

io::Image release_panels(const splat::RenderOutputs& o) {
  return picture_row({o.full, o.components[0], o.components[1], o.components[2], o.components[3], o.components[4]}, true);
}

io::Image release_labels(const splat::RenderOutputs& o, bool false_colours) {
  const torch::Tensor values = 0.2 * torch::arange(1, 6, torch::kFloat32);
  const torch::Tensor label = (o.component_weights * values.reshape({5, 1, 1})).sum(0, true);
  std::vector<torch::Tensor> parts = {label};
  for (const torch::Tensor& alpha : o.component_alphas.split(1)) parts.push_back(alpha);
  io::Image grey = picture_row(parts);
  if (!false_colours) return grey;
  const torch::Tensor rounded = torch::from_blob(grey.pixels.data(), {grey.height, grey.width}, torch::kUInt8).to(torch::kFloat32) / 255;
  return viridis_of(rounded, rounded.min().item<float>(), rounded.max().item<float>());
}

io::Image release_planes(const torch::Tensor& planes) {
  const std::int64_t h = planes.size(1);
  tensor::expect_shape(planes, {12, h, 3 * h}, "planes");
  const torch::Tensor even = planes.detach().reshape({6, 2, h, 3, h}).select(1, 0);  // channel, row, layer, column
  return viridis_of(even.flip(1).permute({2, 1, 0, 3}).reshape({3 * h, 6 * h}), -2.0F, 2.0F);
}

std::string release_name(int scene) { return fmt::format("scene_scene_{:04}", scene); }

ViewWriter::ViewWriter() : queue_(static_cast<std::size_t>(std::max(1, at::get_num_threads())), kWaiting) {}

void ViewWriter::add(const std::filesystem::path& file, std::shared_ptr<const io::Image> picture, int level) {
  queue_.add([file, picture = std::move(picture), level] { io::write_png(file, *picture, level); });
}

std::shared_ptr<const io::Image> ViewWriter::add(const std::filesystem::path& stem, const splat::Gaussians& gaussians, const geometry::Camera& camera,
                                                 ViewFiles files, bool reference) {
  constexpr int kFast = 1;
  const bool all = files != ViewFiles::kPicture;
  const splat::RenderOutputs view = render_view(gaussians, camera, all, all && reference);
  auto full = std::make_shared<const io::Image>(picture(view.full));
  add(stem.string() + ".png", all ? std::make_shared<const io::Image>(release_panels(view)) : full, kFast);
  if (files == ViewFiles::kPanelsAndLabels) add(stem.string() + "_seg.png", std::make_shared<const io::Image>(release_labels(view, reference)), kFast);
  return full;
}

}  // namespace layeravatar::produce
