// Steps of a training run: which scenes and views, and their pictures, made ahead (spec/model.md sections 9.2, 9.3).
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "layeravatar/data/dataset.h"
#include "layeravatar/data/prefetch.h"

namespace layeravatar::data {

/// Some views of one scene as the release's loader returns them, in bytes. I views of H = W = size pixels.
struct SceneViews {
  std::int64_t scene = 0;           // index in the dataset
  std::vector<std::int64_t> views;  // [I] indices in the scene
  int size = 0;
  std::vector<std::uint8_t> images;                // [I, H, W, 3] RGB on white
  std::vector<std::uint8_t> labels;                // [I, H, W] 0..5
  std::vector<geometry::Camera> cameras;           // [I] at this size
  std::vector<std::array<float, 19>> camera_rows;  // [I] centre, then camera_from_world row-major
  body::PoseParams params;

  /// [I, H, W, 6]: body, top, hair, shoes, bottom as 0 or 1, and the label.
  [[nodiscard]] std::vector<std::uint8_t> masks() const;
};

/// `size` divides the data's size (Error(kConfig)); smaller pictures are box-filtered and rounded. 0: the data's own.
SceneViews load_views(const Dataset& dataset, std::int64_t scene, const std::vector<std::int64_t>& views, int size = 0);

/// The scenes [first, second) that a process owns: contiguous, halves rounded to even.
std::pair<std::int64_t, std::int64_t> scene_shard(std::int64_t scenes, int rank, int world);

struct LoaderOptions {
  int views = 8;  // of each scene
  int scenes_per_step = 1;
  int image_size = 0;  // 0: the data's own
  int rank = 0, world = 1;
  std::uint32_t seed = 2021;
  int threads = 1, ahead = 4;
};

struct LoaderStep {
  std::int64_t epoch = 0;
  std::vector<std::int64_t> scenes;  // indices in the dataset
};

/// Scenes of a step: each epoch is a permutation of the shard seeded with seed + epoch, filled up to whole steps by
/// repeating its first scenes. Throws Error(kConfig) when the shard is empty.
LoaderStep plan_step(std::int64_t step, std::int64_t scenes, const LoaderOptions& options);

class Loader {
 public:
  /// Begins with `first_step`, so that a resumed run goes on as an uninterrupted one.
  Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options, std::int64_t first_step = 0);
  /// The next step's scenes; the order depends on the seed alone, not on the threads.
  std::vector<SceneViews> next() { return prefetch_.next(); }

 private:
  Prefetch<std::vector<SceneViews>> prefetch_;
};

}  // namespace layeravatar::data
