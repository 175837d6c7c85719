// Training scenes in memory, and which views of them an epoch uses (spec/model.md section 9.2).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "layeravatar/data/scene_files.h"

namespace layeravatar::data {

struct DatasetOptions {
  int image_size = 512;
  std::vector<std::string> held_out;  // names of views that training never draws
  bool reference = false;             // the release's frozen views: every epoch draws as epoch 0
};

class Dataset {
 public:
  /// Every sub-folder that has rgb/ is a scene, in the order of their names. All scenes need the same views. Scenes are
  /// read in parallel; `progress(done, total)` may be empty.
  /// Throws Error(kInput) for an unreadable scene, Error(kConfig) for a held-out name that no scene has.
  static Dataset open(const std::filesystem::path& folder, const DatasetOptions& options,
                      const std::function<void(std::size_t, std::size_t)>& progress = {});

  [[nodiscard]] const std::vector<Scene>& scenes() const { return scenes_; }
  [[nodiscard]] const std::vector<std::int64_t>& training_views() const { return training_views_; }
  [[nodiscard]] const std::vector<std::int64_t>& held_out_views() const { return held_out_views_; }

  /// `count` training views for an epoch, the same for all scenes: the release's permutation seeded with the epoch.
  [[nodiscard]] std::vector<std::int64_t> draw_views(std::int64_t epoch, std::int64_t count) const;

 private:
  std::vector<Scene> scenes_;
  std::vector<std::int64_t> training_views_, held_out_views_;
  bool reference_ = false;
};

}  // namespace layeravatar::data
