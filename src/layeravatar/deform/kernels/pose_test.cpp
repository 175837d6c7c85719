#include "layeravatar/deform/kernels/pose_kernel.h"

#include <gtest/gtest.h>

namespace layeravatar::deform {
namespace {

TEST(Covariances, ConformanceOfTheSpec) {  // spec/model.md section 15.1
  const float map[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}, frame[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  const float rotation[3] = {0.3F, -0.4F, 0.5F};
  const float base = 0.02F, radius[3] = {0, -0.5F, 0.5F};  // s = (0.02, 0.01, 0.01 * 0.02 * 1.5 = 0.0003)
  PoseArgs args{};
  args.count = 1;
  args.frames = frame;
  float found[6] = {};
  covariances_cpu(args, map, radius, rotation, &base, found);
  const double want[6] = {2.8490782e-4, 8.5876149e-5, 1.3189809e-4, 1.3464785e-4, 8.5638960e-5, 8.0534315e-5};
  for (int k = 0; k < 6; ++k) EXPECT_NEAR(found[k], want[k], 1e-10) << k;
}

}  // namespace
}  // namespace layeravatar::deform
