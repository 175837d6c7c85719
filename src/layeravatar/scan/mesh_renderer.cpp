#include "layeravatar/scan/mesh_renderer.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cmath>
#include <limits>

#include "layeravatar/core/error.h"

namespace layeravatar::scan {
namespace {

// Highway has no four lanes where SSE2 is all that a build may assume.
using Four = float __attribute__((vector_size(16)));
using FourSigns = std::int32_t __attribute__((vector_size(16)));

Four least(Four a, Four b) { return a < b ? a : b; }
Four most(Four a, Four b) { return a > b ? a : b; }

// A bit for each lane that is set.
unsigned bits_of(FourSigns lanes) {
#if defined(__SSE2__)
  return static_cast<unsigned>(_mm_movemask_ps(reinterpret_cast<__m128>(lanes)));
#else
  return (lanes[0] & 1) | (lanes[1] & 2) | (lanes[2] & 4) | (lanes[3] & 8);
#endif
}

constexpr float kNear = 0.1F;

struct Corner {
  float x, y, z;  // samples; z is -1 where a triangle must be skipped
};

// Twice the signed area of a sample and an edge. Starting at the lower vertex id, the two triangles of an edge get the
// same number with opposite signs, whatever the rounding: no sample falls between them.
struct Edge {
  float x = 0, y = 0, dx = 0, dy = 0;
  Edge() = default;
  Edge(const Corner& from, const Corner& to, bool forward) {
    const Corner &a = forward ? from : to, &b = forward ? to : from;
    x = a.x, y = a.y;
    // The sign of the sum is turned by turning both of its terms.
    dx = forward ? b.x - a.x : a.x - b.x, dy = forward ? b.y - a.y : a.y - b.y;
  }
  [[nodiscard]] float operator()(float px, float py) const { return dx * (py - y) - dy * (px - x); }
  [[nodiscard]] Four operator()(Four px, float py) const {
    return dx * (py - y) - dy * (px - x);
  }
};

struct Edges {
  Edge a, b, c;  // opposite to the corners
  float za = 0, zb = 0, zc = 0;
  Edges() = default;
  Edges(const Triangle& ids, const Corner& p, const Corner& q, const Corner& r)
      : a(q, r, ids[1] < ids[2]), b(r, p, ids[2] < ids[0]), c(p, q, ids[0] < ids[1]), za(1.0F / p.z), zb(1.0F / q.z), zc(1.0F / r.z) {}
};

struct Weights {
  float b1, b2;  // perspective-correct, of the second and third corner
};

// Samples of the part of the picture that the mesh can reach.
struct Samples {
  int x0 = 0, y0 = 0, width = 0, height = 0;  // a whole number of pixels
  std::vector<float> depth;
  std::vector<std::int32_t> triangle;
};

std::array<float, 2> uv_at(const Surface& s, std::size_t triangle, const Weights& w) {
  const auto& t = s.uv_triangles[triangle];
  const auto &a = s.uvs[static_cast<std::size_t>(t[0])], &b = s.uvs[static_cast<std::size_t>(t[1])],
             &c = s.uvs[static_cast<std::size_t>(t[2])];
  const float b0 = 1 - w.b1 - w.b2;
  return {b0 * a[0] + w.b1 * b[0] + w.b2 * c[0], b0 * a[1] + w.b1 * b[1] + w.b2 * c[1]};
}

// log2 of texels per sample along one axis, from the ratio of areas.
float texture_level(const Surface& s, std::size_t triangle, const TexturePyramid& texture, const std::vector<Corner>& corners) {
  const auto& t = s.uv_triangles[triangle];
  const auto &a = s.uvs[static_cast<std::size_t>(t[0])], &b = s.uvs[static_cast<std::size_t>(t[1])],
             &c = s.uvs[static_cast<std::size_t>(t[2])];
  const auto& v = s.triangles[triangle];
  const Corner &p = corners[static_cast<std::size_t>(v[0])], &q = corners[static_cast<std::size_t>(v[1])],
               &r = corners[static_cast<std::size_t>(v[2])];
  const float texels = std::abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) *
                       static_cast<float>(texture.width()) * static_cast<float>(texture.height());
  const float samples = std::abs((q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x));
  if (texels <= samples) return 0;
  return samples > 0 ? 0.5F * std::log2(texels / samples) : 99.0F;
}

std::vector<Corner> project_to_samples(std::span<const Point> vertices, const geometry::Camera& camera, int supersample) {
  std::vector<Corner> out;
  out.reserve(vertices.size());
  const auto& m = camera.camera_from_world;
  for (const auto& p : vertices) {
    double q[3];
    for (std::size_t r = 0; r < 3; ++r)
      q[r] = m[4 * r] * p[0] + m[4 * r + 1] * p[1] + m[4 * r + 2] * p[2] + m[4 * r + 3];
    // Pixel centres at integers: sample i of a pixel lies at (i + 0.5) / s - 0.5.
    const double x = camera.focal * q[0] / q[2] + (camera.width - 1) / 2.0,
                 y = camera.focal * q[1] / q[2] + (camera.height - 1) / 2.0;
    const Corner c{static_cast<float>((x + 0.5) * supersample - 0.5), static_cast<float>((y + 0.5) * supersample - 0.5),
                   static_cast<float>(q[2])};
    out.push_back(c.z > kNear && std::isfinite(c.x + c.y + c.z) ? c : Corner{0, 0, -1});
  }
  return out;
}

// The first and last whole number of low..high - 1 that is not below or above; high and low - 1 where there is none.
// Without std::ceil and std::floor, which are calls on processors before SSE4.
int first_inside(float v, int low, int high) {
  const float inside = std::clamp(v, static_cast<float>(low), static_cast<float>(high));
  const int whole = static_cast<int>(inside);
  return whole + (static_cast<float>(whole) < inside ? 1 : 0);
}
int last_inside(float v, int low, int high) {
  const float inside = std::clamp(v, static_cast<float>(low - 1), static_cast<float>(high - 1));
  const int whole = static_cast<int>(inside);
  return whole - (static_cast<float>(whole) > inside ? 1 : 0);
}

Samples part_of(const std::vector<Corner>& corners, const geometry::Camera& camera, int supersample) {
  constexpr float kFar = std::numeric_limits<float>::max();
  float low[2] = {kFar, kFar}, high[2] = {-kFar, -kFar};
  for (const Corner& c : corners) {
    if (c.z < 0) continue;
    low[0] = std::min(low[0], c.x), low[1] = std::min(low[1], c.y);
    high[0] = std::max(high[0], c.x), high[1] = std::max(high[1], c.y);
  }
  Samples out;
  const auto place = [&](int k, int pixels, int& begin, int& size) {
    const int first = first_inside(low[k], 0, pixels * supersample) / supersample;
    const int last = (last_inside(high[k], 0, pixels * supersample) + supersample) / supersample;
    begin = first * supersample, size = std::max(0, last - first) * supersample;
  };
  place(0, camera.width, out.x0, out.width);
  place(1, camera.height, out.y0, out.height);
  const std::size_t count = static_cast<std::size_t>(out.width) * static_cast<std::size_t>(out.height);
  out.depth.assign(count, std::numeric_limits<float>::infinity());
  out.triangle.assign(count, -1);
  return out;
}

// The nearest triangle of each sample.
Samples see(const Surface& s, const std::vector<TexturePyramid>& textures, const std::vector<Corner>& corners,
            const geometry::Camera& camera, int supersample) {
  Samples out = part_of(corners, camera, supersample);
  const auto row = static_cast<std::size_t>(out.width);
  constexpr float kBelow = 1 - 1e-5F;  // of a depth, more than its rounding
  for (std::size_t t = 0; t < s.triangles.size(); ++t) {
    const auto& ids = s.triangles[t];
    const Corner &p = corners[static_cast<std::size_t>(ids[0])], &q = corners[static_cast<std::size_t>(ids[1])],
                 &r = corners[static_cast<std::size_t>(ids[2])];
    if (p.z < 0 || q.z < 0 || r.z < 0) continue;
    const int x0 = first_inside(std::min({p.x, q.x, r.x}), out.x0, out.x0 + out.width),
              x1 = last_inside(std::max({p.x, q.x, r.x}), out.x0, out.x0 + out.width);
    if (x0 > x1) continue;
    const int y0 = first_inside(std::min({p.y, q.y, r.y}), out.y0, out.y0 + out.height),
              y1 = last_inside(std::max({p.y, q.y, r.y}), out.y0, out.y0 + out.height);
    if (y0 > y1) continue;
    const Edges e(ids, p, q, r);
    const float nearest = std::min({p.z, q.z, r.z});
    const TexturePyramid& texture = textures[static_cast<std::size_t>(s.materials[t])];
    for (int y = y0; y <= y1; ++y) {
      const std::size_t begin = static_cast<std::size_t>(y - out.y0) * row;
      const auto fy = static_cast<float>(y);
      for (int four = x0; four <= x1; four += 4) {
        const auto first = static_cast<float>(four);
        const Four fx4{first, first + 1, first + 2, first + 3};
        const Four a = e.a(fx4, fy), b = e.b(fx4, fy), c = e.c(fx4, fy);
        const unsigned outside = bits_of((least(least(a, b), c) < 0) & (most(most(a, b), c) > 0));
        unsigned inside = ~outside & (x1 - four >= 3 ? 15U : (2U << static_cast<unsigned>(x1 - four)) - 1);
        for (; inside != 0; inside &= inside - 1) {
          const int x = four + __builtin_ctz(inside);
          const std::size_t at = begin + static_cast<std::size_t>(x - out.x0);
          if (!(kBelow * nearest < out.depth[at])) continue;  // farther in any case
          const auto fx = static_cast<float>(x);
          const float ea = e.a(fx, fy), eb = e.b(fx, fy), ec = e.c(fx, fy);
          const float wa = ea * e.za, wb = eb * e.zb, wc = ec * e.zc;
          const float inverse = 1.0F / (wa + wb + wc), depth = (ea + eb + ec) * inverse;
          if (!(depth < out.depth[at])) continue;  // also where the triangle has no area
          if (texture.has_alpha()) {
            const auto uv = uv_at(s, t, {wb * inverse, wc * inverse});
            if (texture.alpha(uv[0], uv[1]) < 255 * kAlphaTest) continue;
          }
          out.depth[at] = depth;
          out.triangle[at] = static_cast<std::int32_t>(t);
        }
      }
    }
  }
  return out;
}

template <class T>
float mix(std::span<const T> values, const Triangle& v, const Weights& w) {
  return (1 - w.b1 - w.b2) * values[static_cast<std::size_t>(v[0])] + w.b1 * values[static_cast<std::size_t>(v[1])] +
         w.b2 * values[static_cast<std::size_t>(v[2])];
}

Point mix(std::span<const Point> values, const Triangle& v, const Weights& w) {
  Point out{};
  for (std::size_t k = 0; k < 3; ++k)
    out[k] = (1 - w.b1 - w.b2) * values[static_cast<std::size_t>(v[0])][k] + w.b1 * values[static_cast<std::size_t>(v[1])][k] +
             w.b2 * values[static_cast<std::size_t>(v[2])][k];
  return out;
}

float dot(const Point& a, const Point& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

Point unit(Point p) {
  const float length = std::sqrt(dot(p, p));
  if (length > 0)
    for (float& x : p) x /= length;
  return p;
}

// A thousandth keeps a constant colour, which float sums may miss from below, from losing one in the truncation.
std::uint8_t to_byte(float value) { return static_cast<std::uint8_t>(std::clamp(value + 1e-3F, 0.0F, 255.0F)); }

}  // namespace

MeshRenderer::MeshRenderer(const Surface& surface, std::vector<TexturePyramid> textures)
    : surface_(surface), textures_(std::move(textures)) {
  const Surface& s = surface_;
  const std::size_t count = s.triangles.size();
  LAV_CHECK(s.uv_triangles.size() == count && s.materials.size() == count && (s.labels.empty() || s.labels.size() == count),
            "one entry per triangle");
  for (const std::size_t size : {s.shade.size(), s.normals.size(), s.openness.size()})
    LAV_CHECK(size == 0 || size == s.vertices.size(), "one entry per vertex");
  const auto inside = [](std::int32_t id, std::size_t size) { return id >= 0 && static_cast<std::size_t>(id) < size; };
  for (std::size_t t = 0; t < count; ++t) {
    for (std::size_t k = 0; k < 3; ++k)
      LAV_CHECK(inside(s.triangles[t][k], s.vertices.size()) && inside(s.uv_triangles[t][k], s.uvs.size()),
                "triangle index out of range");
    LAV_CHECK(inside(s.materials[t], textures_.size()) && (s.labels.empty() || s.labels[t] < kLabels),
              "material or label out of range");
  }
}

std::size_t MeshRenderer::count_hits(const geometry::Camera& camera, int supersample) const {
  const Samples samples =
      see(surface_, textures_, project_to_samples(surface_.vertices, camera, supersample), camera, supersample);
  return static_cast<std::size_t>(std::count_if(samples.triangle.begin(), samples.triangle.end(), [](std::int32_t t) { return t >= 0; }));
}

MeshView MeshRenderer::view(const geometry::Camera& camera, int supersample, const Wanted& wanted) const {
  const Surface& s = surface_;
  LAV_CHECK(supersample >= 1 && supersample <= 8, "supersample in 1..8");
  LAV_CHECK((!wanted.normals && !wanted.lit) || !s.normals.empty(), "normals are wanted");
  LAV_CHECK((!wanted.ambient && !wanted.lit) || !s.openness.empty(), "openness is wanted");
  LAV_CHECK(!wanted.labels || !s.labels.empty(), "labels are wanted");
  const std::vector<Corner> corners = project_to_samples(s.vertices, camera, supersample);
  const Samples samples = see(s, textures_, corners, camera, supersample);

  const auto pixels = static_cast<std::size_t>(camera.width) * static_cast<std::size_t>(camera.height);
  const auto white = [&] {
    io::Image out{camera.width, camera.height, 4, std::vector<std::uint8_t>(4 * pixels, 255)};
    for (std::size_t i = 3; i < out.pixels.size(); i += 4) out.pixels[i] = 0;
    return out;
  };
  MeshView out;
  out.colour = white();
  if (wanted.ambient) out.ambient = white();
  if (wanted.lit) out.lit = white();
  if (wanted.labels) out.labels.assign(pixels, 0);
  if (wanted.depth) out.depth.assign(pixels, 0.0F);
  if (wanted.normals) out.normals = {camera.width, camera.height, 4, std::vector<std::uint8_t>(4 * pixels, 0)};
  const auto& m = camera.camera_from_world;
  const auto axis = [&](std::size_t r) {
    return Point{static_cast<float>(m[4 * r]), static_cast<float>(m[4 * r + 1]), static_cast<float>(m[4 * r + 2])};
  };
  const Point right = axis(0), down = axis(1), forward = axis(2);
  const auto eye_in_world = camera.centre();
  const Point eye{static_cast<float>(eye_in_world[0]), static_cast<float>(eye_in_world[1]), static_cast<float>(eye_in_world[2])};
  Point to_lamp{};
  for (std::size_t k = 0; k < 3; ++k) to_lamp[k] = -forward[k] - 0.5F * right[k] - 0.8F * down[k];
  to_lamp = unit(to_lamp);

  const int per_pixel = supersample * supersample;
  const auto share = static_cast<float>(per_pixel);
  std::int32_t last = -1;
  Edges e;
  float level = 0;
  for (int py = 0; py < samples.height / supersample; ++py)
    for (int px = 0; px < samples.width / supersample; ++px) {
      bool nothing = true;
      for (int sy = py * supersample; sy < (py + 1) * supersample; ++sy) {
        const std::int32_t* const row = samples.triangle.data() + static_cast<std::size_t>(sy) * static_cast<std::size_t>(samples.width);
        for (int sx = px * supersample; sx < (px + 1) * supersample; ++sx) nothing = nothing && row[sx] < 0;
      }
      if (nothing) continue;
      float sum[3] = {}, ambient[3] = {}, lit[3] = {}, nearest = std::numeric_limits<float>::infinity();
      Point normals{};
      int covered = 0, votes[kLabels] = {};
      const auto add_sample = [&](int sy, int sx) {
        const std::size_t at = static_cast<std::size_t>(sy) * static_cast<std::size_t>(samples.width) + static_cast<std::size_t>(sx);
        if (samples.triangle[at] < 0) {  // white
          for (float* const c : {sum, ambient, lit})
            for (int k = 0; k < 3; ++k) c[k] += 255.0F;
          return;
        }
        const auto t = static_cast<std::size_t>(samples.triangle[at]);
        const auto& v = s.triangles[t];
        const TexturePyramid& texture = textures_[static_cast<std::size_t>(s.materials[t])];
        if (last != samples.triangle[at]) {  // samples of a pixel often see the same triangle
          last = samples.triangle[at];
          e = Edges(v, corners[static_cast<std::size_t>(v[0])], corners[static_cast<std::size_t>(v[1])],
                    corners[static_cast<std::size_t>(v[2])]);
          level = texture_level(s, t, texture, corners);
        }
        const auto fx = static_cast<float>(samples.x0 + sx), fy = static_cast<float>(samples.y0 + sy);
        const float wa = e.a(fx, fy) * e.za, wb = e.b(fx, fy) * e.zb, wc = e.c(fx, fy) * e.zc;
        const float inverse = 1.0F / (wa + wb + wc);
        const Weights w{wb * inverse, wc * inverse};
        const auto uv = uv_at(s, t, w);
        auto texel = texture.colour(uv[0], uv[1], level);
        if (!s.shade.empty()) {
          const float shade = mix(s.shade, v, w);
          for (float& c : texel) c *= shade;
        }
        for (std::size_t k = 0; k < 3; ++k) sum[k] += texel[k];
        ++covered;
        if (wanted.labels) ++votes[s.labels[t]];
        if (wanted.depth) nearest = std::min(nearest, samples.depth[at]);
        if (wanted.ambient || wanted.lit) {
          const float open = mix(s.openness, v, w);
          for (std::size_t k = 0; k < 3; ++k) ambient[k] += texel[k] * open, lit[k] += texel[k] * 0.5F * open;
        }
        if (wanted.normals || wanted.lit) {
          Point n = unit(mix(s.normals, v, w));
          const Point place = mix(s.vertices, v, w);
          const Point to_eye{eye[0] - place[0], eye[1] - place[1], eye[2] - place[2]};
          if (dot(n, to_eye) < 0)
            for (float& x : n) x = -x;  // the back of an open surface
          for (std::size_t k = 0; k < 3; ++k) normals[k] += n[k];
          const float light = 0.6F * std::max(0.0F, dot(n, to_lamp));
          for (std::size_t k = 0; k < 3; ++k) lit[k] += texel[k] * light;
        }
      };
      for (int sy = py * supersample; sy < (py + 1) * supersample; ++sy)
        for (int sx = px * supersample; sx < (px + 1) * supersample; ++sx) add_sample(sy, sx);
      const std::size_t pixel = static_cast<std::size_t>(samples.y0 / supersample + py) * static_cast<std::size_t>(camera.width) +
                                static_cast<std::size_t>(samples.x0 / supersample + px);
      const auto alpha = static_cast<std::uint8_t>(255 * covered / per_pixel);
      const auto put = [&](io::Image& image, const float (&c)[3]) {
        for (std::size_t k = 0; k < 3; ++k) image.pixels[4 * pixel + k] = to_byte(c[k] / share);
        image.pixels[4 * pixel + 3] = alpha;
      };
      put(out.colour, sum);
      if (wanted.ambient) put(out.ambient, ambient);
      if (wanted.lit) put(out.lit, lit);
      if (wanted.labels && 2 * covered >= per_pixel)
        out.labels[pixel] = static_cast<std::uint8_t>(std::max_element(votes, votes + kLabels) - votes);
      if (wanted.depth) out.depth[pixel] = nearest;
      if (wanted.normals) {
        normals = unit(normals);
        for (std::size_t k = 0; k < 3; ++k) out.normals.pixels[4 * pixel + k] = to_byte(127.5F * (normals[k] + 1));
        out.normals.pixels[4 * pixel + 3] = alpha;
      }
    }
  return out;
}

}  // namespace layeravatar::scan
