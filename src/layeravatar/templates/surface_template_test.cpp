#include "layeravatar/templates/surface_template.h"

#include <gtest/gtest.h>

#include <cmath>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/core/error.h"
#include "layeravatar/templates/charts_for_test.h"

namespace layeravatar::templates {
namespace {

// A sheet of 4 x 1 quads of 1 m in the plane z = 0, cut along (a, c); vertices (x, y) have the id 5 y + x.
// Vertex i moves by i + 1 along x per beta 0 and belongs to joint i.
SurfaceInput sheet() {
  SurfaceInput in;
  for (int y = 0; y < 2; ++y)
    for (int x = 0; x < 5; ++x) {
      in.vertices.insert(in.vertices.end(), {static_cast<float>(x), static_cast<float>(y), 0});
      in.uvs.insert(in.uvs.end(), {static_cast<float>(x) / 5, static_cast<float>(y) / 5});
    }
  for (int x = 0; x < 4; ++x) in.triangles.insert(in.triangles.end(), {x, x + 1, x + 6, x, x + 6, x + 5});
  in.uv_triangles = in.triangles;
  in.visible.assign(8, 1);
  in.shape_dirs.assign(10 * 60, 0);
  in.weights.assign(10 * body::kJoints, 0);
  for (std::size_t v = 0; v < 10; ++v) {
    in.shape_dirs[60 * v] = static_cast<float>(v + 1);
    in.weights[v * body::kJoints + v] = 1;
  }
  in.regions = {{"face", {0, 5}}, {"nose", {0}}, {"eyes", {5}}, {"hands", {4, 9}}, {"torso", {1, 2, 3, 6, 7, 8}}};
  return in;
}

SurfaceRules coarse_rules() {
  SurfaceRules rules;
  const auto coarse = [](const std::string&) { return 1.0F; };  // divides above 2 square metres: nothing
  rules.body = {{.label = 1, .spacing = coarse}};
  rules.hair_shoes = {{.label = 3, .regions = {"face"}, .spacing = coarse},
                      {.label = 4, .regions = {"hands"}, .spacing = coarse}};
  rules.bottom_top = {
      {.label = 5, .regions = {"torso"}, .keep = [](const auto& c) { return c[0] < 2; }, .spacing = coarse},
      {.label = 2, .regions = {"torso"}, .keep = [](const auto& c) { return c[0] > 2; }, .spacing = coarse}};
  rules.thinning = 0;
  return rules;
}

TEST(BuildFromSurface, BlocksFollowTheParts) {
  const SurfaceTemplate built = build_from_surface(sheet(), coarse_rules());
  const LayeredTemplate& t = built.layers;
  // Body 8 faces; the face's vertices touch 2, the hands' 2; half the sheet each for bottom and top.
  EXPECT_EQ(t.blocks, (std::array<std::int64_t, 4>{8, 4, 4, 4}));
  EXPECT_EQ(t.labels, (std::vector<std::int32_t>{1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 4, 4, 5, 5, 5, 5, 2, 2, 2, 2}));
  EXPECT_EQ(built.source, (std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(t.dense_count(), 10 + 8 + 10) << "parts of a layer share vertices";
  EXPECT_NO_THROW(from_arrays(to_arrays(t), "memory"));
}

TEST(BuildFromSurface, AGaussianTakesTheMeanOfItsCorners) {
  const LayeredTemplate t = build_from_surface(sheet(), coarse_rules()).layers;
  // The first face is (0,0), (1,0), (1,1).
  EXPECT_FLOAT_EQ(t.positions[0], 2.0F / 3);
  EXPECT_FLOAT_EQ(t.positions[1], 1.0F / 3);
  EXPECT_FLOAT_EQ(t.positions[2], 0);
  for (const int joint : {0, 1, 6}) EXPECT_FLOAT_EQ(t.body_weights[static_cast<std::size_t>(joint)], 1.0F / 3);
  EXPECT_FLOAT_EQ(t.body_weights[5], 0);
  for (std::size_t i = 0; i < t.labels.size(); ++i) {
    EXPECT_FLOAT_EQ(t.frames[9 * i + 8], 1) << "normal along z";
    const float layer = i < 8 ? 0 : i < 12 ? 1 : 2;
    EXPECT_GT(3 * t.uvs[2 * i], layer);
    EXPECT_LT(3 * t.uvs[2 * i], layer + 1);
    EXPECT_GT(t.uvs[2 * i + 1], 0);
    EXPECT_LT(t.uvs[2 * i + 1], 1);
    for (std::size_t k = 0; k < 3; ++k) {  // the bases are those of the corners
      const auto id = static_cast<std::size_t>(t.faces[3 * i + k]);
      const float amount = t.shape_dirs[60 * id];
      EXPECT_GE(amount, 1);
      EXPECT_EQ(amount, std::round(amount));
    }
  }
  EXPECT_EQ(t.shape_dirs[60 * static_cast<std::size_t>(t.faces[2])], 7) << "vertex 6";
}

TEST(BuildFromSurface, MasksTouchTheirRegion) {
  const LayeredTemplate t = build_from_surface(sheet(), coarse_rules()).layers;
  EXPECT_EQ(t.face_mask, (std::vector<std::uint8_t>{1, 1, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(t.hands_mask, (std::vector<std::uint8_t>{0, 0, 0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(t.nose_mask, (std::vector<std::uint8_t>{1, 1, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(t.outside_mask, (std::vector<std::uint8_t>{0, 1, 0, 0, 0, 0, 0, 0})) << "only the second has vertex 5";
}

TEST(BuildFromSurface, LargeFacesAreDividedInPlace) {
  SurfaceRules rules = coarse_rules();
  // 0.5 m2 > 2 s2 = 0.32 once, 0.125 not again; hands stay.
  rules.body[0].spacing = [](const std::string& region) { return region == "hands" ? 1.0F : 0.4F; };
  const SurfaceTemplate built = build_from_surface(sheet(), rules);
  EXPECT_EQ(built.layers.blocks[0], 6 * 4 + 2);
  EXPECT_EQ(std::vector<std::int32_t>(built.source.begin(), built.source.begin() + 5),
            (std::vector<std::int32_t>{0, 0, 0, 0, 1}));
  // Children of (0,0), (1,0), (1,1): at a, at b, at c, middle.
  const float expected[4][2] = {{1.0F / 3, 1.0F / 6}, {5.0F / 6, 1.0F / 6}, {5.0F / 6, 2.0F / 3}, {2.0F / 3, 1.0F / 3}};
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t k = 0; k < 2; ++k) EXPECT_NEAR(built.layers.positions[3 * i + k], expected[i][k], 1e-6) << i;
  // The middle of vertices 0 and 1 moves by 1.5; both faces at an edge share its midpoint.
  const LayeredTemplate& t = built.layers;
  EXPECT_FLOAT_EQ(t.shape_dirs[60 * static_cast<std::size_t>(t.faces[1])], 1.5F);
  EXPECT_EQ(t.faces[2], t.faces[3 * 4 + 1]) << "middle of the diagonal";
  // Mean of the corners 0, 0|1, 0|6: two thirds joint 0.
  EXPECT_FLOAT_EQ(t.body_weights[0], 2.0F / 3);
  EXPECT_FLOAT_EQ(t.body_weights[1], 1.0F / 6);
}

TEST(BuildFromSurface, UnseenFacesGetNoGaussian) {
  SurfaceInput in = sheet();
  in.visible[1] = in.visible[7] = 0;
  const SurfaceTemplate built = build_from_surface(in, coarse_rules());
  EXPECT_EQ(built.layers.blocks, (std::array<std::int64_t, 4>{6, 2, 3, 3}));
  EXPECT_EQ(built.charts[0].source, (std::vector<std::int32_t>{0, 2, 3, 4, 5, 6}));
}

TEST(BuildFromSurface, CrowdedFacesAreThinnedUnlessTheyFaceApart) {
  SurfaceRules rules = coarse_rules();
  // Neighbours of a quad are 0.47 m apart, those of different quads at least 0.74 m.
  rules.thinning = 0.5;
  const SurfaceTemplate built = build_from_surface(sheet(), rules);
  EXPECT_EQ(built.layers.blocks[0], 4);
  EXPECT_EQ(std::vector<std::int32_t>(built.source.begin(), built.source.begin() + 4),
            (std::vector<std::int32_t>{0, 2, 4, 6}));
  EXPECT_EQ(built.charts[0].source.size(), 8U);

  SurfaceInput folded = sheet();
  for (std::size_t f = 1; f < 8; f += 2) {
    std::swap(folded.triangles[3 * f], folded.triangles[3 * f + 1]);
    std::swap(folded.uv_triangles[3 * f], folded.uv_triangles[3 * f + 1]);
  }
  EXPECT_EQ(build_from_surface(folded, rules).layers.blocks[0], 8);
}

TEST(BuildFromSurface, CutsMakeChartsOfTheirOwn) {
  SurfaceRules rules = coarse_rules();
  const auto charts = [&](double smallest, bool drop) {
    rules.body[0].cut = [](const std::string&, const std::array<float, 3>& c) { return c[0] < 1 ? 0 : 1; };
    rules.body[0].smallest_piece = smallest;
    rules.body[0].drop_small_islands = drop;
    return build_from_surface(sheet(), rules).charts[0];
  };
  // Vertex 1 belongs to faces 0 and 2: one place in the texture, unless the atlas is cut between them.
  const auto together = [](const LayerCharts& c) { return c.corners[1] == c.corners[6]; };
  EXPECT_FALSE(together(charts(0.1, false)));
  EXPECT_TRUE(together(charts(1.5, false))) << "a piece of 1 m2 stays with the rest";
  EXPECT_EQ(charts(1.5, true).source.size(), 8U) << "the island has 4 m2";
  EXPECT_TRUE(charts(5, true).source.empty());
  EXPECT_EQ(take_census(charts(0.1, false).corners, 256).overlaps, 0);
}

TEST(BuildFromSurface, RefusesArraysOfDifferentLength) {
  SurfaceInput in = sheet();
  in.visible.pop_back();
  EXPECT_THROW(build_from_surface(in, coarse_rules()), Error);
  SurfaceRules rules = coarse_rules();
  rules.bottom_top.pop_back();
  EXPECT_THROW(build_from_surface(sheet(), rules), Error);
}

}  // namespace
}  // namespace layeravatar::templates
