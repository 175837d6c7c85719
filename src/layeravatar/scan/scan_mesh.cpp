#include "layeravatar/scan/scan_mesh.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/bytes.h"
#include "layeravatar/io/glb.h"
#include "layeravatar/io/jpeg.h"
#include "layeravatar/io/obj.h"

namespace layeravatar::scan {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxPixels = std::uint64_t{16384} * 16384;

[[noreturn]] void reject(const std::string& file, const std::string& what) { throw Error(ErrorKind::kInput, file + ": " + what); }

// Before memory is taken for them: a few bytes of PNG may stand for many pixels.
void check_png_size(std::string_view bytes, const std::string& file) {
  constexpr std::uint64_t kWidth = 16, kHeight = 20;
  if (bytes.size() < kHeight + 4) return;
  const auto big_endian = [&](std::uint64_t pos) {
    std::uint64_t out = 0;
    for (std::uint64_t i = 0; i < 4; ++i) out = out << 8U | static_cast<std::uint8_t>(bytes[pos + i]);
    return out;
  };
  const std::uint64_t width = big_endian(kWidth), height = big_endian(kHeight);
  if (width * height > kMaxPixels) reject(file, fmt::format("a texture of {}x{}; expected at most 16384x16384", width, height));
}

io::Image parse_texture(std::string_view bytes, const std::string& file) {
  if (bytes.starts_with("\xFF\xD8")) return io::parse_jpeg(bytes, file);
  if (!bytes.starts_with("\x89PNG")) reject(file, "not a PNG or JPEG file");
  check_png_size(bytes, file);
  return io::parse_png(bytes, file);
}

void drop_alpha(io::Image& image) {
  if (image.channels != 4) return;
  const std::size_t count = image.pixels.size() / 4;
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t k = 0; k < 3; ++k) image.pixels[3 * i + k] = image.pixels[4 * i + k];
  image.pixels.resize(3 * count);
  image.channels = 3;
}

bool any_below_test(const io::Image& image) {
  for (std::size_t i = 3; i < image.pixels.size(); i += 4)
    if (static_cast<float>(image.pixels[i]) < 255 * kAlphaTest) return true;
  return false;
}

ScanMesh from_glb(const fs::path& file) {
  io::GlbMesh glb = io::parse_glb(read_file(file), file.string());
  ScanMesh out;
  for (io::GlbMaterial& m : glb.material_list) {
    ScanMaterial material{m.name, {}};
    if (m.picture.empty()) {
      const auto srgb = [](float x) {
        const float c = std::clamp(x, 0.0F, 1.0F);
        return static_cast<std::uint8_t>(std::lround(255 * (c <= 0.0031308F ? 12.92F * c : 1.055F * std::pow(c, 1 / 2.4F) - 0.055F)));
      };
      material.texture = {1, 1, 3, {srgb(m.factor[0]), srgb(m.factor[1]), srgb(m.factor[2])}};
    } else {
      material.texture = parse_texture(m.picture, fmt::format("{}: material '{}'", file.string(), m.name));
      if (m.opaque) drop_alpha(material.texture);
      m.picture.clear();
    }
    out.material_list.push_back(std::move(material));
  }
  out.vertices = std::move(glb.vertices);
  out.uvs = std::move(glb.uvs);
  out.uv_triangles = glb.triangles;
  out.triangles = std::move(glb.triangles);
  out.materials = std::move(glb.materials);
  return out;
}

// The picture that lies beside a mesh; empty: none.
fs::path usual_texture(const fs::path& mesh) {
  const fs::path folder = mesh.parent_path();
  for (const fs::path& name : {fs::path("material0.jpeg"), fs::path("material0.jpg"), fs::path("material0.png"),
                               fs::path(mesh.stem()) += ".png", fs::path(mesh.stem()) += ".jpeg", fs::path(mesh.stem()) += ".jpg"})
    if (fs::exists(folder / name)) return folder / name;
  return {};
}

ScanMesh from_obj(const fs::path& file) {
  io::ObjMesh obj = io::read_obj(file, {.uvs = true, .materials = true, .polygons = true});
  ScanMesh out;
  const auto read = [](const fs::path& path) { return parse_texture(read_file(path), path.string()); };
  for (const auto& m : obj.material_list) {
    const fs::path texture = m.texture.empty() ? usual_texture(file) : file.parent_path() / m.texture;
    if (texture.empty()) reject(file.string(), fmt::format("material '{}' has no texture", m.name));
    out.material_list.push_back({m.name, read(texture)});
  }
  const auto bare = static_cast<std::int32_t>(obj.material_list.size());
  for (std::int32_t& m : obj.materials)
    if (m < 0) m = bare;
  if (std::find(obj.materials.begin(), obj.materials.end(), bare) != obj.materials.end()) {
    const fs::path texture = usual_texture(file);
    if (texture.empty()) reject(file.string(), "triangles without material, and no material0.jpeg beside it");
    out.material_list.push_back({"", read(texture)});
  }
  out.vertices = std::move(obj.vertices);
  out.uvs = std::move(obj.uvs);
  out.triangles = std::move(obj.triangles);
  out.uv_triangles = std::move(obj.uv_triangles);
  out.materials = std::move(obj.materials);
  return out;
}

}  // namespace

ScanMesh read_scan(const fs::path& file) {
  ScanMesh out = file.extension() == ".glb" ? from_glb(file) : from_obj(file);
  if (out.triangles.empty()) reject(file.string(), "holds no triangles");
  std::vector<bool> used(out.vertices.size());
  for (const Triangle& t : out.triangles)
    for (const std::int32_t id : t) used[static_cast<std::size_t>(id)] = true;
  const auto loose = static_cast<std::size_t>(std::count(used.begin(), used.end(), false));
  if (2 * loose > used.size())
    reject(file.string(), fmt::format("{} of {} vertices belong to no triangle; is the file cut short?", loose, used.size()));
  for (ScanMaterial& m : out.material_list)
    if (m.texture.channels == 4 && !any_below_test(m.texture)) drop_alpha(m.texture);
  return out;
}

bool is_hole(const ScanMesh& mesh, std::size_t triangle, const std::array<float, 3>& barycentric) {
  const io::Image& texture = mesh.material_list[static_cast<std::size_t>(mesh.materials[triangle])].texture;
  if (texture.channels != 4) return false;
  float u = 0, v = 0;
  for (std::size_t k = 0; k < 3; ++k) {
    const auto& uv = mesh.uvs[static_cast<std::size_t>(mesh.uv_triangles[triangle][k])];
    u += barycentric[k] * uv[0], v += barycentric[k] * uv[1];
  }
  const auto texel = [](float at, int size) { return static_cast<std::size_t>(std::clamp(at * static_cast<float>(size), 0.0F, static_cast<float>(size - 1))); };
  const std::size_t at = texel(1 - v, texture.height) * static_cast<std::size_t>(texture.width) + texel(u, texture.width);
  return static_cast<float>(texture.pixels[4 * at + 3]) < 255 * kAlphaTest;
}

Surface surface_of(const ScanMesh& mesh) {
  return {mesh.vertices, mesh.uvs, mesh.triangles, mesh.uv_triangles, mesh.materials, {}, {}, {}, {}};
}

std::vector<TexturePyramid> textures_of(const ScanMesh& mesh) {
  std::vector<TexturePyramid> out;
  for (const ScanMaterial& m : mesh.material_list) out.emplace_back(m.texture, TexturePyramid::kAllLevels);
  return out;
}

}  // namespace layeravatar::scan
