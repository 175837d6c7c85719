#include "layeravatar/people/layering.h"

#include <gtest/gtest.h>

#include <cmath>

namespace layeravatar::people {
namespace {

/// A square sheet of 10 x 10 quads, 10 dm wide, at height y.
Quads sheet(std::vector<Point>& vertices, float y) {
  Quads quads;
  for (int r = 0; r <= 10; ++r)
    for (int c = 0; c <= 10; ++c) vertices.push_back({static_cast<float>(c), y, static_cast<float>(r)});
  for (int r = 0; r < 10; ++r)
    for (int c = 0; c < 10; ++c) quads.push_back({11 * r + c, 11 * r + c + 1, 11 * r + c + 12, 11 * r + c + 11});
  return quads;
}

TEST(Layering, GapIsSignedAndBounded) {
  std::vector<Point> vertices;
  const Quads quads = sheet(vertices, 1.0F);
  const Cloth cloth(vertices, quads);
  const Point up{0, 1, 0};
  ASSERT_TRUE(cloth.gap({4.3F, 0.7F, 4.6F}, up, 0.5F, 0.5F));
  EXPECT_NEAR(*cloth.gap({4.3F, 0.7F, 4.6F}, up, 0.5F, 0.5F), 0.3F, 0.01F);
  EXPECT_NEAR(*cloth.gap({4.3F, 1.2F, 4.6F}, up, 0.5F, 0.5F), -0.2F, 0.01F);
  EXPECT_FALSE(cloth.gap({4.3F, 0.4F, 4.6F}, up, 0.5F, 0.5F)) << "too far below";
  EXPECT_FALSE(cloth.gap({4.3F, 1.6F, 4.6F}, up, 0.5F, 0.5F)) << "too far above";
  EXPECT_FALSE(cloth.gap({4.3F, 1.2F, 4.6F}, up, 0.5F, 0)) << "not asked for";
  EXPECT_FALSE(cloth.gap({11, 0.7F, 4.6F}, up, 0.5F, 0.5F)) << "beside it";
}

TEST(Layering, BorderIsTheSheetsEdge) {
  std::vector<Point> vertices;
  const Quads quads = sheet(vertices, 1.0F);
  const Cloth cloth(vertices, quads);
  EXPECT_FLOAT_EQ(cloth.border_distance({5, 1, 5}), 5);
  EXPECT_FLOAT_EQ(cloth.border_distance({9, 1, 5}), 1);
  EXPECT_FLOAT_EQ(cloth.border_distance({0, 4, 0}), 3);
  // A closed box has no border.
  const std::vector<Point> corners{{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0},
                                   {0, 0, 1}, {1, 0, 1}, {1, 1, 1}, {0, 1, 1}};
  const Quads box{{0, 3, 2, 1}, {4, 5, 6, 7}, {0, 1, 5, 4}, {1, 2, 6, 5}, {2, 3, 7, 6}, {3, 0, 4, 7}};
  EXPECT_TRUE(std::isinf(Cloth(corners, box).border_distance({0, 0, 0})));
}

TEST(Layering, SettledPointsHaveRoomAndCoveredOnesAreFound) {
  std::vector<Point> vertices;
  const Quads quads = sheet(vertices, 1.0F);
  const Cloth cloth(vertices, quads);
  std::vector<Point> points{
      {4.3F, 0.98F, 4.6F}, {4.3F, 1.05F, 4.6F}, {4.3F, 0.6F, 4.6F}, {9.6F, 0.9F, 4.6F}, {4.3F, 1.5F, 4.6F}};
  const std::vector<Point> normals(points.size(), {0, 1, 0});
  EXPECT_EQ(well_covered(points, normals, {&cloth}, 0.5F, 1.0F), (std::vector<std::uint8_t>{1, 0, 1, 0, 0}));
  EXPECT_EQ(well_covered(points, normals, {&cloth}, 0.2F, 0.3F), (std::vector<std::uint8_t>{1, 0, 0, 1, 0}));
  settle(points, normals, cloth, 0.1F, 0.2F);
  const float wanted[] = {0.9F, 0.9F, 0.6F, 0.9F, 1.5F};
  for (std::size_t i = 0; i < points.size(); ++i) {
    EXPECT_NEAR(points[i][1], wanted[i], 0.005F) << i;
    EXPECT_EQ(points[i][2], 4.6F);
  }
}

}  // namespace
}  // namespace layeravatar::people
