#include "layeravatar/data/packed_scenes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/sha1.h"

namespace layeravatar::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kMagic = "LAVSCN01";
constexpr std::size_t kPreamble = 16;

// A whole file, read-only; the pages come and go as the system likes.
class MappedFile {
 public:
  static std::shared_ptr<const MappedFile> open(const fs::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return nullptr;
    struct stat info {};
    void* data = MAP_FAILED;
    if (::fstat(descriptor, &info) == 0 && info.st_size > 0)
      data = ::mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ, MAP_SHARED, descriptor, 0);
    ::close(descriptor);
    if (data == MAP_FAILED) return nullptr;
    return std::shared_ptr<const MappedFile>(new MappedFile(data, static_cast<std::size_t>(info.st_size)));
  }
  ~MappedFile() { ::munmap(data_, size_); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return {static_cast<const std::uint8_t*>(data_), size_}; }

 private:
  MappedFile(void* data, std::size_t size) : data_(data), size_(size) {}
  void* data_;
  std::size_t size_;
};

// Throws json::exception or Error for anything that does not fit.
SceneView view_from(const json& entry, int size, std::span<const std::uint8_t> pixels) {
  SceneView out;
  out.name = entry.at("name").get<std::string>();
  out.camera = {entry.at("camera_from_world").get<geometry::Matrix4>(), entry.at("focal").get<double>(), size, size};
  const auto cut = entry.at("cut").get<std::array<int, 4>>();
  out.x = cut[0], out.y = cut[1], out.width = cut[2], out.height = cut[3];
  LAV_CHECK(
      std::min({out.x, out.y, out.width, out.height}) >= 0 && out.width <= size - out.x && out.height <= size - out.y,
      "cut");
  const auto offset = entry.at("offset").get<std::size_t>();
  const auto area = static_cast<std::size_t>(out.width) * static_cast<std::size_t>(out.height);
  LAV_CHECK(offset <= pixels.size() && 4 * area <= pixels.size() - offset, "offset");
  out.colours = pixels.subspan(offset, 3 * area);
  out.labels = pixels.subspan(offset + 3 * area, area);
  return out;
}

}  // namespace

std::string scenes_key(const std::vector<fs::path>& folders, int image_size) {
  std::string all = fmt::format("{} {}\n", kMagic, image_size);
  for (const fs::path& folder : folders) {
    std::vector<std::string> lines;
    for (const char* part : {"rgb", "seg", "pose", "smplx"}) {
      std::error_code error;
      for (const auto& entry : fs::directory_iterator(folder / part, error)) {
        struct stat info {};
        if (::stat(entry.path().c_str(), &info) != 0) continue;
        lines.push_back(fmt::format("{}/{} {} {}.{:09}\n", part, entry.path().filename().string(), info.st_size,
                                    info.st_mtim.tv_sec, info.st_mtim.tv_nsec));
      }
    }
    std::sort(lines.begin(), lines.end());
    all += folder.filename().string() + "\n";
    for (const auto& line : lines) all += line;
  }
  return io::sha1_hex(all);
}

void write_packed_scenes(const fs::path& file, const std::vector<Scene>& scenes, const std::string& key) {
  LAV_CHECK(!scenes.empty() && !scenes[0].views.empty(), "scenes to pack");
  json header = {{"key", key}, {"image_size", scenes[0].views[0].camera.width}, {"scenes", json::array()}};
  std::size_t offset = 0;
  for (const Scene& scene : scenes) {
    json views = json::array();
    for (const SceneView& view : scene.views) {
      views.push_back({{"name", view.name},
                       {"camera_from_world", view.camera.camera_from_world},
                       {"focal", view.camera.focal},
                       {"cut", {view.x, view.y, view.width, view.height}},
                       {"offset", offset}});
      offset += view.colours.size() + view.labels.size();
    }
    header["scenes"].push_back({{"name", scene.name},
                                {"params", body::pose_to_vector(scene.params, body::PoseLayout::k189)},
                                {"views", std::move(views)}});
  }
  const std::string text = header.dump();
  const std::uint64_t length = text.size();
  AtomicFile out(file);
  out.write(kMagic);
  out.write(std::as_bytes(std::span(&length, 1)));
  out.write(text);
  for (const Scene& scene : scenes)
    for (const SceneView& view : scene.views) {
      out.write(std::as_bytes(view.colours));
      out.write(std::as_bytes(view.labels));
    }
  out.commit();
}

std::optional<std::vector<Scene>> map_packed_scenes(const fs::path& file, const std::string& key) {
  const auto mapped = MappedFile::open(file);
  if (mapped == nullptr) return std::nullopt;
  const auto bytes = mapped->bytes();
  std::uint64_t length = 0;
  if (bytes.size() < kPreamble || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) return std::nullopt;
  std::memcpy(&length, bytes.data() + kMagic.size(), sizeof length);
  if (length > bytes.size() - kPreamble) return std::nullopt;
  try {
    const json header =
        json::parse(bytes.begin() + kPreamble, bytes.begin() + static_cast<std::ptrdiff_t>(kPreamble + length));
    if (header.at("key").get<std::string>() != key) return std::nullopt;
    const int size = header.at("image_size").get<int>();
    std::vector<Scene> out;
    for (const json& entry : header.at("scenes")) {
      Scene scene;
      scene.name = entry.at("name").get<std::string>();
      scene.params = body::pose_from_vector(entry.at("params").get<std::vector<float>>());
      for (const json& view : entry.at("views"))
        scene.views.push_back(view_from(view, size, bytes.subspan(kPreamble + length)));
      scene.pixels = mapped;
      out.push_back(std::move(scene));
    }
    return out;
  } catch (const std::exception&) {
    return std::nullopt;  // damaged: made again
  }
}

}  // namespace layeravatar::data
