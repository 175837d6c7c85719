// The way back of the Gaussians, from screen to world, some at a time, for the best instruction set of the machine.
#include <algorithm>
#include <cmath>

#include "layeravatar/splat/kernels/splat_steps.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layeravatar/splat/kernels/to_world_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "layeravatar/splat/kernels/screen_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace layeravatar::splat::HWY_NAMESPACE {

// One line for each number of a group.
struct Columns {
  HWY_ALIGN float x[kGroup], y[kGroup], xx[kGroup], xy[kGroup], yy[kGroup], depth[kGroup];  // sums over all tiles
  HWY_ALIGN float mean[3][kGroup], covariance[6][kGroup];
  HWY_ALIGN float mean_gradient[3][kGroup], covariance_gradient[6][kGroup];
};

HWY_INLINE void to_world_lanes(const SplatView& view, std::int64_t at, Columns& columns) {
  const Lanes lanes;
  const auto set = [&](float v) HWY_ATTR { return hn::Set(lanes, v); };
  const auto load = [&](const float* line) HWY_ATTR { return hn::Load(lanes, line + at); };
  const auto& w = view.camera_from_world;
  const V one = set(1.0F), two = set(2.0F);
  const Screen screen = to_screen(view, columns.mean, columns.covariance, at);
  const V(&q)[3] = screen.q;
  const V(&m)[2][3] = screen.m;
  const V a = screen.a, b = screen.b, c = screen.c, det = screen.det, k2 = hn::Div(one, hn::MulAdd(det, det, set(1e-7F)));

  auto moved = hn::Ne(load(columns.x), hn::Zero(lanes));  // the others' matrix may not be a covariance
  for (const float* line : {columns.y, columns.xx, columns.xy, columns.yy, columns.depth}) moved = hn::Or(moved, hn::Ne(load(line), hn::Zero(lanes)));

  // Sums over conic entries; the mixed one is half of the true derivative, as section 9.1 defines it.
  const V half = set(-0.5F), ga = hn::Mul(half, load(columns.xx)), gb = hn::Mul(half, load(columns.xy)), gc = hn::Mul(half, load(columns.yy));
  const V b2 = hn::Mul(two, b), less = hn::NegMulAdd(a, c, det);  // det - a c
  const V la = hn::Mul(k2, hn::MulAdd(less, gc, hn::Mul(c, hn::MulSub(b2, gb, hn::Mul(c, ga)))));
  const V lc = hn::Mul(k2, hn::MulAdd(less, ga, hn::Mul(a, hn::MulSub(b2, gb, hn::Mul(a, gc)))));
  const V lb = hn::Mul(hn::Mul(two, k2), hn::NegMulAdd(hn::MulAdd(b2, b, det), gb, hn::Mul(b, hn::MulAdd(c, ga, hn::Mul(a, gc)))));
  constexpr int kRow[6] = {0, 0, 0, 1, 1, 2}, kColumn[6] = {0, 1, 2, 1, 2, 2};
  for (int e = 0; e < 6; ++e) {
    const int r = kRow[e], k = kColumn[e];
    const V first = hn::Mul(m[0][r], m[0][k]), last = hn::Mul(m[1][r], m[1][k]);
    const V mixed = hn::MulAdd(m[0][r], m[1][k], hn::Mul(m[0][k], m[1][r]));
    const V share = set(r == k ? 1.0F : 2.0F);
    const V g = hn::MulAdd(hn::Mul(share, first), la, hn::MulAdd(hn::Mul(hn::Mul(set(0.5F), share), mixed), lb, hn::Mul(hn::Mul(share, last), lc)));
    hn::Store(hn::IfThenElseZero(moved, g), lanes, columns.covariance_gradient[e] + at);
  }
  const auto along = [&](int r, std::size_t row) HWY_ATTR {
    const V own = hn::Mul(two, r == 0 ? la : lc);
    V u[3];
    for (int k = 0; k < 3; ++k) u[k] = hn::MulAdd(screen.ms[r][k], own, hn::Mul(screen.ms[1 - r][k], lb));
    return dot(u[0], set(w[4 * row]), u[1], set(w[4 * row + 1]), u[2], set(w[4 * row + 2]));
  };
  const V j00 = along(0, 0), j02 = along(0, 2), j11 = along(1, 1), j12 = along(1, 2), fz2 = hn::Mul(screen.focal, screen.inverse_depth);
  V grad[3];
  const auto unlimited = [&](int r, V g) HWY_ATTR { return hn::IfThenElseZero(hn::Le(hn::Abs(screen.view[r]), screen.limit[r]), g); };
  grad[0] = unlimited(0, hn::Neg(hn::Mul(fz2, j02)));
  grad[1] = unlimited(1, hn::Neg(hn::Mul(fz2, j12)));
  grad[2] = hn::Mul(fz2, hn::MulSub(two, hn::MulAdd(screen.tangent[0], j02, hn::Mul(screen.tangent[1], j12)), hn::Add(j00, j11)));
  // Pixel position f q / (z + 1e-7).
  const V by_x = load(columns.x), by_y = load(columns.y), inverse_det = hn::Div(one, det);
  const V mean_x = hn::Mul(hn::MulSub(b, by_y, hn::Mul(c, by_x)), inverse_det), mean_y = hn::Mul(hn::MulSub(b, by_x, hn::Mul(a, by_y)), inverse_det);
  const V inverse = hn::Div(one, hn::Add(q[2], set(1e-7F))), scale = hn::Mul(set(view.focal), inverse);
  grad[0] = hn::MulAdd(mean_x, scale, grad[0]);
  grad[1] = hn::MulAdd(mean_y, scale, grad[1]);
  grad[2] = hn::Add(grad[2], hn::NegMulAdd(hn::Mul(scale, inverse), hn::MulAdd(mean_x, q[0], hn::Mul(mean_y, q[1])), load(columns.depth)));
  for (std::size_t k = 0; k < 3; ++k)
    hn::Store(hn::IfThenElseZero(moved, dot(set(w[k]), grad[0], set(w[4 + k]), grad[1], set(w[8 + k]), grad[2])), lanes, columns.mean_gradient[k] + at);
}

// Gaussians first..first + count, at most kGroup.
void to_world_group(const SplatInput& in, const SplatScratch& scratch, const PooledArray<SlotGradient>& of_slot, const SplatGradients& out, std::int64_t first, std::int64_t count) {
  Columns columns;
  const hn::CappedTag<float, 4> quarter;
  constexpr std::size_t kQuarter = hn::MaxLanes(quarter), kUsed = 12;  // floats of a slot
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t i = first + k;
    const SplatTiles& p = scratch.places[static_cast<std::size_t>(i)];
    const std::uint32_t slots = p.visible ? static_cast<std::uint32_t>((p.x1 - p.x0) * (p.y1 - p.y0)) : 0;
    hn::Vec<decltype(quarter)> sums[kUsed / kQuarter];
    for (auto& sum : sums) sum = hn::Zero(quarter);
    for (std::uint32_t slot = 0; slot < slots; ++slot)
      for (std::size_t e = 0; e < kUsed; e += kQuarter)
        sums[e / kQuarter] = hn::Add(sums[e / kQuarter], hn::Load(quarter, &of_slot[p.first_slot + slot].x + e));
    SlotGradient g;
    for (std::size_t e = 0; e < kUsed; e += kQuarter) hn::Store(sums[e / kQuarter], quarter, &g.x + e);
    columns.x[k] = g.x, columns.y[k] = g.y, columns.xx[k] = g.xx, columns.xy[k] = g.xy, columns.yy[k] = g.yy, columns.depth[k] = g.depth;
    out.colours[3 * i] = g.r, out.colours[3 * i + 1] = g.g, out.colours[3 * i + 2] = g.b;
    out.opacities[i] = g.opacity;
  }
  for (float* line : {columns.x, columns.y, columns.xx, columns.xy, columns.yy, columns.depth}) std::fill(line + count, line + kGroup, 0.0F);
  for (std::int64_t k = 0; k < kGroup; ++k) {
    const std::int64_t i = first + std::min(k, count - 1);  // beyond the end: the last again
    for (int e = 0; e < 3; ++e) columns.mean[e][k] = in.means[3 * i + e];
    for (int e = 0; e < 6; ++e) columns.covariance[e][k] = in.covariances[6 * i + e];
  }
  constexpr std::int64_t kStep = hn::MaxLanes(Lanes());
  for (std::int64_t at = 0; at < count; at += kStep) to_world_lanes(in.view, at, columns);
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t i = first + k;
    for (int e = 0; e < 3; ++e) out.means[3 * i + e] = columns.mean_gradient[e][k];
    for (int e = 0; e < 6; ++e) out.covariances[6 * i + e] = columns.covariance_gradient[e][k];
  }
}

}  // namespace layeravatar::splat::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace layeravatar::splat {

HWY_EXPORT(to_world_group);

void screen_to_world(const SplatInput& in, const SplatScratch& scratch, const PooledArray<SlotGradient>& of_slot, const SplatGradients& out) {
  constexpr std::int64_t kGroup = 64;
  const std::int64_t groups = (in.count + kGroup - 1) / kGroup;
#pragma omp parallel for schedule(static)
  for (std::int64_t group = 0; group < groups; ++group)
    HWY_DYNAMIC_DISPATCH(to_world_group)(in, scratch, of_slot, out, group * kGroup, std::min(kGroup, in.count - group * kGroup));
}

}  // namespace layeravatar::splat
#endif
