#include "layeravatar/geometry/rasterize.h"

#include <gtest/gtest.h>

namespace layeravatar::geometry {
namespace {
using Points = std::vector<std::array<float, 3>>;
using Triangles = std::vector<std::array<std::int32_t, 3>>;

// 64 pixels from 10 m: focal 312.5, so one pixel is 3.2 cm; the axis falls between pixels 31 and 32.
Camera front() { return turntable_cameras(64)[0]; }
std::size_t at(int x, int y) { return static_cast<std::size_t>(y * 64 + x); }

TEST(Rasterize, CoversThePixelCentresInsideTheTriangle) {
  // x from 0 to 10.03 pixels right of the centre, y likewise up: no pixel centre lies on an edge.
  const Points p{{0, 0, 0}, {0.321F, 0, 0}, {0, 0.321F, 0}};
  const auto v = rasterize(p, Triangles{{0, 1, 2}}, front());
  int covered = 0;
  for (const auto t : v.triangle) covered += t == 0 ? 1 : 0;
  EXPECT_EQ(covered, 55);  // centres at (i + .5, j + .5) with i + j + 1 <= 10.03
  EXPECT_EQ(v.triangle[at(32, 31)], 0);
  EXPECT_EQ(v.triangle[at(31, 31)], -1);
  EXPECT_NEAR(v.depth[at(32, 31)], 10, 1e-5);
  EXPECT_NEAR(v.barycentric[at(32, 31)][1], 0.016 / 0.321, 1e-5);  // half a pixel of 3.2 cm
}

TEST(Rasterize, TheNearerSurfaceWinsWhateverTheOrderAndSide) {
  const Points p{{-1, -1, 0}, {1, -1, 0}, {0, 1, 0}, {-1, -1, 1}, {1, -1, 1}, {0, 1, 1}};
  EXPECT_EQ(rasterize(p, Triangles{{0, 1, 2}, {3, 5, 4}}, front()).triangle[at(32, 32)], 1);
  EXPECT_EQ(rasterize(p, Triangles{{3, 4, 5}, {0, 1, 2}}, front()).triangle[at(32, 32)], 0);
  EXPECT_EQ(rasterize(p, Triangles{{0, 1, 2}, {0, 1, 2}}, front()).triangle[at(32, 32)], 0);
}

TEST(Rasterize, BarycentricsArePerspectiveCorrect) {
  const Points p{{-0.5F, -5, 5}, {0.5F, -5, 5}, {0, 5, -5}};  // leans back: the plane y = -z
  const auto v = rasterize(p, Triangles{{0, 1, 2}}, front());
  for (const int y : {20, 32, 40}) {
    const auto& b = v.barycentric[at(32, y)];
    ASSERT_EQ(v.triangle[at(32, y)], 0) << y;
    const double z_world = 5 * (b[0] + b[1]) - 5 * b[2];
    EXPECT_NEAR(v.depth[at(32, y)], 10 - z_world, 1e-4) << y;
  }
}

TEST(Rasterize, AHitCanBeDroppedAndNothingBehindTheCameraIsDrawn) {
  const Points p{{-1, -1, 0}, {1, -1, 0}, {0, 1, 0}, {-1, -1, 1}, {1, -1, 1}, {0, 1, 1}, {0, 1, 11}};
  const auto v = rasterize(p, Triangles{{0, 1, 2}, {3, 4, 5}, {3, 4, 6}}, front(),
                           [](std::size_t t, const std::array<float, 3>&) { return t == 1; });
  EXPECT_EQ(v.triangle[at(32, 32)], 0);
}

}  // namespace
}  // namespace layeravatar::geometry
