// The way back of each Gaussian, from screen to world.
#include <algorithm>
#include <cmath>

#include "layeravatar/splat/kernels/splat_kernel.h"
#include "layeravatar/splat/kernels/splat_steps.h"

namespace layeravatar::splat {
namespace {

// The screen-space quantities of one Gaussian, as project_cpu.cpp has them.
struct Screen {
  float q[3];           // camera space
  float tx, ty;         // limited view offsets times depth
  bool x_limited, y_limited;
  float m[2][3];        // J * camera_from_world rotation
  float a, b, c;        // dilated covariance, pixels squared
};

void to_screen(const SplatView& view, const float* mean, const float* cov, Screen& s) {
  const auto& w = view.camera_from_world;
  for (int r = 0; r < 3; ++r)
    s.q[r] = w[4 * r] * mean[0] + w[4 * r + 1] * mean[1] + w[4 * r + 2] * mean[2] + w[4 * r + 3];
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
}

}  // namespace

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
    if (g.is_zero()) continue;  // hidden
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
