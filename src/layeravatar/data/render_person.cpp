#include "layeravatar/data/render_person.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "layeravatar/core/error.h"

namespace layeravatar::data {
namespace {

constexpr float kNear = 0.1F;

struct Texel {
  float c[4];
};

// Bilinear, clamped to the edge; v = 0 is the bottom of the image.
Texel sample(const io::Image& image, float u, float v) {
  const float x = std::clamp(u * static_cast<float>(image.width) - 0.5F, 0.0F, static_cast<float>(image.width - 1));
  const float y = std::clamp((1.0F - v) * static_cast<float>(image.height) - 0.5F, 0.0F, static_cast<float>(image.height - 1));
  const int x0 = static_cast<int>(x), y0 = static_cast<int>(y);
  const int x1 = std::min(x0 + 1, image.width - 1), y1 = std::min(y0 + 1, image.height - 1);
  const float fx = x - static_cast<float>(x0), fy = y - static_cast<float>(y0);
  const auto at = [&](int px, int py) {
    return image.pixels.data() + static_cast<std::int64_t>(image.channels) * (static_cast<std::int64_t>(py) * image.width + px);
  };
  const std::uint8_t *a = at(x0, y0), *b = at(x1, y0), *c = at(x0, y1), *d = at(x1, y1);
  Texel out{{0, 0, 0, 255}};
  for (int k = 0; k < image.channels; ++k)
    out.c[k] = (a[k] * (1 - fx) + b[k] * fx) * (1 - fy) + (c[k] * (1 - fx) + d[k] * fx) * fy;
  return out;
}

struct Sample {
  float depth = std::numeric_limits<float>::infinity();
  std::int32_t triangle = -1;
  float b1 = 0, b2 = 0;
};

struct Corner {
  float x, y, z;
};

std::array<float, 2> uv_at(const people::TexturedMesh& mesh, std::size_t triangle, float b1, float b2) {
  const auto& t = mesh.uv_triangles[triangle];
  std::array<float, 2> out;
  for (std::size_t k = 0; k < 2; ++k)
    out[k] = (1 - b1 - b2) * mesh.uvs[static_cast<std::size_t>(t[0])][k] + b1 * mesh.uvs[static_cast<std::size_t>(t[1])][k] +
             b2 * mesh.uvs[static_cast<std::size_t>(t[2])][k];
  return out;
}

}  // namespace

RenderedView render_view(const people::TexturedMesh& mesh, const geometry::Camera& camera, int supersample) {
  LAV_CHECK(supersample >= 1 && supersample <= 8, "supersample in 1..8");
  const int width = camera.width * supersample, height = camera.height * supersample;
  const auto s = static_cast<float>(supersample);
  std::vector<Corner> corners;
  corners.reserve(mesh.vertices.size());
  const auto& m = camera.camera_from_world;
  for (const auto& p : mesh.vertices) {
    double q[3];
    for (std::size_t r = 0; r < 3; ++r) q[r] = m[4 * r] * p[0] + m[4 * r + 1] * p[1] + m[4 * r + 2] * p[2] + m[4 * r + 3];
    // Pixel centres at integers: sample i of a pixel lies at (i + 0.5) / s - 0.5.
    const double x = camera.focal * q[0] / q[2] + (camera.width - 1) / 2.0, y = camera.focal * q[1] / q[2] + (camera.height - 1) / 2.0;
    corners.push_back({static_cast<float>((x + 0.5) * s - 0.5), static_cast<float>((y + 0.5) * s - 0.5), static_cast<float>(q[2])});
  }
  std::vector<Sample> samples(static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
  for (std::size_t t = 0; t < mesh.triangles.size(); ++t) {
    const Corner &a = corners[static_cast<std::size_t>(mesh.triangles[t][0])], &b = corners[static_cast<std::size_t>(mesh.triangles[t][1])],
                 &c = corners[static_cast<std::size_t>(mesh.triangles[t][2])];
    if (!(a.z > kNear && b.z > kNear && c.z > kNear)) continue;
    const float area = (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
    if (area == 0.0F || !std::isfinite(area)) continue;
    const auto from = [](float v, int limit) { return static_cast<int>(std::clamp(std::ceil(v), 0.0F, static_cast<float>(limit))); };
    const auto to = [](float v, int limit) { return static_cast<int>(std::clamp(std::floor(v), -1.0F, static_cast<float>(limit - 1))); };
    const int x0 = from(std::min({a.x, b.x, c.x}), width), x1 = to(std::max({a.x, b.x, c.x}), width);
    const int y0 = from(std::min({a.y, b.y, c.y}), height), y1 = to(std::max({a.y, b.y, c.y}), height);
    const io::Image& texture = mesh.material_list[static_cast<std::size_t>(mesh.materials[t])].texture;
    const bool cut = texture.channels == 4;
    const float inverse = 1.0F / area, za = 1.0F / a.z, zb = 1.0F / b.z, zc = 1.0F / c.z;
    for (int y = y0; y <= y1; ++y)
      for (int x = x0; x <= x1; ++x) {
        const auto fx = static_cast<float>(x), fy = static_cast<float>(y);
        const float b1 = ((fx - a.x) * (c.y - a.y) - (fy - a.y) * (c.x - a.x)) * inverse;
        const float b2 = ((b.x - a.x) * (fy - a.y) - (b.y - a.y) * (fx - a.x)) * inverse;
        if (b1 < 0 || b2 < 0 || b1 + b2 > 1) continue;
        const float depth = 1.0F / ((1 - b1 - b2) * za + b1 * zb + b2 * zc);
        Sample& out = samples[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)];
        if (depth >= out.depth) continue;
        const float p1 = b1 * zb * depth, p2 = b2 * zc * depth;
        if (cut) {
          const auto uv = uv_at(mesh, t, p1, p2);
          if (sample(texture, uv[0], uv[1]).c[3] < 255 * people::kAlphaTest) continue;
        }
        out = {depth, static_cast<std::int32_t>(t), p1, p2};
      }
  }
  RenderedView out;
  out.colour = {camera.width, camera.height, 4, {}};
  out.colour.pixels.reserve(4 * static_cast<std::size_t>(camera.width) * static_cast<std::size_t>(camera.height));
  out.labels.reserve(static_cast<std::size_t>(camera.width) * static_cast<std::size_t>(camera.height));
  const int per_pixel = supersample * supersample;
  for (int y = 0; y < camera.height; ++y)
    for (int x = 0; x < camera.width; ++x) {
      float sum[3] = {};
      int covered = 0, votes[6] = {};
      for (int sy = 0; sy < supersample; ++sy)
        for (int sx = 0; sx < supersample; ++sx) {
          const Sample& one = samples[static_cast<std::size_t>(y * supersample + sy) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x * supersample + sx)];
          if (one.triangle < 0) {
            for (float& c : sum) c += 255.0F;
            continue;
          }
          const auto t = static_cast<std::size_t>(one.triangle);
          const auto uv = uv_at(mesh, t, one.b1, one.b2);
          const Texel texel = sample(mesh.material_list[static_cast<std::size_t>(mesh.materials[t])].texture, uv[0], uv[1]);
          const auto& v = mesh.triangles[t];
          const float shade = (1 - one.b1 - one.b2) * mesh.shade[static_cast<std::size_t>(v[0])] +
                              one.b1 * mesh.shade[static_cast<std::size_t>(v[1])] + one.b2 * mesh.shade[static_cast<std::size_t>(v[2])];
          for (int k = 0; k < 3; ++k) sum[k] += texel.c[k] * shade;
          ++covered;
          ++votes[static_cast<int>(mesh.labels[t])];
        }
      for (const float c : sum) out.colour.pixels.push_back(static_cast<std::uint8_t>(std::clamp(c / static_cast<float>(per_pixel), 0.0F, 255.0F)));
      out.colour.pixels.push_back(static_cast<std::uint8_t>(255 * covered / per_pixel));
      const auto* best = std::max_element(votes, votes + 6);
      out.labels.push_back(2 * covered >= per_pixel ? static_cast<std::uint8_t>(best - votes) : std::uint8_t{0});
    }
  return out;
}

}  // namespace layeravatar::data
