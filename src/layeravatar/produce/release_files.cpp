#include "layeravatar/produce/release_files.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include "layeravatar/core/error.h"
#include "layeravatar/io/viridis.h"
#include "layeravatar/produce/command_parts.h"
#include "layeravatar/produce/studio.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::produce {
namespace {

torch::Tensor to_bytes(const torch::Tensor& values) { return (values.detach().clamp(0, 1) * 255).round().to(torch::kUInt8); }

io::Image viridis_of(const torch::Tensor& values, float low, float high) {
  const torch::Tensor t = values.contiguous();
  return io::viridis_picture({tensor::floats(t, "values"), static_cast<std::size_t>(t.numel())}, static_cast<int>(t.size(1)), static_cast<int>(t.size(0)), low, high);
}

// [n, H, W] side by side.
torch::Tensor side_by_side(const torch::Tensor& pictures) {
  return pictures.permute({1, 0, 2}).reshape({pictures.size(1), pictures.size(0) * pictures.size(2)});
}

}  // namespace

io::Image release_panels(const splat::RenderOutputs& o) {
  const torch::Tensor all = torch::cat({o.full.unsqueeze(0), o.components});  // [6, 3, H, W]
  const torch::Tensor rgb = to_bytes(all).permute({2, 0, 3, 1}).reshape({all.size(2), 6 * all.size(3), 3});
  return image_of(torch::cat({rgb, torch::full({rgb.size(0), rgb.size(1), 1}, 255, torch::kUInt8)}, 2));
}

io::Image release_labels(const splat::RenderOutputs& o, bool false_colours) {
  const torch::Tensor values = 0.2 * torch::arange(1, 6, torch::kFloat32);
  const torch::Tensor label = (o.component_weights * values.reshape({5, 1, 1})).sum(0, true);
  const torch::Tensor grey = to_bytes(side_by_side(torch::cat({label, o.component_alphas})));
  if (!false_colours) return image_of(grey.unsqueeze(2));
  const torch::Tensor rounded = grey.to(torch::kFloat32) / 255;
  return viridis_of(rounded, rounded.min().item<float>(), rounded.max().item<float>());
}

io::Image release_planes(const torch::Tensor& planes) {
  const std::int64_t h = planes.size(1);
  tensor::expect_shape(planes, {12, h, 3 * h}, "planes");
  const torch::Tensor even = planes.detach().reshape({6, 2, h, 3, h}).select(1, 0);  // channel, row, layer, column
  return viridis_of(even.flip(1).permute({2, 1, 0, 3}).reshape({3 * h, 6 * h}), -2.0F, 2.0F);
}

std::string release_name(int scene) { return fmt::format("scene_scene_{:04}", scene); }

io::Image write_view(const std::filesystem::path& stem, const splat::Gaussians& gaussians, const geometry::Camera& camera, ViewFiles files, bool reference) {
  const splat::RenderOutputs view = render_view(gaussians, camera, files != ViewFiles::kPicture, files != ViewFiles::kPicture && reference);
  const io::Image full = picture(view.full);
  io::write_png(stem.string() + ".png", files == ViewFiles::kPicture ? full : release_panels(view), 1);
  if (files == ViewFiles::kPanelsAndLabels) io::write_png(stem.string() + "_seg.png", release_labels(view, reference), 1);
  return full;
}

}  // namespace layeravatar::produce
