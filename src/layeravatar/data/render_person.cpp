#include "layeravatar/data/render_person.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "layeravatar/core/error.h"

namespace layeravatar::data {
namespace {

constexpr float kNear = 0.1F;
constexpr std::size_t kLabels = 6;

struct Sample {
  float depth = std::numeric_limits<float>::infinity();
  std::int32_t triangle = -1;
  float b1 = 0, b2 = 0;  // perspective-correct weights of the second and third corner
};

struct Corner {
  float x, y, z;
};

// Twice the signed area of a sample and an edge. Starting at the lower vertex id, the two triangles of an edge get the
// same number with opposite signs, whatever the rounding: no sample falls between them.
struct Edge {
  float x, y, dx, dy, sign;
  Edge(const std::vector<Corner>& corners, std::int32_t from, std::int32_t to) {
    const Corner &a = corners[static_cast<std::size_t>(std::min(from, to))],
                 &b = corners[static_cast<std::size_t>(std::max(from, to))];
    x = a.x, y = a.y, dx = b.x - a.x, dy = b.y - a.y, sign = from < to ? 1.0F : -1.0F;
  }
  [[nodiscard]] float operator()(float px, float py) const { return sign * (dx * (py - y) - dy * (px - x)); }
};

std::array<float, 2> uv_at(const people::TexturedMesh& mesh, std::size_t triangle, float b1, float b2) {
  const auto& t = mesh.uv_triangles[triangle];
  const auto &a = mesh.uvs[static_cast<std::size_t>(t[0])], &b = mesh.uvs[static_cast<std::size_t>(t[1])],
             &c = mesh.uvs[static_cast<std::size_t>(t[2])];
  const float b0 = 1 - b1 - b2;
  return {b0 * a[0] + b1 * b[0] + b2 * c[0], b0 * a[1] + b1 * b[1] + b2 * c[1]};
}

// log2 of texels per sample along one axis, from the ratio of areas.
float texture_level(const people::TexturedMesh& mesh, std::size_t triangle, const TexturePyramid& texture,
                    const std::vector<Corner>& corners) {
  const auto& t = mesh.uv_triangles[triangle];
  const auto &a = mesh.uvs[static_cast<std::size_t>(t[0])], &b = mesh.uvs[static_cast<std::size_t>(t[1])],
             &c = mesh.uvs[static_cast<std::size_t>(t[2])];
  const auto& v = mesh.triangles[triangle];
  const Corner &p = corners[static_cast<std::size_t>(v[0])], &q = corners[static_cast<std::size_t>(v[1])],
               &r = corners[static_cast<std::size_t>(v[2])];
  const float texels = std::abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) *
                       static_cast<float>(texture.width()) * static_cast<float>(texture.height());
  const float samples = std::abs((q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x));
  if (texels <= samples) return 0;
  return samples > 0 ? 0.5F * std::log2(texels / samples) : 99.0F;
}

std::vector<Corner> project_to_samples(const people::TexturedMesh& mesh, const geometry::Camera& camera,
                                       int supersample) {
  std::vector<Corner> out;
  out.reserve(mesh.vertices.size());
  const auto& m = camera.camera_from_world;
  for (const auto& p : mesh.vertices) {
    double q[3];
    for (std::size_t r = 0; r < 3; ++r)
      q[r] = m[4 * r] * p[0] + m[4 * r + 1] * p[1] + m[4 * r + 2] * p[2] + m[4 * r + 3];
    // Pixel centres at integers: sample i of a pixel lies at (i + 0.5) / s - 0.5.
    const double x = camera.focal * q[0] / q[2] + (camera.width - 1) / 2.0,
                 y = camera.focal * q[1] / q[2] + (camera.height - 1) / 2.0;
    out.push_back({static_cast<float>((x + 0.5) * supersample - 0.5), static_cast<float>((y + 0.5) * supersample - 0.5),
                   static_cast<float>(q[2])});
  }
  return out;
}

}  // namespace

PersonRenderer::PersonRenderer(const people::TexturedMesh& mesh) : mesh_(mesh) {
  const std::size_t count = mesh.triangles.size();
  LAV_CHECK(mesh.uv_triangles.size() == count && mesh.labels.size() == count && mesh.materials.size() == count,
            "one entry per triangle");
  LAV_CHECK(mesh.shade.size() == mesh.vertices.size(), "one shade per vertex");
  const auto inside = [](std::int32_t id, std::size_t size) { return id >= 0 && static_cast<std::size_t>(id) < size; };
  for (std::size_t t = 0; t < count; ++t) {
    for (std::size_t k = 0; k < 3; ++k)
      LAV_CHECK(inside(mesh.triangles[t][k], mesh.vertices.size()) && inside(mesh.uv_triangles[t][k], mesh.uvs.size()),
                "triangle index out of range");
    LAV_CHECK(inside(mesh.materials[t], mesh.material_list.size()) &&
                  inside(static_cast<std::int32_t>(mesh.labels[t]), kLabels),
              "material or label out of range");
  }
  for (const auto& material : mesh.material_list) textures_.emplace_back(material.texture);
}

RenderedView PersonRenderer::view(const geometry::Camera& camera, int supersample) const {
  LAV_CHECK(supersample >= 1 && supersample <= 8, "supersample in 1..8");
  const int width = camera.width * supersample, height = camera.height * supersample;
  const auto row = static_cast<std::size_t>(width);
  const std::vector<Corner> corners = project_to_samples(mesh_, camera, supersample);
  std::vector<Sample> samples(row * static_cast<std::size_t>(height));
  for (std::size_t t = 0; t < mesh_.triangles.size(); ++t) {
    const auto& ids = mesh_.triangles[t];
    const Corner &a = corners[static_cast<std::size_t>(ids[0])], &b = corners[static_cast<std::size_t>(ids[1])],
                 &c = corners[static_cast<std::size_t>(ids[2])];
    if (!(a.z > kNear && b.z > kNear && c.z > kNear)) continue;
    const auto from = [](float v, int limit) {
      return static_cast<int>(std::clamp(std::ceil(v), 0.0F, static_cast<float>(limit)));
    };
    const auto to = [](float v, int limit) {
      return static_cast<int>(std::clamp(std::floor(v), -1.0F, static_cast<float>(limit - 1)));
    };
    const int x0 = from(std::min({a.x, b.x, c.x}), width), x1 = to(std::max({a.x, b.x, c.x}), width);
    const int y0 = from(std::min({a.y, b.y, c.y}), height), y1 = to(std::max({a.y, b.y, c.y}), height);
    const Edge opposite_a(corners, ids[1], ids[2]), opposite_b(corners, ids[2], ids[0]),
        opposite_c(corners, ids[0], ids[1]);
    const TexturePyramid& texture = textures_[static_cast<std::size_t>(mesh_.materials[t])];
    const float za = 1.0F / a.z, zb = 1.0F / b.z, zc = 1.0F / c.z;
    for (int y = y0; y <= y1; ++y)
      for (int x = x0; x <= x1; ++x) {
        const auto fx = static_cast<float>(x), fy = static_cast<float>(y);
        const float ea = opposite_a(fx, fy), eb = opposite_b(fx, fy), ec = opposite_c(fx, fy);
        if (!((ea >= 0 && eb >= 0 && ec >= 0) || (ea <= 0 && eb <= 0 && ec <= 0))) continue;
        const float wa = ea * za, wb = eb * zb, wc = ec * zc;
        const float inverse = 1.0F / (wa + wb + wc), depth = (ea + eb + ec) * inverse;
        Sample& out = samples[static_cast<std::size_t>(y) * row + static_cast<std::size_t>(x)];
        if (!(depth < out.depth)) continue;  // also where the triangle has no area
        const float b1 = wb * inverse, b2 = wc * inverse;
        if (texture.has_alpha()) {
          const auto uv = uv_at(mesh_, t, b1, b2);
          if (texture.alpha(uv[0], uv[1]) < 255 * people::kAlphaTest) continue;
        }
        out = {depth, static_cast<std::int32_t>(t), b1, b2};
      }
  }
  std::vector<float> levels(mesh_.triangles.size(), -1.0F);
  RenderedView out;
  const auto pixels = static_cast<std::size_t>(camera.width) * static_cast<std::size_t>(camera.height);
  out.colour = {camera.width, camera.height, 4, {}};
  out.colour.pixels.reserve(4 * pixels);
  out.labels.reserve(pixels);
  const int per_pixel = supersample * supersample;
  for (int y = 0; y < camera.height; ++y)
    for (int x = 0; x < camera.width; ++x) {
      float sum[3] = {};
      int covered = 0, votes[kLabels] = {};
      for (int i = 0; i < per_pixel; ++i) {
        const auto sy = static_cast<std::size_t>(y * supersample + i / supersample),
                   sx = static_cast<std::size_t>(x * supersample + i % supersample);
        const Sample& one = samples[sy * row + sx];
        if (one.triangle < 0) {
          for (float& c : sum) c += 255.0F;
          continue;
        }
        const auto t = static_cast<std::size_t>(one.triangle);
        const TexturePyramid& texture = textures_[static_cast<std::size_t>(mesh_.materials[t])];
        if (levels[t] < 0) levels[t] = texture_level(mesh_, t, texture, corners);
        const auto uv = uv_at(mesh_, t, one.b1, one.b2);
        const auto texel = texture.colour(uv[0], uv[1], levels[t]);
        const auto& v = mesh_.triangles[t];
        const float shade = (1 - one.b1 - one.b2) * mesh_.shade[static_cast<std::size_t>(v[0])] +
                            one.b1 * mesh_.shade[static_cast<std::size_t>(v[1])] +
                            one.b2 * mesh_.shade[static_cast<std::size_t>(v[2])];
        for (std::size_t k = 0; k < 3; ++k) sum[k] += texel[k] * shade;
        ++covered;
        ++votes[static_cast<std::size_t>(mesh_.labels[t])];
      }
      // A thousandth keeps a constant colour, which float sums may miss from below, from losing one in the truncation.
      for (const float c : sum)
        out.colour.pixels.push_back(
            static_cast<std::uint8_t>(std::clamp(c / static_cast<float>(per_pixel) + 1e-3F, 0.0F, 255.0F)));
      out.colour.pixels.push_back(static_cast<std::uint8_t>(255 * covered / per_pixel));
      out.labels.push_back(2 * covered >= per_pixel
                               ? static_cast<std::uint8_t>(std::max_element(votes, votes + kLabels) - votes)
                               : std::uint8_t{0});
    }
  return out;
}

RenderedView render_view(const people::TexturedMesh& mesh, const geometry::Camera& camera, int supersample) {
  return PersonRenderer(mesh).view(camera, supersample);
}

}  // namespace layeravatar::data
