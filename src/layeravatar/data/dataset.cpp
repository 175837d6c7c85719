#include "layeravatar/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "layeravatar/core/error.h"

namespace layeravatar::data {

Dataset Dataset::open(const std::filesystem::path& folder, const DatasetOptions& options,
                      const std::function<void(std::size_t, std::size_t)>& progress) {
  Dataset out;
  out.reference_ = options.reference;
  std::vector<std::filesystem::path> folders;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (std::filesystem::is_directory(entry.path() / "rgb") && entry.path().extension() != ".partial") folders.push_back(entry.path());
  if (error) throw Error(ErrorKind::kInput, fmt::format("{}: cannot open: {}", folder.string(), error.message()));
  if (folders.empty()) throw Error(ErrorKind::kInput, folder.string() + ": expected scene folders with rgb/, found none");
  std::sort(folders.begin(), folders.end());
  out.scenes_.resize(folders.size());
  std::vector<std::string> failures(folders.size());
  std::atomic<std::size_t> done{0};
  const auto count = static_cast<std::int64_t>(folders.size());
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    try {
      out.scenes_[at] = read_scene(folders[at], options.image_size);
    } catch (const std::exception& e) {
      failures[at] = e.what();
    }
    const std::size_t so_far = ++done;
#pragma omp critical(dataset_progress)
    if (progress) progress(so_far, folders.size());
  }
  for (const auto& failure : failures)
    if (!failure.empty()) throw Error(ErrorKind::kInput, failure);
  const auto& first = out.scenes_.front().views;
  for (const Scene& scene : out.scenes_) {
    if (scene.views.size() != first.size())
      throw Error(ErrorKind::kInput, fmt::format("{}: expected {} views, found {}", (folder / scene.name).string(), first.size(), scene.views.size()));
    for (std::size_t v = 0; v < first.size(); ++v)
      if (scene.views[v].name != first[v].name)
        throw Error(ErrorKind::kInput, fmt::format("{}: expected view '{}', found '{}'", (folder / scene.name).string(), first[v].name, scene.views[v].name));
  }
  for (std::size_t v = 0; v < first.size(); ++v) {
    const bool held = std::find(options.held_out.begin(), options.held_out.end(), first[v].name) != options.held_out.end();
    (held ? out.held_out_views_ : out.training_views_).push_back(static_cast<std::int64_t>(v));
  }
  for (const auto& name : options.held_out)
    if (std::none_of(first.begin(), first.end(), [&](const SceneView& v) { return v.name == name; }))
      throw Error(ErrorKind::kConfig, fmt::format("held-out view '{}': no such view", name));
  return out;
}

std::vector<std::int64_t> Dataset::draw_views(std::int64_t epoch, std::int64_t count) const {
  const auto n = static_cast<std::int64_t>(training_views_.size());
  if (count > n) throw Error(ErrorKind::kConfig, fmt::format("{} views wanted, {} are for training", count, n));
  std::vector<std::int64_t> out;
  for (const std::int64_t i : geometry::view_permutation(reference_ ? 0U : static_cast<std::uint32_t>(epoch), n, count))
    out.push_back(training_views_[static_cast<std::size_t>(i)]);
  return out;
}

}  // namespace layeravatar::data
