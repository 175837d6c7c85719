#include "layeravatar/people/recolour.h"

#include <gtest/gtest.h>

#include "layeravatar/core/error.h"

namespace layeravatar::people {
namespace {

using Kind = Recolour::Kind;

TEST(Recolour, KeepsAndRefuses) {
  const io::Image rgb{2, 1, 3, {10, 20, 30, 200, 100, 50}};
  EXPECT_EQ(recolour(rgb, {}).pixels, rgb.pixels);
  EXPECT_THROW((void)recolour(io::Image{1, 1, 1, {7}}, {Kind::kTint}), Error);
}

TEST(Recolour, AThirdOfATurnMovesTheChannelsOn) {
  // A rotation by 120 degrees about the grey axis takes red to green to blue; then the luminance is made the old one:
  // pure red 0.2 of 1 (luminance 0.0598) becomes green 0.2 (0.1174), shifted by the difference.
  const auto out = recolour({1, 1, 3, {51, 0, 0}}, {Kind::kHue, 1.0 / 3, 1, 1, {}, 1}).pixels;
  EXPECT_EQ(out, (std::vector<std::uint8_t>{0, 36, 0}));  // -15 clamps to 0, 51 - 15 = 36
  const auto grey = recolour({1, 1, 3, {80, 80, 80}}, {Kind::kHue, 0.4, 1.3, 0.5, {}, 1}).pixels;
  EXPECT_EQ(grey, (std::vector<std::uint8_t>{40, 40, 40})) << "grey has no hue";
  const auto flat = recolour({1, 1, 3, {200, 100, 50}}, {Kind::kHue, 0.7, 0, 1, {}, 1}).pixels;
  EXPECT_EQ(flat, (std::vector<std::uint8_t>{124, 124, 124})) << "without saturation the luminance is left";
}

TEST(Recolour, TintGivesTheMeanItsColour) {
  // A uniform texture becomes the tint; 0.9 is drawn below white: 1 - 0.25 exp(-0.6) = 0.8628.
  const Recolour how{Kind::kTint, 0, 1, 1, {0.5, 0.21, 0.9}, 1};
  EXPECT_EQ(recolour({1, 1, 3, {90, 90, 90}}, how).pixels, (std::vector<std::uint8_t>{128, 54, 220}));
  // Luminances 40 and 120, mean 80: relative 0.5 and 1.5, of which the latter becomes 2 - exp(-0.5) = 1.3935.
  const auto two = recolour({2, 1, 3, {40, 40, 40, 120, 120, 120}}, how).pixels;
  EXPECT_EQ(two[0], 64);
  EXPECT_EQ(two[1], 27);
  EXPECT_EQ(two[3], 178);
  EXPECT_EQ(two[4], 75);
  EXPECT_EQ(two[5], 247);
}

TEST(Recolour, TransparentTexelsDoNotCount) {
  const Recolour how{Kind::kTint, 0, 1, 1, {0.4, 0.4, 0.4}, 1};
  const auto out = recolour({2, 1, 4, {90, 90, 90, 255, 255, 255, 255, 0}}, how).pixels;
  EXPECT_EQ(out[0], 102);
  EXPECT_EQ(out[3], 255);
  EXPECT_EQ(out[7], 0) << "alpha stays";
}

}  // namespace
}  // namespace layeravatar::people
