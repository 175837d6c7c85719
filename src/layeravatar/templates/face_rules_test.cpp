#include "layeravatar/templates/face_rules.h"

#include <gtest/gtest.h>

namespace layeravatar::templates {
namespace {

using Frame = std::array<float, 9>;

TEST(FaceRules, DivideATriangleInTheNormativeOrder) {
  const auto children = one_to_four({0, 1, 2}, {3, 4, 5});
  const std::array<std::array<std::int32_t, 3>, 4> expected{{{0, 3, 5}, {3, 1, 4}, {5, 4, 2}, {3, 4, 5}}};
  EXPECT_EQ(children, expected);
}

TEST(FaceRules, FramesOfTheUnitTriangle) {
  const std::array<std::array<float, 3>, 3> points{{{0, 0, 0}, {1, 0, 0}, {0, 1, 0}}};
  EXPECT_EQ(tangent_frame(points, {{{0, 0}, {1, 0}, {0, 1}}}), (Frame{1, 0, 0, 0, 1, 0, 0, 0, 1}));
  // Mirrored texture: tangent (-1, 0, 0), bitangent (0, -1, 0), normal (0, 0, 1).
  EXPECT_EQ(tangent_frame(points, {{{0, 0}, {-1, 0}, {0, 1}}}), (Frame{-1, 0, 0, 0, -1, 0, 0, 0, 1}));
}

TEST(FaceRules, FrameOfATurnedTriangle) {
  // In the plane x = 0 with u along z and v along -y: the normal is -x.
  const Frame frame = tangent_frame({{{0, 0, 0}, {0, 0, 2}, {0, -3, 0}}}, {{{0, 0}, {2, 0}, {0, 3}}});
  const Frame expected{0, 0, 1, 0, -1, 0, 1, 0, 0};
  for (std::size_t i = 0; i < 9; ++i) EXPECT_FLOAT_EQ(frame[i], expected[i]) << i;
}

TEST(FaceRules, AFaceWithoutTextureHasNoTangent) {
  const Frame frame = tangent_frame({{{0, 0, 0}, {1, 0, 0}, {0, 1, 0}}}, {{{.5, .5}, {.5, .5}, {.5, .5}}});
  EXPECT_EQ(frame, (Frame{0, 0, 0, 0, 0, 0, 0, 0, 1}));
}

}  // namespace
}  // namespace layeravatar::templates
