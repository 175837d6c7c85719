#include "layeravatar/deform/kernels/pose_kernel.h"

#include <gtest/gtest.h>

#include "layeravatar/core/pooled_memory.h"

namespace layeravatar::deform {
namespace {

TEST(Covariances, ConformanceOfTheSpec) {  // spec/model.md section 15.1
  alignas(64) const float map[kMapSize] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
  const float frame[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  const float rotation[3] = {0.3F, -0.4F, 0.5F};
  const float base = 0.02F, radius[3] = {0, -0.5F, 0.5F};  // s = (0.02, 0.01, 0.01 * 0.02 * 1.5 = 0.0003)
  const std::uint8_t fixed = 1;
  const float zero[3] = {};
  PoseArgs args{};
  args.count = args.body_count = 1;
  args.positions = args.corrections = zero;
  args.frames = frame;
  args.fixed_maps = map;
  args.fixed = &fixed;
  std::int32_t node = 0;
  const PooledArray<float> lines(kBoundLines * kPoseGroup), maps(kMapLines * kPoseGroup);
  const BoundArrays bound{&node, lines.data()};
  bind_cpu(args, zero, radius, rotation, bound);
  float means[3], found[6] = {};
  pose_means_cpu(args, bound, means, maps.data());
  covariances_cpu(args, bound, maps.data(), &base, found);
  const double want[6] = {2.8490782e-4, 8.5876149e-5, 1.3189809e-4, 1.3464785e-4, 8.5638960e-5, 8.0534315e-5};
  for (int k = 0; k < 6; ++k) EXPECT_NEAR(found[k], want[k], 1e-10) << k;
}

}  // namespace
}  // namespace layeravatar::deform
