// The scenes of a dataset read one by one, for work that looks at each once: none stays in memory.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/data/scene_files.h"

namespace layeravatar::data {

/// Sub-folders that have rgb/, in the order of their names; ".partial" ones are left out. Throws Error(kInput) when there is none.
std::vector<std::filesystem::path> scene_folders(const std::filesystem::path& folder);
/// Width of the scene's first picture; 0 where there is none.
int picture_size(const std::filesystem::path& scene);

class SceneFolders {
 public:
  /// `image_size` 0: as the first picture has. Throws Error(kInput) as scene_folders.
  explicit SceneFolders(const std::filesystem::path& folder, int image_size = 0);

  [[nodiscard]] std::size_t size() const { return folders_.size(); }
  [[nodiscard]] int image_size() const { return image_size_; }
  [[nodiscard]] std::string name(std::size_t scene) const { return folders_.at(scene).filename().string(); }
  [[nodiscard]] body::PoseParams params(std::size_t scene) const { return read_scene_params(folders_.at(scene)); }
  /// Throws Error(kInput) as read_scene.
  [[nodiscard]] Scene read(std::size_t scene) const { return read_scene(folders_.at(scene), image_size_); }

 private:
  std::vector<std::filesystem::path> folders_;
  int image_size_;
};

/// Places in the scene's views of those that are named, or of all others. Throws Error(kConfig) for a name that the scene lacks.
std::vector<std::int64_t> named_views(const Scene& scene, const std::vector<std::string>& names);
std::vector<std::int64_t> other_views(const Scene& scene, const std::vector<std::string>& names);

}  // namespace layeravatar::data
