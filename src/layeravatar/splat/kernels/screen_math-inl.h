// What the splatter knows of Gaussians on the screen, a Gaussian in each lane, compiled once per instruction set.
#if defined(LAYERAVATAR_SPLAT_SCREEN_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAYERAVATAR_SPLAT_SCREEN_MATH_INL_H
#undef LAYERAVATAR_SPLAT_SCREEN_MATH_INL_H
#else
#define LAYERAVATAR_SPLAT_SCREEN_MATH_INL_H
#endif

#include "hwy/highway.h"
#include "layeravatar/splat/kernels/splat_steps.h"

HWY_BEFORE_NAMESPACE();
namespace layeravatar::splat::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr std::int64_t kGroup = 64;  // Gaussians at a time
using Lanes = hn::CappedTag<float, kGroup>;
using V = hn::Vec<Lanes>;

HWY_INLINE V dot(V a0, V b0, V a1, V b1, V a2, V b2) { return hn::MulAdd(a0, b0, hn::MulAdd(a1, b1, hn::Mul(a2, b2))); }

struct Screen {
  V q[3];                   // camera space
  V inverse_depth, focal;   // 1 / z, f / z
  V view[2], tangent[2];    // x / z and y / z, as they are and limited
  V limit[2];
  V m[2][3], ms[2][3];      // rows of J times the camera's rotation, and these times the covariance
  V a, b, c, det;           // dilated covariance, pixels squared
};

/// mean[3] and covariance[6] hold a line of kGroup numbers for each coordinate; the lanes begin at `at`.
HWY_INLINE Screen to_screen(const SplatView& view, const float (&mean)[3][kGroup], const float (&covariance)[6][kGroup], std::int64_t at) {
  const Lanes lanes;
  const auto set = [&](float v) HWY_ATTR { return hn::Set(lanes, v); };
  const auto load = [&](const float* line) HWY_ATTR { return hn::Load(lanes, line + at); };
  const auto& w = view.camera_from_world;
  Screen s;
  for (std::size_t r = 0; r < 3; ++r)
    s.q[r] = hn::Add(dot(set(w[4 * r]), load(mean[0]), set(w[4 * r + 1]), load(mean[1]), set(w[4 * r + 2]), load(mean[2])), set(w[4 * r + 3]));
  s.inverse_depth = hn::Div(set(1.0F), s.q[2]);
  s.focal = hn::Mul(set(view.focal), s.inverse_depth);
  for (std::size_t r = 0; r < 2; ++r) {
    s.limit[r] = set(kViewLimit * static_cast<float>(r == 0 ? view.width : view.height) / (2 * view.focal));
    s.view[r] = hn::Mul(s.q[r], s.inverse_depth);
    s.tangent[r] = hn::Min(hn::Max(s.view[r], hn::Neg(s.limit[r])), s.limit[r]);
    const V g = hn::Neg(hn::Mul(s.focal, s.tangent[r]));
    for (std::size_t k = 0; k < 3; ++k) s.m[r][k] = hn::MulAdd(s.focal, set(w[4 * r + k]), hn::Mul(g, set(w[8 + k])));
  }
  V cov[6];
  for (int e = 0; e < 6; ++e) cov[e] = load(covariance[e]);
  for (int r = 0; r < 2; ++r) {
    s.ms[r][0] = dot(s.m[r][0], cov[0], s.m[r][1], cov[1], s.m[r][2], cov[2]);
    s.ms[r][1] = dot(s.m[r][0], cov[1], s.m[r][1], cov[3], s.m[r][2], cov[4]);
    s.ms[r][2] = dot(s.m[r][0], cov[2], s.m[r][1], cov[4], s.m[r][2], cov[5]);
  }
  s.a = hn::Add(dot(s.ms[0][0], s.m[0][0], s.ms[0][1], s.m[0][1], s.ms[0][2], s.m[0][2]), set(kDilation));
  s.b = dot(s.ms[0][0], s.m[1][0], s.ms[0][1], s.m[1][1], s.ms[0][2], s.m[1][2]);
  s.c = hn::Add(dot(s.ms[1][0], s.m[1][0], s.ms[1][1], s.m[1][1], s.ms[1][2], s.m[1][2]), set(kDilation));
  s.det = hn::NegMulAdd(s.b, s.b, hn::Mul(s.a, s.c));
  return s;
}

}  // namespace layeravatar::splat::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
