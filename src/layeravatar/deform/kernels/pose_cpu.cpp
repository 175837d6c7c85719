#include <algorithm>
#include <cmath>
#include <cstring>

#include "layeravatar/body/weight_volume.h"
#include "layeravatar/deform/kernels/pose_kernel.h"

namespace layeravatar::deform {
namespace {

constexpr float kThin = 0.01F;  // of the tangent scale, along the normal

struct Cell {
  std::int64_t node[8];
  float weight[8];
  float slope[8][3];  // d weight / d position
};

// Corners aligned; positions are clamped to the border, where the slope along that axis is zero. Not a number: border.
Cell locate(const PoseArgs& a, const float* p) {
  constexpr auto& kSize = body::WeightVolume::kSize;
  Cell cell;
  int low[3];
  float fraction[3], step[3];
  for (int k = 0; k < 3; ++k) {
    const float per_metre = (k == 2 ? static_cast<float>(body::WeightVolume::kRatio) : 1.0F) / a.half_size;
    const float last = static_cast<float>(kSize[static_cast<std::size_t>(k)] - 1);
    const float at = ((p[k] - a.centre[static_cast<std::size_t>(k)]) * per_metre + 1.0F) * 0.5F * last;
    const bool within = at > 0.0F && at < last;
    const float inside = within ? at : at >= last ? last : 0.0F;
    step[k] = within ? 0.5F * last * per_metre : 0.0F;
    low[k] = std::min(static_cast<int>(inside), kSize[static_cast<std::size_t>(k)] - 2);
    fraction[k] = inside - static_cast<float>(low[k]);
  }
  for (int c = 0; c < 8; ++c) {
    const int bit[3] = {c & 1, (c >> 1) & 1, (c >> 2) & 1};
    const std::int64_t row = static_cast<std::int64_t>(low[2] + bit[2]) * kSize[1] + low[1] + bit[1];
    cell.node[c] = row * kSize[0] + low[0] + bit[0];
    float w[3], s[3];
    for (int k = 0; k < 3; ++k) {
      w[k] = bit[k] != 0 ? fraction[k] : 1.0F - fraction[k];
      s[k] = bit[k] != 0 ? step[k] : -step[k];
    }
    cell.weight[c] = w[0] * w[1] * w[2];
    cell.slope[c][0] = s[0] * w[1] * w[2];
    cell.slope[c][1] = w[0] * s[1] * w[2];
    cell.slope[c][2] = w[0] * w[1] * s[2];
  }
  return cell;
}

bool is_fixed(const PoseArgs& a, std::int64_t i) { return i < a.body_count && a.fixed[i] != 0; }

void map_at(const PoseArgs& a, const Cell& cell, float* map) {
  std::fill(map, map + 12, 0.0F);
  for (int c = 0; c < 8; ++c) {
    const float* m = a.node_maps + kMapSize * cell.node[c];
    for (int e = 0; e < 12; ++e) map[e] += cell.weight[c] * m[e];
  }
}

void canonical_point(const PoseArgs& a, const float* offsets, std::int64_t i, float* p) {
  for (int k = 0; k < 3; ++k) p[k] = a.positions[3 * i + k] + offsets[3 * i + k];
}

// Point that the map moves: taken out of the canonical pose, with the corrections of shape and pose.
void corrected_point(const PoseArgs& a, const float* p, std::int64_t i, float* y) {
  for (int k = 0; k < 3; ++k) y[k] = p[k] - a.canonical[static_cast<std::size_t>(k)] + a.corrections[3 * i + k];
}

struct Rotation {
  float r[9];
  float a, b, a_slope, b_slope;  // R = I + a K + b K^2, K = skew(w); slopes: derivatives by the angle, over the angle
  float shifted[3];              // w + 1e-8
};

Rotation rodrigues(const float* w) {
  Rotation out;
  for (int k = 0; k < 3; ++k) out.shifted[k] = w[k] + 1e-8F;
  float square = 0.0F;
  for (const float x : out.shifted) square += x * x;
  if (square < 1e-3F) {  // series: the closed forms cancel
    out.a = 1.0F - square / 6 + square * square / 120;
    out.b = 0.5F - square / 24 + square * square / 720;
    out.a_slope = -1.0F / 3 + square / 30;
    out.b_slope = -1.0F / 12 + square / 180;
  } else {
    const float angle = std::sqrt(square), sine = std::sin(angle), cosine = std::cos(angle);
    out.a = sine / angle;
    out.b = (1.0F - cosine) / square;
    out.a_slope = (cosine - out.a) / square;
    out.b_slope = (out.a - 2.0F * out.b) / square;
  }
  const float x = w[0], y = w[1], z = w[2];
  const float k[9] = {0, -z, y, z, 0, -x, -y, x, 0};
  const float k2[9] = {-y * y - z * z, x * y, x * z, x * y, -x * x - z * z, y * z, x * z, y * z, -x * x - y * y};
  for (int e = 0; e < 9; ++e) out.r[e] = (e % 4 == 0 ? 1.0F : 0.0F) + out.a * k[e] + out.b * k2[e];
  return out;
}

// Gradient of the vector from the gradient g of the matrix.
void rodrigues_backward(const float* w, const Rotation& rot, const float* g, float* out) {
  const float x = w[0], y = w[1], z = w[2];
  const float k[9] = {0, -z, y, z, 0, -x, -y, x, 0};
  const float k2[9] = {-y * y - z * z, x * y, x * z, x * y, -x * x - z * z, y * z, x * z, y * z, -x * x - y * y};
  float along_k = 0, along_k2 = 0;
  for (int e = 0; e < 9; ++e) along_k += g[e] * k[e], along_k2 += g[e] * k2[e];
  const float radial = rot.a_slope * along_k + rot.b_slope * along_k2;
  const float skew[3] = {g[7] - g[5], g[2] - g[6], g[3] - g[1]};
  const float square[3] = {y * (g[1] + g[3]) + z * (g[2] + g[6]) - 2 * x * (g[4] + g[8]),
                           x * (g[1] + g[3]) + z * (g[5] + g[7]) - 2 * y * (g[0] + g[8]),
                           x * (g[2] + g[6]) + y * (g[5] + g[7]) - 2 * z * (g[0] + g[4])};
  for (int i = 0; i < 3; ++i) out[i] = radial * rot.shifted[i] + rot.a * skew[i] + rot.b * square[i];
}

void multiply(const float* a, const float* b, float* out) {  // 3 x 3
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c)
      out[3 * r + c] = a[3 * r] * b[c] + a[3 * r + 1] * b[3 + c] + a[3 * r + 2] * b[6 + c];
}

void linear_part(const float* map, float* out) {
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c) out[3 * r + c] = map[4 * r + c];
}

}  // namespace

void bind_cpu(const PoseArgs& a, const float* offsets, const float* radius, const float* rotation, const BoundArrays& out) {
#pragma omp parallel for schedule(static)
  for (std::int64_t group = 0; group < pose_groups(a.count); ++group) {
    float* const lines = out.lines + group * kBoundLines * kPoseGroup;
    for (std::int64_t k = 0; k < kPoseGroup; ++k) {
      const std::int64_t i = group * kPoseGroup + k;
      float* to = lines + k;
      const auto put = [&](float v) { *to = v, to += kPoseGroup; };
      if (i >= a.count) {  // beyond the end: zeros
        for (std::int64_t line = 0; line < kBoundLines; ++line) put(0.0F);
        continue;
      }
      float p[3], q[9];
      canonical_point(a, offsets, i, p);
      const bool fixed = is_fixed(a, i);
      const Cell cell = fixed ? Cell{} : locate(a, p);
      out.nodes[i] = fixed ? -1 : static_cast<std::int32_t>(cell.node[0]);
      for (const float w : cell.weight) put(w);
      for (int e = 0; e < 3; ++e) put(p[e] - a.canonical[static_cast<std::size_t>(e)]);
      multiply(a.frames + 9 * i, rodrigues(rotation + 3 * i).r, q);
      for (const float e : q) put(e);
      for (int e = 0; e < 3; ++e) put((1.0F + radius[3 * i + e]) * (e == 2 ? kThin : 1.0F));
    }
  }
}

void pose_backward_cpu(const PoseArgs& a, const float* offsets, const float* radius, const float* rotation,
                       const float* base, const float* grad_means, const float* grad_covariances, float* grad_offsets,
                       float* grad_radius, float* grad_rotation) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < a.count; ++i) {
    float p[3], y[3], map[12], d[9], q[9], r[9];
    canonical_point(a, offsets, i, p);
    corrected_point(a, p, i, y);
    const bool fixed = is_fixed(a, i);
    const Cell cell = locate(a, p);
    if (fixed) std::memcpy(map, a.fixed_maps + kMapSize * i, sizeof map);
    else map_at(a, cell, map);
    linear_part(map, d);
    const Rotation rot = rodrigues(rotation + 3 * i);
    multiply(a.frames + 9 * i, rot.r, q);
    multiply(d, q, r);
    const float* gc = grad_covariances + 6 * i;
    // Each off-diagonal entry of the packed gradient stands for two of the matrix.
    const float xy = 0.5F * gc[1], xz = 0.5F * gc[2], yz = 0.5F * gc[4];
    const float g[9] = {gc[0], xy, xz, xy, gc[3], yz, xz, yz, gc[5]};
    float gr[9];  // of R
    for (int k = 0; k < 3; ++k) {
      const float factor = base[i] * (k == 2 ? kThin : 1.0F), s = (1.0F + radius[3 * i + k]) * factor;
      float along = 0;
      for (int row = 0; row < 3; ++row) {
        const float gl = 2.0F * (g[3 * row] * r[k] + g[3 * row + 1] * r[3 + k] + g[3 * row + 2] * r[6 + k]);
        along += gl * r[3 * row + k];
        gr[3 * row + k] = gl * s * s;
      }
      grad_radius[3 * i + k] = along * s * factor;
    }
    // R = D Q, Q = frame * Rodrigues.
    float gd[9], gq[9], grot[9];
    for (int row = 0; row < 3; ++row)
      for (int c = 0; c < 3; ++c) {
        gd[3 * row + c] = gr[3 * row] * q[3 * c] + gr[3 * row + 1] * q[3 * c + 1] + gr[3 * row + 2] * q[3 * c + 2];
        gq[3 * row + c] = d[row] * gr[c] + d[3 + row] * gr[3 + c] + d[6 + row] * gr[6 + c];
      }
    const float* frame = a.frames + 9 * i;
    for (int row = 0; row < 3; ++row)
      for (int c = 0; c < 3; ++c)
        grot[3 * row + c] = frame[row] * gq[c] + frame[3 + row] * gq[3 + c] + frame[6 + row] * gq[6 + c];
    rodrigues_backward(rotation + 3 * i, rot, grot, grad_rotation + 3 * i);

    const float* gm = grad_means + 3 * i;
    float out[3];
    for (int k = 0; k < 3; ++k) out[k] = d[k] * gm[0] + d[3 + k] * gm[1] + d[6 + k] * gm[2];
    if (!fixed) {
      float gmap[12];
      for (int row = 0; row < 3; ++row) {
        for (int c = 0; c < 3; ++c) gmap[4 * row + c] = gd[3 * row + c] + gm[row] * y[c];
        gmap[4 * row + 3] = gm[row];
      }
      for (int c = 0; c < 8; ++c) {
        const float* m = a.node_maps + kMapSize * cell.node[c];
        float dot = 0;
        for (int e = 0; e < 12; ++e) dot += gmap[e] * m[e];
        for (int k = 0; k < 3; ++k) out[k] += dot * cell.slope[c][k];
      }
    }
    for (int k = 0; k < 3; ++k) grad_offsets[3 * i + k] = out[k];
  }
}

}  // namespace layeravatar::deform
