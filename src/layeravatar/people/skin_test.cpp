#include "layeravatar/people/skin.h"

#include <gtest/gtest.h>

#include <cmath>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/people/package_for_test.h"

namespace layeravatar::people {
namespace {

TEST(Skin, UnderwearCoversTheTrunkAndNothingElse) {
  constexpr int kSize = 512;
  const auto& base = assets_for_test().base;
  const Cc0Body& body = body_for_test();
  const auto coverage = underwear_coverage(base, body, kSize);
  ASSERT_EQ(coverage.size(), static_cast<std::size_t>(kSize) * kSize);
  // At the texture corners of vertices with a clear place on the body.
  const auto at = [&](std::int32_t uv) {
    const auto& t = base.uvs[static_cast<std::size_t>(uv)];
    const int x = std::clamp(static_cast<int>(t[0] * kSize), 0, kSize - 1),
              y = std::clamp(static_cast<int>((1 - t[1]) * kSize), 0, kSize - 1);
    return coverage[static_cast<std::size_t>(y) * kSize + static_cast<std::size_t>(x)];
  };
  std::vector<std::vector<std::int32_t>> uvs_of(kBodyVertices);
  for (std::size_t q = 0; q < base.quads.size(); ++q)
    for (std::size_t k = 0; k < 4; ++k)
      if (base.quads[q][k] < kBodyVertices)
        uvs_of[static_cast<std::size_t>(base.quads[q][k])].push_back(base.quad_uvs[q][k]);
  for (const char* bare : {"head", "hands", "forearms", "lower_legs", "feet"})
    for (const auto v : body.regions.at(bare)) {
      if (v >= kBodyVertices) continue;
      for (const auto uv : uvs_of[static_cast<std::size_t>(v)]) EXPECT_EQ(at(uv), 0.0F) << bare << " " << v;
    }
  // Between the hip joints' height and 35 cm above, away from the arms, all is cloth: breasts and private parts too.
  const auto height = [&](int joint) {
    return body
        .rest_mean[3 * static_cast<std::size_t>(body.joint_base_vertices[static_cast<std::size_t>(joint)][0]) + 1];
  };
  int covered = 0;
  for (std::int32_t v = 0; v < kBodyVertices; ++v) {
    const float *p = body.rest_mean.data() + 3 * v, above_hip = p[1] - height(1);
    if (above_hip < -0.6F || above_hip > 3.5F || std::abs(p[0]) > 1.2F) continue;
    for (const auto uv : uvs_of[static_cast<std::size_t>(v)]) EXPECT_EQ(at(uv), 1.0F) << v;
    ++covered;
  }
  EXPECT_GT(covered, 600);
}

TEST(Skin, PaintBlendsToneAndCloth) {
  const io::Image skin{2, 2, 3, {100, 100, 100, 100, 100, 100, 200, 200, 200, 240, 240, 240}};
  const auto out = paint_skin(skin, {1.1F, 1, 0.5F}, {0, 1, 0.5F, 0}, {0, 0.5F, 1});
  EXPECT_EQ(out.channels, 3);
  EXPECT_EQ(out.pixels, (std::vector<std::uint8_t>{110, 100, 50, 0, 128, 255, 110, 164, 178, 255, 240, 120}));
}

}  // namespace
}  // namespace layeravatar::people
