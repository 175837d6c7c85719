#include "layeravatar/data/scene_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "layeravatar/body/smplx_format.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/sha1.h"
#include "layeravatar/scan/render_scans.h"

namespace layeravatar::data {
namespace {

namespace fs = std::filesystem;

constexpr const char *kParamFile = "smplx/smplx_param.npy", *kReleaseParamFile = "smplx/smplx_param.pkl",
                     *kManifestFile = "manifest.json";

[[noreturn]] void reject(const fs::path& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file.string() + ": " + what);
}

// The file's channels run B, G, R = masks in the order of the release (trap 4): an RGB writer reverses them.
std::string mask_png(std::span<const std::uint8_t> labels, int width, int height, int first, int level) {
  io::Image out{width, height, 3, {}};
  out.pixels.reserve(3 * labels.size());
  for (const std::uint8_t label : labels) {
    const auto channel = [&](int c) {  // 0..4 body top hair shoes bottom, 5 the label itself
      return static_cast<std::uint8_t>(c == 5 ? label : label == c + 1 ? 1 : 0);
    };
    for (const int c : {first + 2, first + 1, first}) out.pixels.push_back(channel(c));
  }
  return io::format_png(out, level);
}

io::Image read_picture(const fs::path& file, int image_size) {
  io::Image out = io::read_png(file);
  if (out.width != image_size || out.height != image_size)
    reject(file, fmt::format("expected {0}x{0}, found {1}x{2}", image_size, out.width, out.height));
  return out;
}

// The label of each pixel; the masks say the same, in B, G, R = body, top, hair and shoes, bottom, label.
std::vector<std::uint8_t> labels_of(const fs::path& masks_file, const fs::path& labels_file, int image_size) {
  static constexpr std::array<const char*, 6> kChannels = {"body", "top", "hair", "shoes", "bottom", "label"};
  const io::Image first = read_picture(masks_file, image_size), second = read_picture(labels_file, image_size);
  if (first.channels != 3) reject(masks_file, fmt::format("expected 3 channels, found {}", first.channels));
  if (second.channels != 3) reject(labels_file, fmt::format("expected 3 channels, found {}", second.channels));
  std::vector<std::uint8_t> out;
  out.reserve(first.pixels.size() / 3);
  for (std::size_t i = 0; i < first.pixels.size(); i += 3) {
    const std::uint8_t *a = first.pixels.data() + i, *b = second.pixels.data() + i;
    const std::uint8_t label = b[0], masks[5] = {a[2], a[1], a[0], b[2], b[1]};
    if (label > 5) reject(labels_file, fmt::format("channel 'label' holds value {}; expected 0..5", label));
    for (std::size_t c = 0; c < 5; ++c) {
      const fs::path& file = c < 3 ? masks_file : labels_file;
      if (masks[c] > 1)
        reject(file, fmt::format("channel '{}' holds value {}; expected 0 or 1 (was the file written as 0/255?)",
                                 kChannels[c], masks[c]));
      if (masks[c] != (label == c + 1 ? 1 : 0))
        reject(file, fmt::format("channel '{}' contradicts the label {} at pixel {}", kChannels[c], label, i / 3));
    }
    out.push_back(label);
  }
  return out;
}

struct Cut {
  int x, y, width, height;
};

// The smallest box around everything that is labelled or not white.
Cut person_box(const io::Image& rgb, const std::vector<std::uint8_t>& labels) {
  int x0 = rgb.width, x1 = -1, y0 = rgb.height, y1 = -1;
  const std::uint8_t* c = rgb.pixels.data();
  const std::uint8_t* label = labels.data();
  for (int y = 0; y < rgb.height; ++y)
    for (int x = 0; x < rgb.width; ++x, c += rgb.channels, ++label) {
      if (*label == 0 && c[0] == 255 && c[1] == 255 && c[2] == 255) continue;
      x0 = std::min(x0, x), x1 = std::max(x1, x), y0 = std::min(y0, y), y1 = std::max(y1, y);
    }
  return x1 < 0 ? Cut{0, 0, 0, 0} : Cut{x0, y0, x1 - x0 + 1, y1 - y0 + 1};
}

std::vector<std::string> view_names(const fs::path& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder / "rgb", error))
    if (entry.path().extension() == ".png") out.push_back(entry.path().stem().string());
  if (error) reject(folder / "rgb", "cannot open: " + error.message());
  if (out.empty()) reject(folder, "expected views in rgb/, found 0");
  std::sort(out.begin(), out.end());
  for (const std::string& name : out) {
    if (!fs::exists(folder / "pose" / (name + ".json")))
      reject(folder, fmt::format("view '{}' has no pose file", name));
    for (const char* part : {"_0.png", "_1.png"})
      if (!fs::exists(folder / "seg" / (name + part))) reject(folder, fmt::format("view '{}' has no mask file", name));
  }
  return out;
}

}  // namespace

std::array<std::string, 2> format_masks(std::span<const std::uint8_t> labels, int width, int height, int level) {
  LAV_CHECK(labels.size() == static_cast<std::size_t>(width) * static_cast<std::size_t>(height), "one label per pixel");
  return {mask_png(labels, width, height, 0, level), mask_png(labels, width, height, 3, level)};
}

std::vector<std::uint8_t> read_masks(const fs::path& first, const fs::path& second, int image_size) {
  return labels_of(first, second, image_size);
}

void write_scene(const fs::path& folder, const std::vector<geometry::NamedCamera>& cameras,
                 const std::vector<RenderedView>& views, const body::PoseParams& params) {
  LAV_CHECK(cameras.size() == views.size() && !views.empty(), "one picture per camera");
  AtomicFolder scene(folder);
  const fs::path& temporary = scene.temporary();
  for (const char* part : {"rgb", "seg", "pose", "smplx"}) make_folder(temporary / part);
  std::vector<std::map<std::string, std::string>> sums(views.size());  // of each view's files, by path
  std::vector<std::string> failures(views.size());
  const auto count = static_cast<std::int64_t>(views.size());
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::string& name = cameras[at].name;
    const auto put = [&](const std::string& path, const std::string& content) {
      write_file(temporary / path, content);
      sums[at][path] = io::sha1_hex(content);
    };
    try {
      put("rgb/" + name + ".png", io::format_png(views[at].colour, 1));
      const auto& [colour, labels] = views[at];
      const auto masks = format_masks(labels, colour.width, colour.height, 1);
      put("seg/" + name + "_0.png", masks[0]);
      put("seg/" + name + "_1.png", masks[1]);
      put("pose/" + name + ".json", scan::format_calibration(cameras[at].camera, params.transl));
    } catch (const std::exception& e) {
      failures[at] = e.what();
    }
  }
  for (const auto& failure : failures)
    if (!failure.empty()) throw Error(ErrorKind::kOutput, failure);
  const std::vector<float> vector = body::pose_to_vector(params, body::PoseLayout::k189);
  io::write_npy(temporary / kParamFile, io::make_array<float>({189}, vector));
  sums[0][kParamFile] = io::sha1_hex(read_file(temporary / kParamFile));
  nlohmann::json manifest = {{"version", 1}, {"image_size", views[0].colour.width}, {"views", views.size()}};
  for (const auto& of_view : sums)
    for (const auto& [path, sum] : of_view)
      manifest["files"][path] = {{"bytes", fs::file_size(temporary / path)}, {"sha1", sum}};
  write_file(temporary / kManifestFile, manifest.dump(1) + "\n");
  scene.commit();
}

bool scene_is_complete(const fs::path& folder, int image_size) {
  if (!fs::exists(folder)) return false;
  const fs::path file = folder / kManifestFile;
  if (!fs::exists(file)) return true;
  const auto manifest = nlohmann::json::parse(read_file(file), nullptr, false);
  if (!manifest.is_object() || !manifest.contains("files") || !manifest["files"].is_object())
    reject(file, "expected a list of files");
  const auto size = manifest.value("image_size", nlohmann::json());
  if (size != image_size)
    throw Error(ErrorKind::kConfig, fmt::format("{}: image size = {}, the scene that is there has {}", folder.string(),
                                                image_size, size.dump()));
  for (const auto& [path, entry] : manifest["files"].items()) {
    std::error_code error;
    const std::uintmax_t found = fs::file_size(folder / path, error);
    if (error) reject(folder / path, "cannot open: " + error.message());
    const auto expected = entry.is_object() ? entry.value("bytes", nlohmann::json()) : nlohmann::json();
    if (expected != found) reject(folder / path, fmt::format("expected {} bytes, found {}", expected.dump(), found));
  }
  return true;
}

body::PoseParams read_scene_params(const fs::path& folder) {
  if (fs::exists(folder / kParamFile) || !fs::exists(folder / kReleaseParamFile))
    return body::read_unified_params(folder / kParamFile);
  body::PoseParams out = body::read_unified_params(folder / kReleaseParamFile);
  const fs::path calibration = folder / "pose/000_001.json";  // where the release's loader takes the scale from
  if (fs::exists(calibration))
    out.scale = static_cast<float>(body::parse_calibration(read_file(calibration), calibration.string()).scale);
  return out;
}

Scene read_scene(const fs::path& folder, int image_size) {
  Scene out;
  out.name = folder.filename().string();
  out.params = read_scene_params(folder);
  auto pixels = std::make_shared<std::vector<std::uint8_t>>();  // of each view, colours then labels
  for (const std::string& name : view_names(folder)) {
    SceneView view;
    view.name = name;
    const fs::path pose_file = folder / "pose" / (name + ".json"), rgb_file = folder / "rgb" / (name + ".png");
    const auto matrices = geometry::parse_cam_param(read_file(pose_file), pose_file.string(), 1);
    view.camera = {geometry::invert_rigid(matrices[0]), 5000.0 * image_size / 1024.0, image_size, image_size};
    const io::Image rgb = read_picture(rgb_file, image_size);
    if (rgb.channels < 3) reject(rgb_file, fmt::format("expected 3 or 4 channels, found {}", rgb.channels));
    const auto labels = labels_of(folder / "seg" / (name + "_0.png"), folder / "seg" / (name + "_1.png"), image_size);
    const Cut cut = person_box(rgb, labels);
    view.x = cut.x, view.y = cut.y, view.width = cut.width, view.height = cut.height;
    const auto channels = static_cast<std::size_t>(rgb.channels);
    const auto row = [&](int v) {
      return static_cast<std::size_t>(cut.y + v) * static_cast<std::size_t>(image_size) +
             static_cast<std::size_t>(cut.x);
    };
    for (int v = 0; v < cut.height; ++v)
      for (std::size_t i = row(v); i < row(v) + static_cast<std::size_t>(cut.width); ++i) {
        const std::uint8_t* c = rgb.pixels.data() + channels * i;  // alpha is coverage, already blended (trap 52)
        pixels->insert(pixels->end(), c, c + 3);
      }
    for (int v = 0; v < cut.height; ++v)
      pixels->insert(pixels->end(), labels.begin() + static_cast<std::ptrdiff_t>(row(v)),
                     labels.begin() + static_cast<std::ptrdiff_t>(row(v)) + cut.width);
    out.views.push_back(std::move(view));
  }
  pixels->shrink_to_fit();
  std::size_t offset = 0;
  for (SceneView& view : out.views) {
    const std::size_t area = static_cast<std::size_t>(view.width) * static_cast<std::size_t>(view.height);
    view.colours = std::span<const std::uint8_t>(*pixels).subspan(offset, 3 * area);
    view.labels = std::span<const std::uint8_t>(*pixels).subspan(offset + 3 * area, area);
    offset += 4 * area;
  }
  out.pixels = std::move(pixels);
  return out;
}

void expand_view(const SceneView& view, int size, float* colours, std::uint8_t* labels) {
  const int factor = size > 0 ? view.camera.width / size : 0;
  if (factor < 1 || factor * size != view.camera.width)
    throw Error(ErrorKind::kConfig,
                fmt::format("image size {} does not divide the data's {}", size, view.camera.width));
  const auto pixels = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  std::fill(colours, colours + 3 * pixels, 1.0F);
  std::fill(labels, labels + pixels, std::uint8_t{0});
  const float share = 1.0F / (255.0F * static_cast<float>(factor * factor));
  for (int v = 0; v < view.height; ++v)
    for (int u = 0; u < view.width; ++u) {
      const int x = view.x + u, y = view.y + v;
      const auto at =
          static_cast<std::size_t>(y / factor) * static_cast<std::size_t>(size) + static_cast<std::size_t>(x / factor);
      const auto from =
          static_cast<std::size_t>(v) * static_cast<std::size_t>(view.width) + static_cast<std::size_t>(u);
      for (std::size_t k = 0; k < 3; ++k)
        colours[k * pixels + at] -= share * static_cast<float>(255 - view.colours[3 * from + k]);
      if (x % factor == 0 && y % factor == 0) labels[at] = view.labels[from];
    }
}

}  // namespace layeravatar::data
