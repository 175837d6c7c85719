#include "layeravatar/data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/core/error.h"

namespace layeravatar::data {

std::vector<std::uint8_t> SceneViews::masks() const {
  std::vector<std::uint8_t> out;
  out.reserve(6 * labels.size());
  for (const std::uint8_t label : labels) {
    for (int c = 1; c <= 5; ++c) out.push_back(label == c ? 1 : 0);
    out.push_back(label);
  }
  return out;
}

SceneViews load_views(const Dataset& dataset, std::int64_t scene, const std::vector<std::int64_t>& views, int size) {
  const Scene& from = dataset.scenes().at(static_cast<std::size_t>(scene));
  SceneViews out;
  out.scene = scene;
  out.views = views;
  out.params = from.params;
  out.size = size == 0 ? from.views.front().camera.width : size;
  const auto pixels = static_cast<std::size_t>(out.size) * static_cast<std::size_t>(out.size);
  out.images.reserve(3 * pixels * views.size());
  out.labels.resize(pixels * views.size());
  std::vector<float> planes(3 * pixels);
  for (std::size_t i = 0; i < views.size(); ++i) {
    const SceneView& view = from.views.at(static_cast<std::size_t>(views[i]));
    expand_view(view, out.size, planes.data(), out.labels.data() + i * pixels);
    for (std::size_t p = 0; p < pixels; ++p)
      for (std::size_t k = 0; k < 3; ++k)
        out.images.push_back(static_cast<std::uint8_t>(std::max(0.0F, 255.0F * planes[k * pixels + p]) + 0.5F));
    geometry::Camera camera = view.camera;
    camera.focal *= static_cast<double>(out.size) / camera.width;
    camera.width = camera.height = out.size;
    std::array<float, 19> row{};
    const auto centre = camera.centre();
    for (std::size_t k = 0; k < 3; ++k) row[k] = static_cast<float>(centre[k]);
    for (std::size_t k = 0; k < 16; ++k) row[3 + k] = static_cast<float>(camera.camera_from_world[k]);
    out.cameras.push_back(camera);
    out.camera_rows.push_back(row);
  }
  return out;
}

std::pair<std::int64_t, std::int64_t> scene_shard(std::int64_t scenes, int rank, int world) {
  LAV_CHECK(world >= 1 && rank >= 0 && rank < world, "rank in 0..world-1");
  const auto border = [&](int r) {
    return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(r) * static_cast<double>(scenes) / world));
  };
  return {border(rank), border(rank + 1)};
}

LoaderStep plan_step(std::int64_t step, std::int64_t scenes, const LoaderOptions& options) {
  LAV_CHECK(step >= 0 && options.scenes_per_step >= 1, "step and scenes per step");
  const auto [first, last] = scene_shard(scenes, options.rank, options.world);
  const std::int64_t own = last - first, wanted = options.scenes_per_step;
  if (own == 0)
    throw Error(ErrorKind::kConfig, fmt::format("{} scenes do not reach {} processes", scenes, options.world));
  const std::int64_t steps_per_epoch = (own + wanted - 1) / wanted;
  LoaderStep out;
  out.epoch = step / steps_per_epoch;
  const auto order = geometry::view_permutation(options.seed + static_cast<std::uint32_t>(out.epoch), own, own);
  for (std::int64_t i = 0; i < wanted; ++i)
    out.scenes.push_back(first + order[static_cast<std::size_t>((step % steps_per_epoch * wanted + i) % own)]);
  return out;
}

Loader::Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options, std::int64_t first_step)
    : prefetch_(
          [dataset = std::move(dataset), options, first_step](std::int64_t turn) {
            const auto plan =
                plan_step(first_step + turn, static_cast<std::int64_t>(dataset->scenes().size()), options);
            const auto views = dataset->draw_views(plan.epoch, options.views);
            std::vector<SceneViews> out;
            for (const std::int64_t scene : plan.scenes)
              out.push_back(load_views(*dataset, scene, views, options.image_size));
            return out;
          },
          options.threads, options.ahead) {}

}  // namespace layeravatar::data
