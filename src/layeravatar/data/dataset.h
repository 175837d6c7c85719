// Training scenes at hand, and which views of them an epoch uses (spec/model.md section 9.2).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "layeravatar/data/scene_files.h"
#include "layeravatar/io/attributes.h"

namespace layeravatar::data {

struct DatasetOptions {
  int image_size = 0;                 // of the files; 0: as the first picture has
  int views = 0;                      // expected in each scene; 0: as many as the first has
  std::vector<std::string> held_out;  // names of views that training never draws
  bool reference = false;             // the release's frozen views (trap 1): every epoch draws as epoch 0
  std::filesystem::path cache_file;   // all scenes in one mapped file, made when missing or stale; empty: none
};

inline constexpr const char* kAttributesFile = "attributes.json";  // of a dataset's folder

class Dataset {
 public:
  /// Every sub-folder that has rgb/ is a scene, in the order of their names; ".partial" folders are left out. All
  /// scenes need the same views. Without a cache file the cut pictures stay in memory (about 0.3 of the pixels, 4 bytes
  /// each: 128 scenes of 54 views at 512 pixels take 2 GB); with one they are pages of that file. `progress(done,
  /// total)` may be empty; it is not called when the cache serves. Throws Error(kInput) naming up to ten unreadable
  /// scenes and their number, Error(kConfig) for a held-out name that no scene has.
  static Dataset open(const std::filesystem::path& folder, const DatasetOptions& options,
                      const std::function<void(std::size_t, std::size_t)>& progress = {});

  [[nodiscard]] const std::vector<Scene>& scenes() const { return scenes_; }
  /// What attributes.json says of each scene, and in colours what its training views show: of skin, top, hair, shoes and bottom the mean over the pixels that are
  /// labelled so, as "skin-colour" and so on, where there are any. Throws Error(kInput) for a file that cannot be read.
  [[nodiscard]] std::vector<io::Attributes> attributes() const;
  [[nodiscard]] const std::vector<std::int64_t>& training_views() const { return training_views_; }
  [[nodiscard]] const std::vector<std::int64_t>& held_out_views() const { return held_out_views_; }

  /// `count` training views for an epoch, the same for all scenes: the release's permutation seeded with the epoch.
  /// Throws Error(kConfig) when there are fewer.
  [[nodiscard]] std::vector<std::int64_t> draw_views(std::int64_t epoch, std::int64_t count) const;

 private:
  std::vector<Scene> scenes_;
  std::vector<std::int64_t> training_views_, held_out_views_;
  std::filesystem::path folder_;
  bool reference_ = false;
};

}  // namespace layeravatar::data
