#include "layeravatar/people/human_assets.h"

#include <gtest/gtest.h>

#include <cmath>

#include "layeravatar/core/error.h"
#include "layeravatar/people/macro_model.h"
#include "layeravatar/people/package_for_test.h"

namespace layeravatar::people {
namespace {

const std::string kQuad = R"({"vertices": [0,0,0, 1,0,0, 1,1,0, 0,1,0], "uvs": [[0,0, 1,0, 1,1, 0,1]],
  "materials": [{"DbgName": "body"}], "faces": [11, 0,1,2,3, 0, 0,1,2,3],
  "metadata": {"joint_pos_idxs": {"root____head": [0, 2]}},
  "bones": [{"name": "root____head", "parent": -1}, {"name": "root____tail", "parent": 0}],
  "skinIndices": [0,0,0,0, 0,0,0,0, 0,0,0,0, 0,0,0,0], "skinWeights": [1,0,0,0, 1,0,0,0, 1,0,0,0, 1,0,0,0]})";

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kQuad;
  text.replace(text.find(from), from.size(), to);
  return text;
}

std::string message_of(const std::string& text) {
  try {
    (void)parse_base_mesh(text, "m.json");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    return e.what();
  }
  return "accepted";
}

TEST(HumanAssets, DeepNestingCostsNoStack) {
  constexpr int kDepth = 1000000;
  const std::string deep = std::string(kDepth, '[') + std::string(kDepth, ']');
  EXPECT_EQ(message_of(replaced("[[0,0, 1,0, 1,1, 0,1]]", deep)), "m.json: 'uvs': expected a multiple of 2 numbers, found 1");
}

TEST(HumanAssets, ReadsAQuadItsRigAndItsJoints) {
  const auto mesh = parse_base_mesh(kQuad, "m.json");
  ASSERT_EQ(mesh.quads.size(), 1u);
  EXPECT_EQ(group_vertices(mesh, "body"), (std::vector<std::int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(mesh.bone_parent, (std::vector<std::int32_t>{-1}));
  EXPECT_EQ(joint_position(mesh, mesh.vertices, "root____head"), (Point{0.5F, 0.5F, 0}));
}

TEST(HumanAssets, MalformedMeshesAreRefusedWithTheirReason) {
  EXPECT_NE(message_of(kQuad.substr(0, 100)).find("m.json: "), std::string::npos);
  EXPECT_EQ(message_of(replaced("[11,", "[10,")), "m.json: 'faces': record 0 has type 10; expected 11");
  EXPECT_EQ(message_of(replaced("0,1,2,3, 0,", "0,1,2,9, 0,")), "m.json: 'faces': index 9 out of range 0..3");
  EXPECT_EQ(message_of(replaced("[0, 2]", "[0, -2]")), "m.json: 'joint_pos_idxs': index -2 out of range 0..3");
  EXPECT_NE(message_of(replaced("\"vertices\": [0,", "\"vertices\": [1e300,")).find("out of range"), std::string::npos);
  EXPECT_NE(message_of("[]").find("'vertices' is missing"), std::string::npos);
}

TEST(HumanAssets, MorphAddsWeightedThousandthsAndIgnoresMissingTargets) {
  const auto mesh = parse_base_mesh(kQuad, "m.json");
  const MorphTargets targets({"a", "b"}, {1000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 500, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 4);
  const auto moved = targets.morph(mesh, {{"a", 0.5}, {"b", 2}, {"none", 1}});
  EXPECT_EQ(moved[0], (Point{0.5F, 1, 0}));
  EXPECT_EQ(moved[1], (Point{1, 0, 0}));
}

TEST(HumanAssets, TrapAJointCubesFollowTheNearestSkinInHeightTargetsOnly) {
  const auto mesh = parse_base_mesh(kQuad, "m.json");
  std::vector<std::int16_t> values(24, 0);
  for (const std::size_t row : {0, 1}) {
    values[row * 12 + 1] = 300;      // vertex 0, the joint: wrong
    values[row * 12 + 3 + 1] = 10;   // vertex 1
    values[row * 12 + 9 + 1] = 30;   // vertex 3
    values[row * 12 + 6 + 1] = 999;  // vertex 2: farther away
  }
  MorphTargets targets({"macrodetails/height/x-maxheight", "macrodetails/x"}, values, 4);
  targets.repair_height_joints(mesh, {0}, {1, 2, 3}, 2);
  EXPECT_FLOAT_EQ(targets.displacement("macrodetails/height/x-maxheight", 0)[1], 0.02F);
  EXPECT_FLOAT_EQ(targets.displacement("macrodetails/x", 0)[1], 0.3F);
}

TEST(HumanAssets, RealPackageGivesTheMeasuredBodies) {
  const bool whole = package_for_test().whole();
  const auto& assets = assets_for_test();
  EXPECT_EQ(assets.base.vertices.size(), 19158u);
  EXPECT_EQ(assets.base.quads.size(), 18486u);
  EXPECT_EQ(assets.base.bones.size(), 163u);
  EXPECT_EQ(assets.targets.size(), whole ? 1258 : 13);
  const auto skin = group_vertices(assets.base, "body");
  EXPECT_EQ(skin.size(), 13380u);
  const auto stature = [&](const MacroParams& p) {
    const auto v = assets.targets.morph(assets.base, macro_target_weights(p));
    float low = 1e9F, high = -1e9F;
    for (const auto id : skin) {
      low = std::min(low, v[static_cast<std::size_t>(id)][1]);
      high = std::max(high, v[static_cast<std::size_t>(id)][1]);
    }
    return high - low;
  };
  // The extract lacks the build targets, which move an average body by little; its targets are rounded.
  const double near = whole ? 0.01 : 0.06;
  MacroParams man;  // spec/cc0_people.md 1.0: caucasian male, muscle 0.6: 17.48 dm
  man.gender = 1;
  man.muscle = 0.6;
  man.race = {0, 0, 1};
  EXPECT_NEAR(stature(man), 17.48, near);
  MacroParams woman;
  woman.gender = 0;
  woman.race = {0, 1, 1};  // "asian/caucasian female"
  EXPECT_NEAR(stature(woman), 15.50, near);
  // Trap A: at full height the knee lies within 1.5 cm of where its skin moved.
  man.muscle = 0.5;
  man.height = 1;
  const auto tall = assets.targets.morph(assets.base, macro_target_weights(man));
  man.height = 0.5;
  const auto mean = assets.targets.morph(assets.base, macro_target_weights(man));
  for (const char* knee : {"lowerleg01.L____head", "lowerleg01.R____head"}) {
    const auto a = joint_position(assets.base, mean, knee), b = joint_position(assets.base, tall, knee);
    double shift = 0, count = 0;
    for (const auto id : skin) {
      const auto& p = mean[static_cast<std::size_t>(id)];
      if (std::hypot(p[0] - a[0], p[1] - a[1], p[2] - a[2]) > 0.8) continue;
      shift += tall[static_cast<std::size_t>(id)][1] - p[1];
      ++count;
    }
    ASSERT_GT(count, 20);
    EXPECT_NEAR(b[1] - a[1], shift / count, 0.15) << knee;
  }
}

}  // namespace
}  // namespace layeravatar::people
