#include "layeravatar/io/viridis.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace layeravatar::io {
namespace {

std::array<int, 4> colour(float value, float low, float high) {
  const std::vector<float> one{value};
  const Image picture = viridis_picture(one, 1, 1, low, high);
  EXPECT_EQ(picture.channels, 4);
  return {picture.pixels[0], picture.pixels[1], picture.pixels[2], picture.pixels[3]};
}

// The map's published ends are #440154 and #fde725, its middle #21918c; truncation takes 1 off where the fraction is high.
TEST(Viridis, EndsAndMiddle) {
  EXPECT_EQ(colour(-2, -2, 2), (std::array<int, 4>{68, 1, 84, 255}));
  EXPECT_EQ(colour(2, -2, 2), (std::array<int, 4>{253, 231, 36, 255}));
  const auto middle = colour(0, -2, 2);
  EXPECT_NEAR(middle[0], 0x21, 1);
  EXPECT_NEAR(middle[1], 0x91, 1);
  EXPECT_NEAR(middle[2], 0x8c, 1);
}

TEST(Viridis, OutsideAndConstant) {
  EXPECT_EQ(colour(-9, 0, 1), colour(0, 0, 1));
  EXPECT_EQ(colour(9, 0, 1), colour(1, 0, 1));
  EXPECT_EQ(colour(1.5F, 1, 1), colour(0, 0, 1));
  // Entry 1 begins at 1/256.
  EXPECT_EQ(colour(0.0039F, 0, 1), colour(0, 0, 1));
  EXPECT_NE(colour(0.00391F, 0, 1), colour(0, 0, 1));
}

}  // namespace
}  // namespace layeravatar::io
