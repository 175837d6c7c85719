#include "layeravatar/people/garment.h"

#include <gtest/gtest.h>

#include <map>

#include "layeravatar/core/error.h"
#include "layeravatar/people/macro_model.h"
#include "layeravatar/people/package_for_test.h"

namespace layeravatar::people {
namespace {

Garment two_quads() {  // a lower and an upper square on eight base vertices
  Garment g;
  for (std::int32_t i = 0; i < 8; ++i) {
    g.base_vertices.push_back({i, i, i});
    g.base_weights.push_back({1, 0, 0});
    g.offsets.push_back({0, 0, 0});
    g.uvs.push_back({0, 0});
  }
  g.quads = g.quad_uvs = {{0, 1, 2, 3}, {4, 5, 6, 7}};
  g.hides.assign(8, 0);
  return g;
}

TEST(Garment, FitIsWeightedReferencesPlusScaledOffset) {
  Garment g = two_quads();
  g.base_vertices[0] = {0, 1, 2};
  g.base_weights[0] = {0.5F, 1, -0.5F};
  g.offsets[0] = {0.25F, 0, 0};
  const std::vector<Point> base{{0, 0, 0}, {2, 2, 2}, {4, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
  const auto fitted = fit(g, {{{{0, 1}, {0, 1}, {0, 1}}}, {0.5F, 1, 1}}, base);
  EXPECT_EQ(fitted[0], (Point{1, 2, 2}));  // 0.5*0 + 2 - 0.5*4 + (2 / 0.5) * 0.25
}

TEST(Garment, PiecesAreLabelledByMeanHeight) {
  const Garment g = two_quads();
  std::vector<Point> rest(8, Point{0, 0.2F, 0});
  for (std::size_t i = 4; i < 8; ++i) rest[i][1] = 0.8F;
  EXPECT_EQ(label_suit(g, rest, 0, 1), (std::vector<Label>{Label::kBottom, Label::kTop}));
}

TEST(Garment, APieceOverTheWholeBodyIsSplitByTextureIslands) {
  Garment g = two_quads();
  g.quads[1] = {3, 5, 6, 7};  // joined to the lower square at vertex 3; the islands stay apart
  std::vector<Point> rest(8, Point{0, 0.1F, 0});
  for (std::size_t i = 4; i < 8; ++i) rest[i][1] = 0.9F;
  EXPECT_EQ(label_suit(g, rest, 0, 1), (std::vector<Label>{Label::kBottom, Label::kTop}));
}

TEST(Garment, OuterLayersHideInnerOnes) {
  Garment inner = two_quads(), outer = two_quads();
  outer.z_depth = 60;
  inner.z_depth = 50;
  outer.hides = {1, 1, 1, 1, 0, 0, 0, 0};
  const auto v = resolve_visibility({&inner, &outer}, 8);
  EXPECT_EQ(v.quads[0], (std::vector<std::uint8_t>{0, 1}));
  EXPECT_EQ(v.quads[1], (std::vector<std::uint8_t>{1, 1}));
  EXPECT_EQ(v.hidden_base, outer.hides);
}

TEST(Garment, OnlyProvenAssetsAreAllowed) {
  EXPECT_FLOAT_EQ(offset_scale("shoes03").denominator[1], 0.5875F);
  EXPECT_FLOAT_EQ(offset_scale("short02").denominator[0], 1.4340F);
  for (const char* name : {"male_worksuit01", "Sari1", "../x"}) EXPECT_THROW((void)offset_scale(name), Error) << name;
}

TEST(Garment, MalformedFilesAreRefused) {
  for (const char* text : {"", "[]", R"({"metadata": {"ref_vIdxs": [[0, 1]]}})", R"({"metadata": {"ref_vIdxs": 3}})",
                           R"({"metadata": {"ref_vIdxs": [[0,1,99]], "weights": [[1,0,0]], "offsets": [[0,0,0]]}})"}) {
    try {
      (void)parse_garment(text, "g", "g.json", 4);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
      EXPECT_EQ(std::string(e.what()).substr(0, 8), "g.json: ");
    }
  }
}

// The table of spec/cc0_people.md section 4.
TEST(Garment, RealSuitsSplitAsMeasured) {
  const auto& folder = package_for_test().folder();
  const auto& assets = assets_for_test();
  const auto skin = group_vertices(assets.base, "body");
  const auto count = [&](const char* name, double gender) {
    MacroParams p;
    p.gender = gender;
    p.race = {0, 0, 1};
    const auto body = assets.targets.morph(assets.base, macro_target_weights(p));
    float low = 1e9F, high = -1e9F;
    for (const auto id : skin) {
      low = std::min(low, body[static_cast<std::size_t>(id)][1]);
      high = std::max(high, body[static_cast<std::size_t>(id)][1]);
    }
    const auto suit = read_garment(folder / "public/data/proxies/clothes" / name,
                                   static_cast<std::int64_t>(body.size()));
    std::map<Label, int> out;
    for (const auto label : label_suit(suit, fit(suit, offset_scale(name), body), low, high)) ++out[label];
    return std::pair(out[Label::kTop], out[Label::kBottom]);
  };
  EXPECT_EQ(count("female_sportsuit01", 0), std::pair(862, 856));
  if (!package_for_test().whole()) return;  // the extract has one suit
  EXPECT_EQ(count("female_casualsuit01", 0), std::pair(1262, 856));
  EXPECT_EQ(count("female_casualsuit02", 0), std::pair(1262, 1482));
  EXPECT_EQ(count("female_elegantsuit01", 0), std::pair(1732, 364));
  EXPECT_EQ(count("male_casualsuit01", 1), std::pair(4006, 4330));
  EXPECT_EQ(count("male_casualsuit05", 1), std::pair(2142, 856));
  EXPECT_EQ(count("male_casualsuit06", 1), std::pair(2728, 856));
  EXPECT_EQ(count("male_elegantsuit01", 1), std::pair(6165, 1313));
}

}  // namespace
}  // namespace layeravatar::people
