#include "layeravatar/geometry/ray_caster.h"

#include <gtest/gtest.h>

namespace layeravatar::geometry {
namespace {

// A square roof of half side 100 at height 1 over the origin.
const std::vector<std::array<float, 3>> kRoof{{-100, 1, -100}, {100, 1, -100}, {100, 1, 100}, {-100, 1, 100}};
const std::vector<std::array<std::int32_t, 3>> kRoofFaces{{0, 2, 1}, {0, 3, 2}};

TEST(RayCaster, HitsBetweenTheDistancesOnly) {
  const RayCaster caster(kRoof, kRoofFaces);
  EXPECT_TRUE(caster.occluded({0, 0, 0}, {0, 1, 0}, 0, 2));
  EXPECT_FALSE(caster.occluded({0, 0, 0}, {0, 1, 0}, 0, 0.5F));
  EXPECT_FALSE(caster.occluded({0, 0, 0}, {0, 1, 0}, 1.5F, 9));
  EXPECT_FALSE(caster.occluded({0, 0, 0}, {0, -1, 0}, 0, 9));
}

TEST(RayCaster, OpennessUnderARoofAndUnderTheSky) {
  const RayCaster caster(kRoof, kRoofFaces);
  const std::vector<std::array<float, 3>> points{{0, 0, 0}, {0, 2, 0}, {0, 0, 0}}, normals{{0, 1, 0}, {0, 1, 0}, {0, 1, 0}};
  const auto far = openness(caster, points, normals, 64, 1e4F, 0.01F);
  EXPECT_LT(far[0], 0.02F);
  EXPECT_EQ(far[1], 1.0F);
  // Within 2 m only directions steeper than 60 degrees off the normal reach the roof: cosine-weighted 1/4 stays free.
  EXPECT_NEAR(openness(caster, points, normals, 400, 2.0F, 0.0F)[2], 0.25F, 0.02F);
}

TEST(RayCaster, NormalsFollowTheWinding) {
  const auto normals = vertex_normals(kRoof, kRoofFaces);
  for (const auto& n : normals) EXPECT_NEAR(n[1], 1.0F, 1e-6);
}

}  // namespace
}  // namespace layeravatar::geometry
