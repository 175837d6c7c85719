// One pose of a bound avatar, sixteen Gaussians at a time, for the best instruction set of the machine.
#include <algorithm>

#include "layeravatar/body/weight_volume.h"
#include "layeravatar/deform/kernels/pose_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layeravatar/deform/kernels/skin_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace layeravatar::deform::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Lanes = hn::CappedTag<float, kPoseGroup>;
using V = hn::Vec<Lanes>;
inline constexpr Lanes kLanes{};
inline constexpr std::int64_t kWidth = static_cast<std::int64_t>(hn::MaxLanes(Lanes()));
enum Line { kWeights = 0, kPoint = 8, kTurn = 11, kFactor = 20 };

// Maps of a group, [kPoseGroup, kMapSize].
HWY_INLINE void blend_maps(const PoseArgs& a, const BoundArrays& bound, std::int64_t first, std::int64_t count, float* out) {
  constexpr std::int64_t kRow = body::WeightVolume::kSize[0], kSlice = kRow * body::WeightVolume::kSize[1];
  constexpr std::int64_t kStep[8] = {0, 1, kRow, kRow + 1, kSlice, kSlice + 1, kSlice + kRow, kSlice + kRow + 1};
  const float* lines = bound.lines + first * kBoundLines;
  for (std::int64_t k = 0; k < kPoseGroup; ++k) {
    const std::int64_t i = first + std::min(k, count - 1);
    const std::int32_t node = bound.nodes[i];
    for (std::int64_t at = 0; at < kMapSize; at += kWidth) {
      V map;
      if (node < 0) {
        map = hn::Load(kLanes, a.fixed_maps + kMapSize * i + at);
      } else {
        map = hn::Zero(kLanes);
        for (int c = 0; c < 8; ++c)
          map = hn::MulAdd(hn::Set(kLanes, lines[(kWeights + c) * kPoseGroup + k]),
                           hn::Load(kLanes, a.node_maps + kMapSize * (node + kStep[c]) + at), map);
      }
      hn::Store(map, kLanes, out + k * kMapSize + at);
    }
  }
}

void pose_group(const PoseArgs& a, const BoundArrays& bound, std::int64_t group, float* means, float* maps) {
  const std::int64_t first = group * kPoseGroup, count = std::min(kPoseGroup, a.count - first);
  HWY_ALIGN float blended[kPoseGroup * kMapSize], posed[3][kPoseGroup], corrections[3][kPoseGroup];
  blend_maps(a, bound, first, count, blended);
  for (std::int64_t k = 0; k < kPoseGroup; ++k)
    for (int e = 0; e < 3; ++e) corrections[e][k] = a.corrections[3 * (first + std::min(k, count - 1)) + e];
  const float* lines = bound.lines + first * kBoundLines;
  float* to = maps + first * kMapLines;
  const hn::RebindToSigned<Lanes> integers;
  for (std::int64_t at = 0; at < kPoseGroup; at += kWidth) {
    const auto places = hn::Mul(hn::Iota(integers, static_cast<std::int32_t>(at)), hn::Set(integers, kMapSize));
    V y[3];
    for (int e = 0; e < 3; ++e)
      y[e] = hn::Add(hn::Load(kLanes, lines + (kPoint + e) * kPoseGroup + at), hn::Load(kLanes, corrections[e] + at));
    for (int r = 0; r < 3; ++r) {
      V row[4];
      for (int e = 0; e < 4; ++e) {
        row[e] = hn::GatherIndex(kLanes, blended + 4 * r + e, places);
        hn::Store(row[e], kLanes, to + (4 * r + e) * kPoseGroup + at);
      }
      hn::Store(hn::MulAdd(row[0], y[0], hn::MulAdd(row[1], y[1], hn::MulAdd(row[2], y[2], row[3]))), kLanes, posed[r] + at);
    }
  }
  for (std::int64_t k = 0; k < count; ++k)
    for (int r = 0; r < 3; ++r) means[3 * (first + k) + r] = posed[r][k];
}

void covariance_group(const PoseArgs& a, const BoundArrays& bound, const float* maps, const float* base, std::int64_t group,
                      float* covariances) {
  const std::int64_t first = group * kPoseGroup, count = std::min(kPoseGroup, a.count - first);
  HWY_ALIGN float sizes[kPoseGroup], out[6][kPoseGroup];
  for (std::int64_t k = 0; k < kPoseGroup; ++k) sizes[k] = base[first + std::min(k, count - 1)];
  const float* lines = bound.lines + first * kBoundLines;
  const float* from = maps + first * kMapLines;
  for (std::int64_t at = 0; at < kPoseGroup; at += kWidth) {
    const auto line = [&](const float* group_lines, int index) HWY_ATTR { return hn::Load(kLanes, group_lines + index * kPoseGroup + at); };
    V r[9], square[3];
    for (int row = 0; row < 3; ++row)
      for (int c = 0; c < 3; ++c)
        r[3 * row + c] = hn::MulAdd(line(from, 4 * row), line(lines, kTurn + c),
                                    hn::MulAdd(line(from, 4 * row + 1), line(lines, kTurn + 3 + c),
                                               hn::Mul(line(from, 4 * row + 2), line(lines, kTurn + 6 + c))));
    for (int k = 0; k < 3; ++k) {
      const V s = hn::Mul(line(lines, kFactor + k), hn::Load(kLanes, sizes + at));
      square[k] = hn::Mul(s, s);
    }
    constexpr int kX[6] = {0, 0, 0, 1, 1, 2}, kY[6] = {0, 1, 2, 1, 2, 2};
    for (int e = 0; e < 6; ++e) {
      const V *x = r + 3 * kX[e], *y = r + 3 * kY[e];
      hn::Store(hn::MulAdd(hn::Mul(x[0], y[0]), square[0],
                           hn::MulAdd(hn::Mul(x[1], y[1]), square[1], hn::Mul(hn::Mul(x[2], y[2]), square[2]))),
                kLanes, out[e] + at);
    }
  }
  for (std::int64_t k = 0; k < count; ++k)
    for (int e = 0; e < 6; ++e) covariances[6 * (first + k) + e] = out[e][k];
}

// Columns begin..end; four rows at a time, in order.
void combine_columns(const float* factors, std::int64_t rows, const float* matrix, std::int64_t columns, std::int64_t begin,
                     std::int64_t end, float* out) {
  const hn::ScalableTag<float> lanes;
  const auto step = static_cast<std::int64_t>(hn::Lanes(lanes));
  std::fill(out + begin, out + end, 0.0F);
  for (std::int64_t r = 0; r < rows;) {
    float f[4] = {};
    const float* from[4] = {};
    int found = 0;
    for (; r < rows && found < 4; ++r)
      if (factors[r] != 0.0F) f[found] = factors[r], from[found++] = matrix + r * columns;
    if (found == 0) break;
    std::fill(from + found, from + 4, from[0]);  // times 0
    std::int64_t c = begin;
    for (; c + step <= end; c += step) {
      auto sum = hn::LoadU(lanes, out + c);
      for (int k = 0; k < 4; ++k) sum = hn::MulAdd(hn::Set(lanes, f[k]), hn::LoadU(lanes, from[k] + c), sum);
      hn::StoreU(sum, lanes, out + c);
    }
    for (; c < end; ++c)
      for (int k = 0; k < 4; ++k) out[c] += f[k] * from[k][c];
  }
}

}  // namespace layeravatar::deform::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace layeravatar::deform {

HWY_EXPORT(pose_group);
HWY_EXPORT(covariance_group);
HWY_EXPORT(combine_columns);

void pose_means_cpu(const PoseArgs& args, const BoundArrays& bound, float* means, float* maps) {
#pragma omp parallel for schedule(static)
  for (std::int64_t group = 0; group < pose_groups(args.count); ++group)
    HWY_DYNAMIC_DISPATCH(pose_group)(args, bound, group, means, maps);
}

void covariances_cpu(const PoseArgs& args, const BoundArrays& bound, const float* maps, const float* base, float* covariances) {
#pragma omp parallel for schedule(static)
  for (std::int64_t group = 0; group < pose_groups(args.count); ++group)
    HWY_DYNAMIC_DISPATCH(covariance_group)(args, bound, maps, base, group, covariances);
}

void combine_rows_cpu(const float* factors, std::int64_t rows, const float* matrix, std::int64_t columns, float* out) {
  constexpr std::int64_t kChunk = 4096;
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t begin = 0; begin < columns; begin += kChunk)
    HWY_DYNAMIC_DISPATCH(combine_columns)(factors, rows, matrix, columns, begin, std::min(begin + kChunk, columns), out);
}

}  // namespace layeravatar::deform
#endif
