#include "layeravatar/train/dataset_source.h"

#include <torch/torch.h>

namespace layeravatar::train {

SceneBatch load_views(const data::Scene& scene, const std::vector<std::int64_t>& views, int image_size) {
  const int own = scene.views.at(0).camera.width;
  const int size = image_size == 0 ? own : image_size;
  const auto count = static_cast<std::int64_t>(views.size());
  SceneBatch out;
  out.images = torch::empty({count, 3, size, size});
  out.labels = torch::empty({count, size, size}, torch::kUInt8);
  out.params = scene.params;
  float* images = out.images.data_ptr<float>();
  auto* labels = out.labels.data_ptr<std::uint8_t>();
  const std::int64_t pixels = static_cast<std::int64_t>(size) * size;
  for (const std::int64_t view : views) {
    geometry::Camera camera = scene.views.at(static_cast<std::size_t>(view)).camera;
    camera.focal *= static_cast<double>(size) / own;
    camera.width = camera.height = size;
    out.cameras.push_back(camera);
  }
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < count; ++i)
    data::expand_view(scene.views[static_cast<std::size_t>(views[static_cast<std::size_t>(i)])], size, images + 3 * i * pixels, labels + i * pixels);
  return out;
}

std::vector<std::string> DatasetSource::names() const {
  std::vector<std::string> out;
  for (const auto& scene : dataset_->scenes()) out.push_back(scene.name);
  return out;
}

SceneBatch DatasetSource::load(std::int64_t scene, std::int64_t epoch, int image_size) {
  return load_views(dataset_->scenes().at(static_cast<std::size_t>(scene)), dataset_->draw_views(epoch, views_), image_size);
}

}  // namespace layeravatar::train
