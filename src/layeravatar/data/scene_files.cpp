#include "layeravatar/data/scene_files.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"

namespace layeravatar::data {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void reject(const fs::path& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file.string() + ": " + what);
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error(ErrorKind::kOutput, fmt::format("{}: cannot make the folder: {}", folder.string(), error.message()));
}

// The file's channels run B, G, R = masks in the order of the release (trap 4): an RGB writer reverses them.
std::string mask_png(const RenderedView& view, int first) {
  io::Image out{view.colour.width, view.colour.height, 3, {}};
  out.pixels.reserve(3 * view.labels.size());
  for (const std::uint8_t label : view.labels) {
    const auto channel = [&](int c) {  // 0..4 body top hair shoes bottom, 5 the label itself
      return static_cast<std::uint8_t>(c == 5 ? label : label == c + 1 ? 1 : 0);
    };
    for (const int c : {first + 2, first + 1, first}) out.pixels.push_back(channel(c));
  }
  return io::format_png(out, 1);
}

std::string camera_json(const geometry::Camera& camera, const std::array<float, 3>& centre) {
  const geometry::Matrix4 world_from_camera = geometry::invert_rigid(camera.camera_from_world);
  nlohmann::ordered_json out;
  out["scale"] = 1.0;
  out["center"] = centre;
  for (std::size_t r = 0; r < 4; ++r)
    out["cam_param"].push_back(std::vector<double>(world_from_camera.begin() + static_cast<long>(4 * r), world_from_camera.begin() + static_cast<long>(4 * r + 4)));
  return out.dump() + "\n";
}

}  // namespace

void write_scene(const fs::path& folder, const std::vector<geometry::NamedCamera>& cameras,
                 const std::vector<RenderedView>& views, const body::PoseParams& params) {
  LAV_CHECK(cameras.size() == views.size(), "one picture per camera");
  fs::path temporary = folder;
  temporary += fmt::format(".{}.partial", ::getpid());
  std::error_code ignored;
  fs::remove_all(temporary, ignored);
  try {
    for (const char* part : {"rgb", "seg", "pose", "smplx"}) make_folder(temporary / part);
    std::vector<std::string> failures(views.size());
    const auto count = static_cast<std::int64_t>(views.size());
#pragma omp parallel for schedule(dynamic, 1)
    for (std::int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      try {
        io::write_png(temporary / "rgb" / (cameras[at].name + ".png"), views[at].colour, 1);
        write_file(temporary / "seg" / (cameras[at].name + "_0.png"), mask_png(views[at], 0));
        write_file(temporary / "seg" / (cameras[at].name + "_1.png"), mask_png(views[at], 3));
        write_file(temporary / "pose" / (cameras[at].name + ".json"), camera_json(cameras[at].camera, params.transl));
      } catch (const Error& e) {
        failures[at] = e.what();
      }
    }
    for (const auto& failure : failures)
      if (!failure.empty()) throw Error(ErrorKind::kOutput, failure);
    const std::vector<float> vector = body::pose_to_vector(params, body::PoseLayout::k189);
    io::write_npy(temporary / "smplx" / "smplx_param.npy", io::make_array<float>({189}, vector));
  } catch (...) {
    fs::remove_all(temporary, ignored);
    throw;
  }
  std::error_code error;
  fs::rename(temporary, folder, error);
  if (error) {
    fs::remove_all(temporary, ignored);
    throw Error(ErrorKind::kOutput, fmt::format("{}: cannot rename: {}", folder.string(), error.message()));
  }
}

Scene read_scene(const fs::path& folder, int image_size) {
  Scene out;
  out.name = folder.filename().string();
  const fs::path param_file = folder / "smplx" / "smplx_param.npy";
  const io::Array params = io::read_npy(param_file);
  try {
    out.params = body::pose_from_vector(io::to_floats(params));
  } catch (const Error& e) {
    reject(param_file, e.what());
  }
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder / "rgb", error))
    if (entry.path().extension() == ".png") names.push_back(entry.path().stem().string());
  if (names.empty()) reject(folder, "expected views in rgb/, found 0");
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    SceneView view;
    view.name = name;
    const fs::path pose_file = folder / "pose" / (name + ".json"), seg_file = folder / "seg" / (name + "_1.png"),
                   rgb_file = folder / "rgb" / (name + ".png");
    if (!fs::exists(pose_file)) reject(folder, fmt::format("view '{}' has no pose file", name));
    if (!fs::exists(seg_file)) reject(folder, fmt::format("view '{}' has no mask file", name));
    const auto matrices = geometry::parse_cam_param(read_file(pose_file), pose_file.string());
    if (matrices.size() != 1) reject(pose_file, fmt::format("expected 1 camera, found {}", matrices.size()));
    view.camera = {geometry::invert_rigid(matrices[0]), 5000.0 * image_size / 1024.0, image_size, image_size};
    const io::Image rgb = io::read_png(rgb_file), seg = io::read_png(seg_file);
    for (const auto* image : {&rgb, &seg})
      if (image->width != image_size || image->height != image_size)
        reject(image == &rgb ? rgb_file : seg_file, fmt::format("expected {0}x{0}, found {1}x{2}", image_size, image->width, image->height));
    if (rgb.channels < 3) reject(rgb_file, "expected 3 or 4 channels");
    if (seg.channels != 3) reject(seg_file, "expected 3 channels");
    int x0 = image_size, x1 = -1, y0 = image_size, y1 = -1;
    const auto step = static_cast<std::size_t>(rgb.channels);
    const auto pixel = [&](int x, int y) { return static_cast<std::size_t>(y) * static_cast<std::size_t>(image_size) + static_cast<std::size_t>(x); };
    for (int y = 0; y < image_size; ++y)
      for (int x = 0; x < image_size; ++x) {
        const std::uint8_t* c = rgb.pixels.data() + step * pixel(x, y);
        const std::uint8_t label = seg.pixels[3 * pixel(x, y)];
        if (label > 5) reject(seg_file, fmt::format("channel 'label' holds value {}; expected 0..5", label));
        if (label == 0 && c[0] == 255 && c[1] == 255 && c[2] == 255) continue;
        x0 = std::min(x0, x), x1 = std::max(x1, x), y0 = std::min(y0, y), y1 = std::max(y1, y);
      }
    if (x1 >= x0) {
      view.x = x0, view.y = y0, view.width = x1 - x0 + 1, view.height = y1 - y0 + 1;
      for (int y = y0; y <= y1; ++y)
        for (int x = x0; x <= x1; ++x) {
          const std::uint8_t* c = rgb.pixels.data() + step * pixel(x, y);
          view.colours.insert(view.colours.end(), c, c + 3);
          view.labels.push_back(seg.pixels[3 * pixel(x, y)]);
        }
    }
    out.views.push_back(std::move(view));
  }
  return out;
}

void expand_view(const SceneView& view, int size, float* colours, std::uint8_t* labels) {
  const int factor = size > 0 ? view.camera.width / size : 0;
  if (factor < 1 || factor * size != view.camera.width)
    throw Error(ErrorKind::kConfig, fmt::format("image size {} does not divide the data's {}", size, view.camera.width));
  const auto pixels = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  std::fill(colours, colours + 3 * pixels, 1.0F);
  std::fill(labels, labels + pixels, std::uint8_t{0});
  const float share = 1.0F / (255.0F * static_cast<float>(factor * factor));
  for (int v = 0; v < view.height; ++v)
    for (int u = 0; u < view.width; ++u) {
      const int x = view.x + u, y = view.y + v;
      const auto at = static_cast<std::size_t>(y / factor) * static_cast<std::size_t>(size) + static_cast<std::size_t>(x / factor);
      const auto from = static_cast<std::size_t>(v) * static_cast<std::size_t>(view.width) + static_cast<std::size_t>(u);
      for (std::size_t k = 0; k < 3; ++k) colours[k * pixels + at] -= share * static_cast<float>(255 - view.colours[3 * from + k]);
      if (x % factor == 0 && y % factor == 0) labels[at] = view.labels[from];
    }
}

}  // namespace layeravatar::data
