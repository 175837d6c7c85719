#include "layeravatar/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/data/packed_scenes.h"
#include "layeravatar/data/scene_folders.h"

namespace layeravatar::data {
namespace {

namespace fs = std::filesystem;

constexpr int kNamedFailures = 10;

std::vector<Scene> read_scenes(const std::vector<fs::path>& folders, int image_size,
                               const std::function<void(std::size_t, std::size_t)>& progress) {
  std::vector<Scene> out(folders.size());
  std::vector<std::string> failures(folders.size());
  std::atomic<std::size_t> done{0};
  const auto count = static_cast<std::int64_t>(folders.size());
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    try {
      out[at] = read_scene(folders[at], image_size);
    } catch (const std::exception& e) {
      failures[at] = e.what();
    }
#pragma omp critical(dataset_progress)
    if (progress) progress(++done, folders.size());
  }
  std::string text;
  int failed = 0;
  for (const auto& failure : failures)
    if (!failure.empty() && ++failed <= kNamedFailures) text += failure + "; ";
  if (failed == 1) throw Error(ErrorKind::kInput, text.substr(0, text.size() - 2));
  if (failed > 1)
    throw Error(ErrorKind::kInput, text + fmt::format("{} of {} scenes cannot be used", failed, folders.size()));
  return out;
}

void check_same_views(const std::vector<Scene>& scenes, const fs::path& folder, int expected) {
  const auto& first = scenes.front().views;
  const std::size_t count = expected > 0 ? static_cast<std::size_t>(expected) : first.size();
  for (const Scene& scene : scenes) {
    const std::string where = (folder / scene.name).string();
    if (scene.views.size() != count)
      throw Error(ErrorKind::kInput, fmt::format("{}: expected {} views, found {}", where, count, scene.views.size()));
    for (std::size_t v = 0; v < count; ++v)
      if (scene.views[v].name != first[v].name)
        throw Error(ErrorKind::kInput,
                    fmt::format("{}: expected view '{}', found '{}'", where, first[v].name, scene.views[v].name));
  }
}

}  // namespace

Dataset Dataset::open(const fs::path& folder, const DatasetOptions& options,
                      const std::function<void(std::size_t, std::size_t)>& progress) {
  Dataset out;
  out.folder_ = folder;
  out.reference_ = options.reference;
  const auto folders = scene_folders(folder);
  const int size = options.image_size > 0 ? options.image_size : picture_size(folders.front());
  if (options.cache_file.empty()) {
    out.scenes_ = read_scenes(folders, size, progress);
  } else {
    const std::string key = scenes_key(folders, size);
    auto packed = map_packed_scenes(options.cache_file, key);
    if (!packed) {
      write_packed_scenes(options.cache_file, read_scenes(folders, size, progress), key);
      packed = map_packed_scenes(options.cache_file, key);
      LAV_CHECK(packed.has_value(), options.cache_file.string() + ": what was just written can be mapped");
    }
    out.scenes_ = std::move(*packed);
  }
  check_same_views(out.scenes_, folder, options.views);
  const auto& first = out.scenes_.front().views;
  for (std::size_t v = 0; v < first.size(); ++v) {
    const bool held =
        std::find(options.held_out.begin(), options.held_out.end(), first[v].name) != options.held_out.end();
    (held ? out.held_out_views_ : out.training_views_).push_back(static_cast<std::int64_t>(v));
  }
  for (const auto& name : options.held_out)
    if (std::none_of(first.begin(), first.end(), [&](const SceneView& v) { return v.name == name; }))
      throw Error(ErrorKind::kConfig, fmt::format("held-out view '{}': no such view", name));
  return out;
}

std::vector<io::Attributes> Dataset::attributes() const {
  const fs::path file = folder_ / kAttributesFile;
  const auto known = fs::exists(file) ? io::parse_attributes(read_file(file), file.string()) : std::map<std::string, io::Attributes>();
  std::vector<io::Attributes> out(scenes_.size());
  const auto count = static_cast<std::int64_t>(scenes_.size());
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < count; ++i) {
    const Scene& scene = scenes_[static_cast<std::size_t>(i)];
    io::Attributes& own = out[static_cast<std::size_t>(i)];
    if (const auto found = known.find(scene.name); found != known.end()) own = found->second;
    std::array<std::array<std::int64_t, 4>, 6> sums{};  // by label: RGB and pixels
    for (const std::int64_t v : training_views_) {
      const SceneView& view = scene.views[static_cast<std::size_t>(v)];
      for (std::size_t k = 0; k < view.labels.size(); ++k) {
        auto& sum = sums.at(view.labels[k]);
        for (std::size_t c = 0; c < 3; ++c) sum[c] += view.colours[3 * k + c];
        ++sum[3];
      }
    }
    for (std::size_t c = 0; c < io::kColourAttributes.size(); ++c) {
      const auto& sum = sums[c + 1];
      if (sum[3] == 0) continue;
      const double scale = 1 / (255.0 * static_cast<double>(sum[3]));
      own[io::kColourAttributes.at(c)] = std::array{static_cast<double>(sum[0]) * scale, static_cast<double>(sum[1]) * scale, static_cast<double>(sum[2]) * scale};
    }
  }
  return out;
}

std::vector<std::int64_t> Dataset::draw_views(std::int64_t epoch, std::int64_t count) const {
  const auto n = static_cast<std::int64_t>(training_views_.size());
  if (count < 0 || count > n)
    throw Error(ErrorKind::kConfig, fmt::format("{} views wanted, {} are for training", count, n));
  std::vector<std::int64_t> out;
  for (const std::int64_t i : geometry::view_permutation(reference_ ? 0U : static_cast<std::uint32_t>(epoch), n, count))
    out.push_back(training_views_[static_cast<std::size_t>(i)]);
  return out;
}

}  // namespace layeravatar::data
