#include "layeravatar/prepare/alignment.h"

#include <algorithm>
#include <array>
#include <vector>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/geometry/rasterize.h"

namespace layeravatar::prepare {

namespace fs = std::filesystem;

Alignment align(const fs::path& scene, const body::BodyModel& model, const body::PoseParams& params) {
  const body::PosedBody posed = body::pose(model, params);
  std::vector<std::array<float, 3>> vertices;
  for (std::size_t i = 0; i + 2 < posed.vertices.size(); i += 3) vertices.push_back({posed.vertices[i], posed.vertices[i + 1], posed.vertices[i + 2]});
  std::vector<std::array<std::int32_t, 3>> triangles;
  for (std::size_t i = 0; i + 2 < model.faces.size(); i += 3)
    triangles.push_back({static_cast<std::int32_t>(model.faces[i]), static_cast<std::int32_t>(model.faces[i + 1]), static_cast<std::int32_t>(model.faces[i + 2])});
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(scene / "rgb"))
    if (entry.path().extension() == ".png") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  LAV_CHECK(!names.empty(), "a scene without views");
  const std::size_t shown = std::min<std::size_t>(4, names.size());
  Alignment out;
  std::vector<io::Image> tiles;
  for (std::size_t v = 0; v < names.size(); ++v) {
    const fs::path file = scene / "rgb" / (names[v] + ".png"), pose = scene / "pose" / (names[v] + ".json");
    io::Image picture = io::read_png(file);
    if (picture.channels != 4) throw Error(ErrorKind::kInput, file.string() + ": image has no alpha channel; cannot find the silhouette");
    auto camera = geometry::cameras_at(geometry::parse_cam_param(read_file(pose), pose.string(), 1), picture.width)[0];
    camera.height = picture.height;
    const auto seen = geometry::rasterize(vertices, triangles, camera);
    std::int64_t both = 0, any = 0, body = 0;
    for (std::size_t p = 0; p < seen.triangle.size(); ++p) {
      const bool is_body = seen.triangle[p] >= 0, person = picture.pixels[4 * p + 3] >= 128;
      both += is_body && person ? 1 : 0;
      any += is_body || person ? 1 : 0;
      body += is_body ? 1 : 0;
      if (!is_body) continue;
      std::uint8_t* c = picture.pixels.data() + 4 * p;
      const std::array<int, 3> tint = person ? std::array{40, 90, 230} : std::array{230, 30, 30};
      const int part = person ? 1 : 3;  // of four
      for (std::size_t k = 0; k < 3; ++k) c[k] = static_cast<std::uint8_t>(((4 - part) * c[k] + part * tint[k]) / 4);
    }
    out.iou += any > 0 ? static_cast<double>(both) / static_cast<double>(any) : 0;
    out.inside += body > 0 ? static_cast<double>(both) / static_cast<double>(body) : 0;
    for (std::size_t s = 0; s < shown; ++s)
      if (v == s * names.size() / shown) tiles.push_back(picture);
  }
  out.iou /= static_cast<double>(names.size());
  out.inside /= static_cast<double>(names.size());
  for (const io::Image& tile : tiles) {
    out.overlay.width += tile.width;
    out.overlay.height = std::max(out.overlay.height, tile.height);
  }
  out.overlay.channels = 3;
  out.overlay.pixels.assign(3 * static_cast<std::size_t>(out.overlay.width) * static_cast<std::size_t>(out.overlay.height), 255);
  std::size_t left = 0;
  for (const io::Image& tile : tiles) {
    const auto width = static_cast<std::size_t>(tile.width);
    for (std::size_t y = 0; y < static_cast<std::size_t>(tile.height); ++y)
      for (std::size_t x = 0; x < width; ++x)
        for (std::size_t k = 0; k < 3; ++k)
          out.overlay.pixels[3 * (y * static_cast<std::size_t>(out.overlay.width) + left + x) + k] = tile.pixels[4 * (y * width + x) + k];
    left += width;
  }
  return out;
}

}  // namespace layeravatar::prepare
