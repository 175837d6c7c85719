#include "layeravatar/people/dressed_person.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "layeravatar/body/body_model.h"
#include "layeravatar/core/error.h"
#include "layeravatar/geometry/rasterize.h"
#include "layeravatar/people/package_for_test.h"

namespace layeravatar::people {
namespace {

// Garments, hair and textures are in the whole package only.
class Dressed : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!package_for_test().whole()) GTEST_SKIP() << "LAV_MAKEHUMAN_DIR names no unpacked npm package";
  }
  static Wardrobe& wardrobe() {
    static Wardrobe out(package_for_test().folder(), assets_for_test(), body_for_test());
    return out;
  }
  static DressedPerson person(std::uint64_t seed) {
    return wardrobe().dress(sample_look(seed, wardrobe().package()), sample_pose(seed));
  }
};

TEST_F(Dressed, TheSameSeedGivesTheSamePerson) {
  const DressedPerson a = person(3), b = person(3), other = person(4);
  EXPECT_EQ(a.mesh.vertices, b.mesh.vertices);
  EXPECT_EQ(a.mesh.shade, b.mesh.shade);
  EXPECT_EQ(a.params, b.params);
  for (std::size_t i = 0; i < a.mesh.material_list.size(); ++i)
    EXPECT_EQ(a.mesh.material_list[i].texture.pixels, b.mesh.material_list[i].texture.pixels) << i;
  EXPECT_NE(a.params, other.params);
}

TEST_F(Dressed, MeshIsWholeAndTheBodyIsWhereItsParametersSay) {
  for (std::uint64_t seed = 1; seed < 5; ++seed) {
    const DressedPerson p = person(seed);
    const TexturedMesh& m = p.mesh;
    ASSERT_EQ(m.shade.size(), m.vertices.size());
    ASSERT_EQ(m.labels.size(), m.triangles.size());
    ASSERT_EQ(m.uv_triangles.size(), m.triangles.size());
    ASSERT_EQ(m.materials.size(), m.triangles.size());
    std::map<Label, int> triangles;
    std::set<std::string> names;
    for (const auto label : m.labels) ++triangles[label];
    for (const auto& material : m.material_list) names.insert(material.name);
    EXPECT_EQ(names, (std::set<std::string>{"skin", "eyes", "eyebrows", "top", "bottom", "shoes", "hair"}));
    EXPECT_EQ(triangles.size(), 5U);
    for (const float s : m.shade) ASSERT_TRUE(s >= 0.55F && s <= 1.05F) << s;
    // Bare skin (the face, the hands) are vertices of the body model to a tenth of a millimetre.
    const auto b = body::pose(wardrobe().body().model, p.params);
    std::set<std::int32_t> skin;
    for (std::size_t t = 0; t < m.triangles.size(); ++t)
      if (m.material_list[static_cast<std::size_t>(m.materials[t])].name == "skin")
        skin.insert(m.triangles[t].begin(), m.triangles[t].end());
    std::size_t exact = 0, far = 0;
    for (const auto v : skin) {
      float best = 1;
      for (std::size_t i = 0; i + 2 < 3 * static_cast<std::size_t>(kBodyVertices); i += 3) {
        const float x = b.vertices[i] - m.vertices[static_cast<std::size_t>(v)][0],
                    y = b.vertices[i + 1] - m.vertices[static_cast<std::size_t>(v)][1],
                    z = b.vertices[i + 2] - m.vertices[static_cast<std::size_t>(v)][2];
        best = std::min(best, x * x + y * y + z * z);
      }
      exact += best < 1e-4F * 1e-4F ? 1 : 0;
      far += best > 0.02F * 0.02F ? 1 : 0;
    }
    EXPECT_GT(exact, skin.size() * 8 / 10) << "of " << skin.size();
    EXPECT_EQ(far, 0U) << "settled by centimetres";
  }
}

// Mixed suits are the hard case. spec/cc0_people.md section 1.8 measured 0.15 % of the garment pixels for the body.
TEST_F(Dressed, LittlePokesThroughMixedSuits) {
  constexpr std::array<std::array<const char*, 2>, 4> kOutfits = {{{"female_casualsuit01", "female_elegantsuit01"},
                                                                   {"female_sportsuit01", "male_casualsuit01"},
                                                                   {"male_casualsuit01", "female_casualsuit02"},
                                                                   {"female_elegantsuit01", "male_casualsuit05"}}};
  std::int64_t cloth = 0, body_pokes = 0, bottom_pokes = 0;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    PersonLook look = sample_look(seed, wardrobe().package());
    look.choice.top = kOutfits[seed % 4][0];
    look.choice.bottom = kOutfits[seed % 4][1];
    const TexturedMesh m = wardrobe().dress(look, body::default_viewing_pose()).mesh;
    for (const double azimuth : {0.0, 1.5708, 3.14159}) {
      const geometry::Camera camera{
          geometry::invert_rigid(geometry::world_from_camera_on_sphere(1.5708, azimuth, 10)), 1500, 300, 300};
      const auto depth_of = [&](auto keep) {
        const auto drop = [&](std::int32_t t, const auto&) { return !keep(m.labels[static_cast<std::size_t>(t)]); };
        return geometry::rasterize(m.vertices, m.triangles, camera, drop).depth;
      };
      const auto body = depth_of([](Label l) { return l == Label::kBody; });
      const auto top = depth_of([](Label l) { return l == Label::kTop; });
      const auto bottom = depth_of([](Label l) { return l == Label::kBottom; });
      for (std::size_t i = 0; i < body.size(); ++i) {
        const float over = std::min(top[i], bottom[i]);
        cloth += over < 100 ? 1 : 0;
        body_pokes += over < 100 && body[i] < over && over - body[i] < 0.015F ? 1 : 0;
        bottom_pokes += top[i] < 100 && bottom[i] < top[i] && top[i] - bottom[i] < 0.015F ? 1 : 0;
      }
    }
  }
  ASSERT_GT(cloth, 100000);
  EXPECT_LT(static_cast<double>(body_pokes), 0.0010 * static_cast<double>(cloth));
  EXPECT_LT(static_cast<double>(bottom_pokes), 0.0001 * static_cast<double>(cloth));
}

TEST_F(Dressed, RefusesWhatIsNotOnTheList) {
  PersonLook look = sample_look(1, wardrobe().package());
  look.choice.top = "male_worksuit01";
  EXPECT_THROW((void)wardrobe().dress(look, body::default_viewing_pose()), Error);
}

}  // namespace
}  // namespace layeravatar::people
