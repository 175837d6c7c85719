#include "layeravatar/data/scene_folders.h"

#include <fmt/format.h>

#include <algorithm>

#include "layeravatar/core/error.h"
#include "layeravatar/io/png.h"

namespace layeravatar::data {

namespace fs = std::filesystem;

std::vector<fs::path> scene_folders(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (fs::is_directory(entry.path() / "rgb") && entry.path().extension() != ".partial") out.push_back(entry.path());
  if (error) throw Error(ErrorKind::kInput, fmt::format("{}: cannot open: {}", folder.string(), error.message()));
  if (out.empty()) throw Error(ErrorKind::kInput, folder.string() + ": expected scene folders with rgb/, found none");
  std::sort(out.begin(), out.end());
  return out;
}

int picture_size(const fs::path& scene) {
  std::vector<fs::path> pictures;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(scene / "rgb", error))
    if (entry.path().extension() == ".png") pictures.push_back(entry.path());
  return pictures.empty() ? 0 : io::read_png(*std::min_element(pictures.begin(), pictures.end())).width;
}

SceneFolders::SceneFolders(const fs::path& folder, int image_size)
    : folders_(scene_folders(folder)), image_size_(image_size > 0 ? image_size : picture_size(folders_.front())) {}

std::vector<std::int64_t> named_views(const Scene& scene, const std::vector<std::string>& names) {
  std::vector<std::int64_t> out;
  for (const std::string& name : names) {
    const auto at = std::find_if(scene.views.begin(), scene.views.end(), [&](const SceneView& v) { return v.name == name; });
    if (at == scene.views.end()) throw Error(ErrorKind::kConfig, fmt::format("held-out view '{}': scene {} has no such view", name, scene.name));
    out.push_back(at - scene.views.begin());
  }
  return out;
}

std::vector<std::int64_t> other_views(const Scene& scene, const std::vector<std::string>& names) {
  const std::vector<std::int64_t> named = named_views(scene, names);
  std::vector<std::int64_t> out;
  for (std::int64_t v = 0; v < static_cast<std::int64_t>(scene.views.size()); ++v)
    if (std::find(named.begin(), named.end(), v) == named.end()) out.push_back(v);
  return out;
}

}  // namespace layeravatar::data
