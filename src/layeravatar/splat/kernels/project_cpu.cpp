// Per-Gaussian work: projection, the sorted tile lists, and the way back from screen to world.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "layeravatar/core/error.h"
#include "layeravatar/splat/kernels/splat_kernel.h"
#include "layeravatar/splat/kernels/splat_steps.h"

namespace layeravatar::splat {
namespace {

constexpr float kNearDepth = 0.2F;
constexpr float kViewLimit = 1.3F;  // times the tangent of the half field of view
constexpr float kDilation = 0.3F;   // pixels squared

// The screen-space quantities of one Gaussian that both directions need.
struct Screen {
  float q[3];           // camera space
  float tx, ty;         // limited view offsets times depth
  bool x_limited, y_limited;
  float m[2][3];        // J * camera_from_world rotation
  float a, b, c;        // dilated covariance, pixels squared
};

bool to_screen(const SplatView& view, const float* mean, const float* cov, Screen& s) {
  const auto& w = view.camera_from_world;
  for (int r = 0; r < 3; ++r)
    s.q[r] = w[4 * r] * mean[0] + w[4 * r + 1] * mean[1] + w[4 * r + 2] * mean[2] + w[4 * r + 3];
  if (!(s.q[2] > kNearDepth)) return false;
  const float inv = 1.0F / s.q[2];
  const float limit_x = kViewLimit * static_cast<float>(view.width) / (2 * view.focal);
  const float limit_y = kViewLimit * static_cast<float>(view.height) / (2 * view.focal);
  const float ux = s.q[0] * inv, uy = s.q[1] * inv;
  s.x_limited = ux < -limit_x || ux > limit_x;
  s.y_limited = uy < -limit_y || uy > limit_y;
  s.tx = std::clamp(ux, -limit_x, limit_x) * s.q[2];
  s.ty = std::clamp(uy, -limit_y, limit_y) * s.q[2];
  const float f = view.focal * inv;
  const float gx = -f * s.tx * inv, gy = -f * s.ty * inv;
  for (int k = 0; k < 3; ++k) {
    s.m[0][k] = f * w[k] + gx * w[8 + k];
    s.m[1][k] = f * w[4 + k] + gy * w[8 + k];
  }
  float ms[2][3];
  for (int r = 0; r < 2; ++r) {
    ms[r][0] = s.m[r][0] * cov[0] + s.m[r][1] * cov[1] + s.m[r][2] * cov[2];
    ms[r][1] = s.m[r][0] * cov[1] + s.m[r][1] * cov[3] + s.m[r][2] * cov[4];
    ms[r][2] = s.m[r][0] * cov[2] + s.m[r][1] * cov[4] + s.m[r][2] * cov[5];
  }
  const auto dot = [](const float* x, const float* y) { return x[0] * y[0] + x[1] * y[1] + x[2] * y[2]; };
  s.a = dot(ms[0], s.m[0]) + kDilation;
  s.b = dot(ms[0], s.m[1]);
  s.c = dot(ms[1], s.m[1]) + kDilation;
  return std::isfinite(s.a + s.b + s.c);
}

// The reference's rectangle of tiles, cut to the box where alpha can reach 1/255 (for the inner body at opacity 1).
SplatTiles project(const SplatInput& in, std::int64_t i, int tiles_x, int tiles_y, ProjectedSplat& p) {
  SplatTiles place{};
  place.component = in.with_components ? in.components[i] : kNoComponent;
  const float opacity = in.opacities[i];
  Screen s;
  if (!(opacity > in.min_opacity) || !to_screen(in.view, in.means + 3 * i, in.covariances + 6 * i, s)) return place;
  const float det = s.a * s.c - s.b * s.b;
  if (det == 0.0F || !std::isfinite(det)) return place;
  const float inverse = 1.0F / (s.q[2] + 1e-7F), inverse_det = 1.0F / det;
  p.x = in.view.focal * s.q[0] * inverse + 0.5F * static_cast<float>(in.view.width - 1);
  p.y = in.view.focal * s.q[1] * inverse + 0.5F * static_cast<float>(in.view.height - 1);
  constexpr float kLog2E = 1.44269504088896341F;
  p.exponent_xx = -0.5F * kLog2E * s.c * inverse_det;
  p.exponent_xy = kLog2E * s.b * inverse_det;
  p.exponent_yy = -0.5F * kLog2E * s.a * inverse_det;
  p.opacity = opacity;
  p.r = in.colours[3 * i], p.g = in.colours[3 * i + 1], p.b = in.colours[3 * i + 2];
  p.depth = s.q[2];
  const float mid = 0.5F * (s.a + s.c);
  const float radius = std::ceil(3.0F * std::sqrt(mid + std::sqrt(std::max(0.1F, mid * mid - det))));
  float left = radius, right = radius + (kTile - 1), up = radius, down = radius + (kTile - 1);
  if (det > 0.0F) {
    const float largest = place.component == 0 ? std::max(1.0F, opacity) : opacity;
    p.reach = 2.0F * std::log(255.0F * largest) * 1.001F + 0.01F;  // the slack covers rounding
    if (!(p.reach > 0.0F)) return place;
    p.slope = s.b / s.c;
    p.inverse_c = 1.0F / s.c;
    p.half_square = det * p.inverse_c;
    p.right_dy = s.b * std::sqrt(p.reach / s.a);
    p.top = std::sqrt(p.reach * s.c);
    const float box_x = std::sqrt(p.reach * s.a) + 0.01F, box_y = p.top + 0.01F;
    left = std::min(left, box_x), right = std::min(right, box_x + kTile);
    up = std::min(up, box_y), down = std::min(down, box_y + kTile);
  } else {  // not a covariance: wherever the reference looks
    p.slope = p.inverse_c = p.right_dy = 0.0F;
    p.half_square = p.top = 1e9F;
    p.reach = 1e9F;
  }
  const auto tile = [](float v, int limit) {
    return static_cast<std::int16_t>(std::clamp(std::trunc(v / kTile), 0.0F, static_cast<float>(limit)));
  };
  place.x0 = tile(p.x - left, tiles_x), place.x1 = tile(p.x + right, tiles_x);
  place.y0 = tile(p.y - up, tiles_y), place.y1 = tile(p.y + down, tiles_y);
  place.visible = place.x0 < place.x1 && place.y0 < place.y1;
  return place;
}

// Indices of the visible splats by rising depth, equal depths by rising index. Positive floats sort as their bits.
std::vector<std::uint32_t> depth_order(const SplatScratch& scratch, std::size_t count) {
  struct Key {
    std::uint32_t bits, index;
  };
  constexpr int kBits = 11, kPasses = 3;
  constexpr std::uint32_t kMask = (1U << kBits) - 1;
  std::vector<Key> keys, other;
  std::vector<std::uint32_t> start(kPasses << kBits);
  keys.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    if (scratch.places[i].visible) {
      std::uint32_t bits;
      std::memcpy(&bits, &scratch.splats[i].depth, sizeof bits);
      keys.push_back({bits, static_cast<std::uint32_t>(i)});
      for (int pass = 0; pass < kPasses; ++pass)
        ++start[static_cast<std::size_t>(pass << kBits) + ((bits >> (pass * kBits)) & kMask)];
    }
  other.resize(keys.size());
  for (int pass = 0; pass < kPasses; ++pass) {
    std::uint32_t* const next = start.data() + (pass << kBits);
    std::uint32_t sum = 0;
    for (std::uint32_t d = 0; d <= kMask; ++d) sum += std::exchange(next[d], sum);
    for (const Key& k : keys) other[next[(k.bits >> (pass * kBits)) & kMask]++] = k;
    keys.swap(other);
  }
  std::vector<std::uint32_t> out(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) out[i] = keys[i].index;
  return out;
}

}  // namespace

void project_and_sort(const SplatInput& in, SplatScratch& scratch) {
  scratch.tiles_x = (in.view.width + kTile - 1) / kTile;
  scratch.tiles_y = (in.view.height + kTile - 1) / kTile;
  const auto n = static_cast<std::size_t>(in.count);
  scratch.splats = std::make_unique_for_overwrite<ProjectedSplat[]>(n);
  scratch.places = std::make_unique_for_overwrite<SplatTiles[]>(n);
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < n; ++i)
    scratch.places[i] =
        project(in, static_cast<std::int64_t>(i), scratch.tiles_x, scratch.tiles_y, scratch.splats[i]);
  const auto tiles = static_cast<std::size_t>(scratch.tiles_x) * static_cast<std::size_t>(scratch.tiles_y);
  scratch.tile_start.assign(tiles + 1, 0);
  scratch.empty = true;
  scratch.component_empty.fill(true);
  std::size_t slots = 0;
  for (std::size_t i = 0; i < n; ++i) {
    SplatTiles& p = scratch.places[i];
    if (in.opacities[i] > in.min_opacity) {  // counts as present even when no pixel sees it
      scratch.empty = false;
      if (p.component < kComponents) scratch.component_empty[p.component] = false;
    }
    if (!p.visible) continue;
    p.first_slot = static_cast<std::uint32_t>(slots);
    slots += static_cast<std::size_t>(p.x1 - p.x0) * static_cast<std::size_t>(p.y1 - p.y0);
    for (int y = p.y0; y < p.y1; ++y)
      for (int x = p.x0; x < p.x1; ++x) ++scratch.tile_start[static_cast<std::size_t>(y * scratch.tiles_x + x) + 1];
  }
  LAV_CHECK(slots < std::numeric_limits<std::uint32_t>::max(), "too many Gaussians for the size of the image");
  for (std::size_t t = 0; t < tiles; ++t) scratch.tile_start[t + 1] += scratch.tile_start[t];
  scratch.pairs = std::make_unique_for_overwrite<SplatPair[]>(slots);
  std::vector<std::uint32_t> next(scratch.tile_start.begin(), scratch.tile_start.end() - 1);
  for (const std::uint32_t i : depth_order(scratch, n)) {
    const SplatTiles& p = scratch.places[i];
    std::uint32_t slot = p.first_slot;
    for (int y = p.y0; y < p.y1; ++y)
      for (int x = p.x0; x < p.x1; ++x)
        scratch.pairs[next[static_cast<std::size_t>(y * scratch.tiles_x + x)]++] = {i, slot++, 0, p.component};
  }
}

void screen_to_world(const SplatInput& in, const SplatScratch& scratch, const SlotGradient* slots,
                     const SplatGradients& out) {
  const auto& w = in.view.camera_from_world;
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < in.count; ++i) {
    float* grad_mean = out.means + 3 * i;
    float* grad_cov = out.covariances + 6 * i;
    std::fill(grad_mean, grad_mean + 3, 0.0F);
    std::fill(grad_cov, grad_cov + 6, 0.0F);
    std::fill(out.colours + 3 * i, out.colours + 3 * i + 3, 0.0F);
    out.opacities[i] = 0.0F;
    const SplatTiles& p = scratch.places[static_cast<std::size_t>(i)];
    if (!p.visible) continue;
    SlotGradient g{};
    const int pairs = (p.x1 - p.x0) * (p.y1 - p.y0);
    for (int k = 0; k < pairs; ++k) g += slots[p.first_slot + static_cast<std::uint32_t>(k)];
    out.colours[3 * i] = g.r, out.colours[3 * i + 1] = g.g, out.colours[3 * i + 2] = g.b;
    out.opacities[i] = g.opacity;
    Screen s;
    to_screen(in.view, in.means + 3 * i, in.covariances + 6 * i, s);
    const float det = s.a * s.c - s.b * s.b;
    const float k2 = 1.0F / (det * det + 1e-7F);
    // Sums over conic entries; the mixed one is half of the true derivative, as section 9.1 defines it.
    const float ga = -0.5F * g.xx, gb = -0.5F * g.xy, gc = -0.5F * g.yy;
    const float la = k2 * (-s.c * s.c * ga + 2 * s.b * s.c * gb + (det - s.a * s.c) * gc);
    const float lc = k2 * (-s.a * s.a * gc + 2 * s.a * s.b * gb + (det - s.a * s.c) * ga);
    const float lb = 2 * k2 * (s.b * s.c * ga - (det + 2 * s.b * s.b) * gb + s.a * s.b * gc);
    const float* m0 = s.m[0];
    const float* m1 = s.m[1];
    constexpr int kRow[6] = {0, 0, 0, 1, 1, 2}, kColumn[6] = {0, 1, 2, 1, 2, 2};
    for (int e = 0; e < 6; ++e) {
      const int r = kRow[e], c = kColumn[e];
      grad_cov[e] = r == c ? m0[r] * m0[r] * la + m0[r] * m1[r] * lb + m1[r] * m1[r] * lc
                           : 2 * m0[r] * m0[c] * la + (m0[r] * m1[c] + m0[c] * m1[r]) * lb + 2 * m1[r] * m1[c] * lc;
    }
    const float* cov = in.covariances + 6 * i;
    float u[2][3];
    constexpr int kPacked[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};
    for (int k = 0; k < 3; ++k) {
      float s0 = 0, s1 = 0;
      for (int r = 0; r < 3; ++r) {
        s0 += m0[r] * cov[kPacked[r][k]];
        s1 += m1[r] * cov[kPacked[r][k]];
      }
      u[0][k] = 2 * s0 * la + s1 * lb;
      u[1][k] = 2 * s1 * lc + s0 * lb;
    }
    const auto along = [&](const float* x, int row) {
      return x[0] * w[4 * row] + x[1] * w[4 * row + 1] + x[2] * w[4 * row + 2];
    };
    const float j00 = along(u[0], 0), j02 = along(u[0], 2), j11 = along(u[1], 1), j12 = along(u[1], 2);
    const float z = s.q[2], f = in.view.focal, fz2 = f / (z * z);
    float grad_q[3];
    grad_q[0] = s.x_limited ? 0.0F : -fz2 * j02;
    grad_q[1] = s.y_limited ? 0.0F : -fz2 * j12;
    grad_q[2] = -fz2 * (j00 + j11) + 2 * fz2 / z * (s.tx * j02 + s.ty * j12);
    // Pixel position f q / (z + 1e-7).
    const float mean_x = (s.b * g.y - s.c * g.x) / det, mean_y = (s.b * g.x - s.a * g.y) / det;
    const float inverse = 1.0F / (z + 1e-7F);
    grad_q[0] += mean_x * f * inverse;
    grad_q[1] += mean_y * f * inverse;
    grad_q[2] += g.depth - f * inverse * inverse * (mean_x * s.q[0] + mean_y * s.q[1]);
    for (int k = 0; k < 3; ++k) grad_mean[k] = w[k] * grad_q[0] + w[4 + k] * grad_q[1] + w[8 + k] * grad_q[2];
  }
}

}  // namespace layeravatar::splat
