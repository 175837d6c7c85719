#include "layeravatar/people/person.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "layeravatar/core/error.h"
#include "layeravatar/people/package_for_test.h"

namespace layeravatar::people {
namespace {

TEST(Person, SeedsAreRepeatableAndDiffer) {
  EXPECT_EQ(sample_person(7).top, sample_person(7).top);
  EXPECT_EQ(sample_person(7).shape.height, sample_person(7).shape.height);
  std::set<std::string> outfits;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto p = sample_person(seed);
    EXPECT_NO_THROW(p.shape.check());
    outfits.insert(p.top + p.bottom + p.shoes + p.hair);
  }
  EXPECT_GT(outfits.size(), 95u);
}

TEST(Person, APartHidesOnlyTheBodyNearIt) {
  Garment suit;
  std::vector<Point> base;
  for (std::int32_t i = 0; i < 8; ++i) {
    base.push_back({static_cast<float>(i % 4), i < 4 ? 0.F : 5.F, 0});
    suit.base_vertices.push_back({i, i, i});
  }
  suit.quads = suit.quad_uvs = {{0, 1, 2, 3}, {4, 5, 6, 7}};
  suit.hides = {1, 1, 0, 0, 1, 1, 1, 0};
  const auto top = take_part(suit, {Label::kBottom, Label::kTop}, Label::kTop, base, base);
  EXPECT_EQ(top.quads.size(), 1u);
  EXPECT_EQ(top.hides, (std::vector<std::uint8_t>{0, 0, 0, 0, 1, 1, 1, 0}));
}

TEST(Person, RealPeopleWearAllFiveLabels) {
  if (!package_for_test().whole()) GTEST_SKIP() << "LAV_MAKEHUMAN_DIR names no unpacked npm package";
  const auto& folder = package_for_test().folder();
  const auto& assets = assets_for_test();
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const auto mesh = build_person(assets, folder, sample_person(seed));
    ASSERT_EQ(mesh.parts.size(), 5u);
    ASSERT_EQ(mesh.labels.size(), mesh.triangles.size());
    std::map<Label, int> count;
    for (const auto label : mesh.labels) ++count[label];
    for (const auto label : {Label::kBody, Label::kTop, Label::kHair, Label::kShoes, Label::kBottom})
      EXPECT_GT(count[label], 500) << static_cast<int>(label) << " of seed " << seed;
    EXPECT_LT(count[Label::kBody], 2 * 13378) << "nothing of the body is hidden, seed " << seed;
  }
  PersonChoice off = sample_person(0);
  off.top = "male_worksuit01";
  EXPECT_THROW((void)build_person(assets, folder, off), Error);
}

}  // namespace
}  // namespace layeravatar::people
