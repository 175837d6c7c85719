// Projection of the Gaussians, some at a time, for the best instruction set of the machine.
#include <algorithm>

#include "layeravatar/splat/kernels/splat_steps.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layeravatar/splat/kernels/project_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "layeravatar/splat/kernels/screen_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace layeravatar::splat::HWY_NAMESPACE {

using Integers = hn::RebindToSigned<Lanes>;

// One line for each number of a group.
struct Columns {
  HWY_ALIGN float mean[3][kGroup], covariance[6][kGroup], opacity[kGroup], largest[kGroup];
  HWY_ALIGN float record[16][kGroup];  // by place in ProjectedSplat
  HWY_ALIGN std::int32_t tiles[4][kGroup];  // x0, x1, y0, y1; all zero where invisible
};

enum Field { kX, kY, kXX, kXY, kYY, kOpacity, kRed, kGreen, kBlue, kDepth, kSlope, kHalfSquare, kInverseC, kReach, kRightDy, kTop };

// The reference's rectangle of tiles, cut to the box where alpha can reach 1/255 (for the inner body at opacity 1).
HWY_INLINE void project_lanes(const SplatView& view, float min_opacity, int tiles_x, int tiles_y, std::int64_t at,
                              Columns& columns) {
  const Lanes lanes;
  const auto set = [&](float v) HWY_ATTR { return hn::Set(lanes, v); };
  const auto load = [&](const float* line) HWY_ATTR { return hn::Load(lanes, line + at); };
  const auto store = [&](V v, Field field) HWY_ATTR { hn::Store(v, lanes, columns.record[field] + at); };
  const Screen screen = to_screen(view, columns.mean, columns.covariance, at);
  const V(&q)[3] = screen.q;
  const V a = screen.a, b = screen.b, c = screen.c, det = screen.det;
  const V opacity = load(columns.opacity);
  auto visible = hn::And(hn::Gt(opacity, set(min_opacity)), hn::Gt(q[2], set(kNearDepth)));
  const auto finite = [&](V v) HWY_ATTR { return hn::Lt(hn::Abs(v), set(hwy::HighestValue<float>())); };
  visible = hn::And(visible, hn::And(finite(q[2]), finite(hn::Add(hn::Add(a, b), c))));
  visible = hn::And(visible, hn::And(finite(det), hn::Ne(det, hn::Zero(lanes))));

  const V inverse = hn::Div(set(view.focal), hn::Add(q[2], set(1e-7F))), inverse_det = hn::Div(set(1.0F), det);
  const V x = hn::MulAdd(q[0], inverse, set(0.5F * static_cast<float>(view.width - 1)));
  const V y = hn::MulAdd(q[1], inverse, set(0.5F * static_cast<float>(view.height - 1)));
  constexpr float kLog2E = 1.44269504088896341F;
  store(x, kX), store(y, kY);
  store(hn::Mul(hn::Mul(set(-0.5F * kLog2E), c), inverse_det), kXX);
  store(hn::Mul(hn::Mul(set(kLog2E), b), inverse_det), kXY);
  store(hn::Mul(hn::Mul(set(-0.5F * kLog2E), a), inverse_det), kYY);
  store(opacity, kOpacity), store(q[2], kDepth);
  const V mid = hn::Mul(set(0.5F), hn::Add(a, c));
  const V spread = hn::Sqrt(hn::Max(set(0.1F), hn::MulSub(mid, mid, det)));
  const V radius = hn::Ceil(hn::Mul(set(3.0F), hn::Sqrt(hn::Add(mid, spread))));
  const V far_radius = hn::Add(radius, set(kTile - 1));

  // The slack covers rounding. Where it is not a covariance: wherever the reference looks.
  const auto proper = hn::Gt(det, hn::Zero(lanes));
  const V largest = load(columns.largest);
  const V reach = hn::MulAdd(set(2.002F), hn::Log(lanes, hn::Mul(set(255.0F), largest)), set(0.01F));
  const auto reaches = hn::And(hn::Gt(largest, hn::Zero(lanes)), hn::Gt(reach, hn::Zero(lanes)));
  visible = hn::And(visible, hn::Or(hn::Not(proper), reaches));
  const V inverse_c = hn::Div(set(1.0F), c), huge = set(1e9F);
  const V top = hn::Sqrt(hn::Mul(reach, c)), box_x = hn::Add(hn::Sqrt(hn::Mul(reach, a)), set(0.01F)), box_y = hn::Add(top, set(0.01F));
  store(hn::IfThenElseZero(proper, hn::Mul(b, inverse_c)), kSlope);
  store(hn::IfThenElse(proper, hn::Mul(det, inverse_c), huge), kHalfSquare);
  store(hn::IfThenElseZero(proper, inverse_c), kInverseC);
  store(hn::IfThenElse(proper, reach, huge), kReach);
  store(hn::IfThenElseZero(proper, hn::Mul(b, hn::Sqrt(hn::Div(reach, a)))), kRightDy);
  store(hn::IfThenElse(proper, top, huge), kTop);

  const Integers integers;
  const auto edge = [&](V centre, V box, V reference, float sign, int limit, std::int32_t* line) HWY_ATTR {
    const V extent = hn::IfThenElse(proper, hn::Min(reference, box), reference);
    const V scaled = hn::Mul(hn::MulAdd(set(sign), extent, centre), set(1.0F / kTile));
    const V inside = hn::Min(hn::Max(scaled, hn::Zero(lanes)), set(static_cast<float>(limit)));
    hn::Store(hn::ConvertTo(integers, hn::IfThenElseZero(visible, inside)), integers, line + at);
  };
  const V tile = set(kTile);
  edge(x, box_x, radius, -1.0F, tiles_x, columns.tiles[0]);
  edge(x, hn::Add(box_x, tile), far_radius, 1.0F, tiles_x, columns.tiles[1]);
  edge(y, box_y, radius, -1.0F, tiles_y, columns.tiles[2]);
  edge(y, hn::Add(box_y, tile), far_radius, 1.0F, tiles_y, columns.tiles[3]);
}

// Columns k to k + 3 of the records, each to a line of its own.
HWY_INLINE void turn_records(const Columns& columns, std::int64_t k, float* const (&to)[4]) {
#if HWY_TARGET == HWY_SCALAR
  for (int c = 0; c < 4; ++c)
    for (int e = 0; e < 16; ++e) to[c][e] = columns.record[e][k + c];
#else
  const hn::FixedTag<float, 4> four;
  for (int e = 0; e < 16; e += 4) {
    const auto row = [&](int at) HWY_ATTR { return hn::Load(four, columns.record[e + at] + k); };
    const auto a = hn::InterleaveLower(four, row(0), row(1)), b = hn::InterleaveLower(four, row(2), row(3));
    const auto c = hn::InterleaveUpper(four, row(0), row(1)), d = hn::InterleaveUpper(four, row(2), row(3));
    hn::Store(hn::ConcatLowerLower(four, b, a), four, to[0] + e);
    hn::Store(hn::ConcatUpperUpper(four, b, a), four, to[1] + e);
    hn::Store(hn::ConcatLowerLower(four, d, c), four, to[2] + e);
    hn::Store(hn::ConcatUpperUpper(four, d, c), four, to[3] + e);
  }
#endif
}

// Gaussians first..first + count, at most kGroup.
void project_group(const SplatInput& in, SplatScratch& scratch, std::int64_t first, std::int64_t count) {
  Columns columns;
  for (std::int64_t k = 0; k < kGroup; ++k) {
    const std::int64_t i = first + std::min(k, count - 1);  // beyond the end: the last again
    for (int e = 0; e < 3; ++e) columns.mean[e][k] = in.means[3 * i + e];
    for (int e = 0; e < 6; ++e) columns.covariance[e][k] = in.covariances[6 * i + e];
    for (int e = 0; e < 3; ++e) columns.record[kRed + e][k] = in.colours[3 * i + e];
    columns.opacity[k] = in.opacities[i];
    const bool inner = in.with_components && in.components[i] == 0;
    columns.largest[k] = inner ? std::max(1.0F, in.opacities[i]) : in.opacities[i];
  }
  constexpr std::int64_t kStep = hn::MaxLanes(Lanes());
  for (std::int64_t at = 0; at < kGroup; at += kStep)
    project_lanes(in.view, in.min_opacity, scratch.tiles_x, scratch.tiles_y, at, columns);
  for (std::int64_t k = 0; k < count; k += 4) {
    HWY_ALIGN float nowhere[16];
    float* to[4] = {nowhere, nowhere, nowhere, nowhere};
    for (std::int64_t j = k; j < std::min(k + 4, count); ++j) {
      const std::int64_t i = first + j;
      SplatTiles place{};
      place.component = in.with_components ? in.components[i] : kNoComponent;
      const auto corner = [&](int e) HWY_ATTR { return static_cast<std::int16_t>(columns.tiles[e][j]); };
      place.x0 = corner(0), place.x1 = corner(1), place.y0 = corner(2), place.y1 = corner(3);
      place.visible = place.x0 < place.x1 && place.y0 < place.y1;
      scratch.places[static_cast<std::size_t>(i)] = place;
      if (place.visible) to[j - k] = &scratch.splats[static_cast<std::size_t>(i)].x;
    }
    turn_records(columns, k, to);
  }
}

}  // namespace layeravatar::splat::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace layeravatar::splat {

HWY_EXPORT(project_group);

void project(const SplatInput& input, SplatScratch& scratch, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kGroup = 64;
  for (std::int64_t first = begin; first < end; first += kGroup)
    HWY_DYNAMIC_DISPATCH(project_group)(input, scratch, first, std::min(kGroup, end - first));
}

}  // namespace layeravatar::splat
#endif
