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
#include "layeravatar/tensor/one_thread.h"

namespace layeravatar::produce {
namespace {

constexpr std::size_t kWaiting = 4;  // views
constexpr int kMostAtOnce = 8;

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

// More threads would mostly hold pictures.
ViewWriter::ViewWriter() : queue_(static_cast<std::size_t>(std::clamp(at::get_num_threads(), 1, kMostAtOnce)), kWaiting) {}

void ViewWriter::add(const std::filesystem::path& file, std::function<io::Image()> picture, int level) {
  queue_.add([file, picture = std::move(picture), level] {
    tensor::stay_on_one_thread();
    io::write_png(file, picture(), level);
  });
}

std::shared_future<io::Image> ViewWriter::add(std::function<io::Image()> picture) {
  const auto made = std::make_shared<std::promise<io::Image>>();
  queue_.add([picture = std::move(picture), made] {
    tensor::stay_on_one_thread();
    made->set_value(picture());
  });
  return made->get_future().share();
}

ViewWriter::Picture ViewWriter::add(const std::filesystem::path& stem, std::function<splat::Gaussians()> gaussians, const geometry::Camera& camera,
                                    ViewFiles files, bool reference) {
  const auto drawn = std::make_shared<std::promise<std::shared_ptr<const io::Image>>>();
  Picture out = drawn->get_future().share();
  queue_.add([stem, gaussians = std::move(gaussians), camera, files, reference, drawn] {
    constexpr int kFast = 1;
    tensor::stay_on_one_thread();
    const bool all = files != ViewFiles::kPicture;
    const splat::RenderOutputs view = render_view(gaussians(), camera, all, all && reference);
    const auto full = std::make_shared<const io::Image>(picture(view.full));
    drawn->set_value(full);
    io::write_png(stem.string() + ".png", all ? release_panels(view) : *full, kFast);
    if (files == ViewFiles::kPanelsAndLabels) io::write_png(stem.string() + "_seg.png", release_labels(view, reference), kFast);
  });
  return out;
}

}  // namespace layeravatar::produce
