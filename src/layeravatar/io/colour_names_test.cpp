#include "layeravatar/io/colour_names.h"

#include <gtest/gtest.h>

namespace layeravatar::io {
namespace {

TEST(ColourNames, EachIsItsOwnNearest) {
  for (const std::string& name : colour_names()) EXPECT_EQ(nearest_colour_name(named_colour(name).value()), name);
  EXPECT_EQ(nearest_colour_name({1, 0, 0}), "red");
  EXPECT_EQ(nearest_colour_name({0, 0, 0}), "black");
  EXPECT_EQ(nearest_colour_name({1, 1, 1}), "white");
}

TEST(ColourNames, HexadecimalNumbersAreColours) {
  EXPECT_EQ(named_colour("#ff0080"), (std::array<double, 3>{1, 0, 128.0 / 255}));
  for (const char* bad : {"", "#ff008", "#ff00800", "ff0080", "#gg0000", "#-10000", "mauve"}) EXPECT_FALSE(named_colour(bad)) << bad;
}

}  // namespace
}  // namespace layeravatar::io
