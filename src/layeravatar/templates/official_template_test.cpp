#include "layeravatar/templates/official_template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "layeravatar/core/error.h"
#include "layeravatar/templates/official_for_test.h"

namespace layeravatar::templates {
namespace {

OfficialTemplate build_small(const OfficialSources& sources) {
  return build_official_template(small_body(), sources, custom_sizes(small_body().vertex_count()));
}

std::string build_error(const OfficialSources& sources, const OfficialSizes& sizes) {
  try {
    (void)build_official_template(small_body(), sources, sizes);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
    return e.what();
  }
  return "built";
}

std::vector<std::int64_t> recorded_integers(const std::string& name) {
  return io::to_integers(recorded_template().at(name), name);
}

template <class T>
void expect_equal_to_recorded(const std::vector<T>& found, const std::string& name) {
  const auto want = recorded_integers(name);
  EXPECT_EQ(std::vector<std::int64_t>(found.begin(), found.end()), want) << name;
}

void expect_near_recorded(const std::vector<float>& found, const std::string& name, double tolerance) {
  const auto want = io::to_floats(recorded_template().at(name));
  ASSERT_EQ(found.size(), want.size()) << name;
  for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(found[i], want[i], tolerance) << name << " " << i;
}

TEST(OfficialTemplate, SizesOfTheRelease) {
  const OfficialSizes sizes;
  EXPECT_EQ(sizes.gaussians[0] + sizes.gaussians[1] + sizes.gaussians[2] + sizes.gaussians[3], 89490);
  EXPECT_EQ(build_error(small_sources(), sizes), "the body model: expected 10475 vertices, found 300");
}

TEST(OfficialTemplate, LabelsAndMasksAreTheRecordedOnes) {
  const LayeredTemplate& t = small_template().layers;
  EXPECT_EQ(t.blocks, (std::array<std::int64_t, 4>{1409, 800, 480, 960}));
  expect_equal_to_recorded(t.labels, "part_label_full");
  const auto mask = [](const std::vector<std::uint8_t>& found, const std::string& name) {
    const auto want = recorded_template().at(name).at<bool>();
    ASSERT_EQ(found.size(), want.size()) << name;
    for (std::size_t i = 0; i < want.size(); ++i) ASSERT_EQ(found[i] != 0, want[i]) << name << " " << i;
  };
  mask(t.face_mask, "face_mask_body");
  mask(t.hands_mask, "hands_mask_body");
  mask(t.outside_mask, "outside_mask_body");
  mask(t.nose_mask, "nose_mask_body");
}

TEST(OfficialTemplate, PositionsFramesAndTextureAreTheRecordedOnes) {
  const LayeredTemplate& t = small_template().layers;
  // Seen: 2.4e-7 on the body, 0 elsewhere; 7.4e-6; 1.2e-7; 0.
  expect_near_recorded(t.positions, "init_pcd_smplx_full", 1e-6);
  expect_near_recorded(t.frames, "init_rot_smplx_full", 2e-5);
  expect_near_recorded(t.uvs, "init_uv_smplx_full", 2e-7);
  expect_near_recorded(t.body_weights, "init_lbsw_smplx_body", 1e-7);
  const auto outer = static_cast<std::size_t>(3 * t.body_count());
  const auto want = io::to_floats(recorded_template().at("init_pcd_smplx_full"));
  EXPECT_TRUE(std::equal(t.positions.begin() + static_cast<long>(outer), t.positions.end(),
                         want.begin() + static_cast<long>(outer)));
}

TEST(OfficialTemplate, DenseVerticesAreTheRecordedOnesRenumbered) {
  const LayeredTemplate& t = small_template().layers;
  const auto faces = recorded_integers("init_faces_smplx_full");
  const auto shape = io::to_floats(recorded_template().at("init_spdir_smplx_full"));
  const auto pose = io::to_floats(recorded_template().at("init_podir_smplx_full"));
  ASSERT_EQ(t.faces.size(), faces.size());
  ASSERT_EQ(t.shape_dirs.size(), shape.size());
  ASSERT_EQ(t.pose_dirs.size(), pose.size());
  const auto dense = static_cast<std::size_t>(t.dense_count());
  std::map<std::int64_t, std::int64_t> ours_of, theirs_of;
  for (std::size_t i = 0; i < faces.size(); ++i) {
    ASSERT_EQ(ours_of.emplace(faces[i], t.faces[i]).first->second, t.faces[i]) << i;
    ASSERT_EQ(theirs_of.emplace(t.faces[i], faces[i]).first->second, faces[i]) << i;
  }
  double shape_error = 0, pose_error = 0;
  for (const auto& [theirs, ours] : ours_of) {
    const auto from = static_cast<std::size_t>(theirs), to = static_cast<std::size_t>(ours);
    for (std::size_t k = 0; k < 60; ++k)
      shape_error = std::max<double>(shape_error, std::abs(t.shape_dirs[60 * to + k] - shape[60 * from + k]));
    for (std::size_t row = 0; row < 486; ++row)
      for (std::size_t k = 0; k < 3; ++k)
        pose_error = std::max<double>(
            pose_error, std::abs(t.pose_dirs[3 * (row * dense + to) + k] - pose[3 * (row * dense + from) + k]));
  }
  EXPECT_LE(shape_error, 1e-9);
  EXPECT_LE(pose_error, 1e-9);
}

TEST(OfficialTemplate, LabelsOfHairAndShoesFollowTheRecordedSets) {
  const io::ArrayMap stage = io::read_npz(LAV_GOLDEN_DIR "/templates/stage1.npz");
  const auto hair = stage.at("hair_mask_l1").at<bool>(), shoes = stage.at("shoes_mask_l1").at<bool>();
  const LayeredTemplate& t = small_template().layers;
  for (std::size_t i = 0; i < 800; ++i) ASSERT_EQ(t.labels[1409 + i], shoes[i] ? 4 : hair[i] ? 3 : 0) << i;
}

TEST(OfficialTemplate, ShoesWinOverHair) {
  OfficialSources sources = small_sources();
  for (std::int64_t v = 0; v < 300; ++v) sources.parts["neck"].push_back(v), sources.parts["leftLeg"].push_back(v);
  const OfficialTemplate made = build_small(sources);
  EXPECT_TRUE(std::all_of(made.layers.labels.begin() + 1409, made.layers.labels.begin() + 2209,
                          [](std::int32_t label) { return label == 4; }));
  EXPECT_TRUE(made.warnings.empty());
}

TEST(OfficialTemplate, SetsFollowTheirDefinition) {
  // Everything is forehead: no face, nothing coarse but eyes, ears, scalp, hands, torso, hips, feet.
  OfficialSources sources = small_sources();
  for (std::int64_t v = 0; v < 101; ++v) sources.flame_masks["forehead"].push_back(v);
  const LayeredTemplate bare = build_small(sources).layers;
  EXPECT_GT(bare.body_count(), 1409);
  EXPECT_LT(std::count(bare.face_mask.begin(), bare.face_mask.end(), 1), 260);
  EXPECT_EQ(std::count(bare.outside_mask.begin(), bare.outside_mask.end(), 1), 0);  // every FLAME vertex is in a mask
  // An unknown mask counts for "outside".
  sources = small_sources();
  sources.flame_masks["somewhere"] = {};
  for (std::int64_t v = 0; v < 101; ++v) sources.flame_masks["somewhere"].push_back(v);
  const LayeredTemplate covered = build_small(sources).layers;
  EXPECT_EQ(covered.body_count(), 1409);
  EXPECT_EQ(std::count(covered.outside_mask.begin(), covered.outside_mask.end(), 1), 0);
  // Everything is kept coarse: no face is divided, and the order is that of the file.
  sources = small_sources();
  for (std::int64_t v = 0; v < 300; ++v) sources.parts["hips"].push_back(v);
  const LayeredTemplate coarse = build_small(sources).layers;
  ASSERT_EQ(coarse.body_count(), 590);
  for (std::size_t f = 0; f < 590; ++f)
    for (std::size_t c = 0; c < 3; ++c) ASSERT_EQ(coarse.faces[3 * f + c], sources.body.triangles[f][c]);
}

/// Sources whose sets are all empty: every face is divided.
OfficialSources bare_sources() {
  OfficialSources sources = small_sources();
  for (auto& [name, ids] : sources.parts) ids.clear();
  for (auto& [name, ids] : sources.flame_masks) ids.clear();
  return sources;
}

/// Faces of body.obj that stay whole: those that touch one of `vertices`.
std::int64_t faces_at(const OfficialSources& sources, const std::vector<std::int64_t>& vertices) {
  return std::count_if(sources.body.triangles.begin(), sources.body.triangles.end(), [&](const auto& face) {
    return std::any_of(face.begin(), face.end(), [&](std::int32_t v) { return std::find(vertices.begin(), vertices.end(), v) != vertices.end(); });
  });
}

/// Gaussians of layer 0 with `whole` faces undivided.
std::int64_t gaussians_with(const OfficialSources& sources, std::int64_t whole) {
  const auto faces = static_cast<std::int64_t>(sources.body.triangles.size());
  return 4 * (faces - whole) + whole;
}

// Section 5.2: each part that is kept coarse, alone; parts that are not leave every face divided.
TEST(OfficialTemplate, EveryMemberOfTheCoarseSetCounts) {
  const OfficialSources bare = bare_sources();
  ASSERT_EQ(build_small(bare).layers.body_count(), gaussians_with(bare, 0));
  const std::vector<std::int64_t> some = {20, 120, 250};  // of the body
  const std::int64_t whole = faces_at(bare, some);
  ASSERT_GT(whole, 3);
  const std::vector<std::string> coarse = {"leftEye", "rightEye", "leftHand", "rightHand", "leftHandIndex1", "rightHandIndex1",
                                           "spine", "spine1", "spine2", "hips", "leftFoot", "rightFoot", "leftToeBase", "rightToeBase"};
  for (const auto& [name, ids] : bare.parts) {
    OfficialSources sources = bare;
    sources.parts[name] = some;
    const bool counts = std::find(coarse.begin(), coarse.end(), name) != coarse.end();
    EXPECT_EQ(build_small(sources).layers.body_count(), gaussians_with(bare, counts ? whole : 0)) << name;
  }
  const std::vector<std::int64_t> flame = {3, 40, 90};
  std::vector<std::int64_t> mapped;
  for (const std::int64_t id : flame) mapped.push_back(bare.smplx_of_flame[static_cast<std::size_t>(id)]);
  for (const std::string name : {"face", "left_ear", "right_ear", "scalp", "forehead", "nose", "lips", "unknown"}) {
    OfficialSources sources = bare;
    sources.flame_masks[name] = flame;
    const bool counts = name == "face" || name == "left_ear" || name == "right_ear" || name == "scalp";
    EXPECT_EQ(build_small(sources).layers.body_count(), gaussians_with(bare, counts ? faces_at(bare, mapped) : 0)) << name;
  }
}

// Forehead and mouth are taken from the face alone: what another part adds stays coarse.
TEST(OfficialTemplate, ForeheadAndMouthLeaveTheFaceOnly) {
  const OfficialSources bare = bare_sources();
  const std::int64_t flame = 40, vertex = bare.smplx_of_flame[40];
  OfficialSources sources = bare;
  sources.flame_masks["face"] = {flame};
  const std::int64_t whole = faces_at(bare, {vertex});
  EXPECT_EQ(build_small(sources).layers.body_count(), gaussians_with(bare, whole));
  sources.flame_masks["forehead"] = {flame};
  EXPECT_EQ(build_small(sources).layers.body_count(), gaussians_with(bare, 0));
  sources.flame_masks["scalp"] = {flame};
  EXPECT_EQ(build_small(sources).layers.body_count(), gaussians_with(bare, whole));
  // A vertex of the mouth in the face mask: not coarse, unless an ear has it too.
  sources = bare;
  const std::int64_t mouth = bare.body.triangles.back()[0];
  sources.smplx_of_flame[40] = mouth;
  sources.flame_masks["face"] = {flame};
  EXPECT_EQ(build_small(sources).layers.body_count(), gaussians_with(bare, 0));
  sources.flame_masks["left_ear"] = {flame};
  EXPECT_EQ(build_small(sources).layers.body_count(), gaussians_with(bare, faces_at(bare, {mouth})));
  // The mask of the face keeps the mouth: only the forehead leaves it.
  const auto& mask = build_small(sources).layers.face_mask;
  EXPECT_EQ(std::count(mask.begin(), mask.end(), 1), faces_at(bare, {mouth}));
}

// The other regions of section 5.2, each member alone: true where a face touches it.
TEST(OfficialTemplate, EveryMemberOfTheRegionsCounts) {
  const OfficialSources bare = bare_sources();
  const auto touched = [](const std::vector<std::uint8_t>& mask) { return std::count(mask.begin(), mask.end(), 1) > 0; };
  for (const auto& [name, ids] : bare.parts) {
    OfficialSources sources = bare;
    sources.parts[name] = {};
    for (std::int64_t v = 0; v < 300; ++v) sources.parts[name].push_back(v);
    const LayeredTemplate t = build_small(sources).layers;
    const bool hands = name.find("Hand") != std::string::npos, eyes = name == "leftEye" || name == "rightEye";
    const bool hair = name == "spine" || name == "spine1" || name == "spine2" || name == "neck";
    const bool shoes = name.find("Foot") != std::string::npos || name.find("Toe") != std::string::npos || name == "leftLeg" || name == "rightLeg";
    EXPECT_EQ(touched(t.hands_mask), hands) << name;
    EXPECT_EQ(touched(t.face_mask), eyes) << name;
    EXPECT_FALSE(touched(t.nose_mask)) << name;
    EXPECT_TRUE(touched(t.outside_mask)) << name << ": no mask covers the head";
    EXPECT_EQ(t.labels[static_cast<std::size_t>(t.body_count())], hair ? 3 : shoes ? 4 : 0) << name;
  }
  for (const std::string name : {"face", "forehead", "nose", "scalp", "left_ear"}) {
    OfficialSources sources = bare;
    for (std::int64_t v = 0; v < 101; ++v) sources.flame_masks[name].push_back(v);
    const LayeredTemplate t = build_small(sources).layers;
    EXPECT_EQ(touched(t.face_mask), name == "face") << name;
    EXPECT_EQ(touched(t.nose_mask), name == "nose") << name;
    EXPECT_FALSE(touched(t.outside_mask)) << name;
  }
}

TEST(OfficialTemplate, RefusesOtherCounts) {
  const auto sizes_with = [](std::size_t block, std::int64_t count) {
    OfficialSizes sizes{300, 101, {1409, 800, 480, 960}};
    sizes.gaussians[block] = count;
    return sizes;
  };
  EXPECT_EQ(build_error(small_sources(), sizes_with(0, 1409)), "built");
  EXPECT_EQ(build_error(small_sources(), sizes_with(0, 34858)),
            "body.obj: layer 0: expected 34858 Gaussians, found 1409");
  EXPECT_EQ(build_error(small_sources(), sizes_with(1, 21424)),
            "hair_shoes.obj: layer 1: expected 21424 Gaussians, found 800");
  EXPECT_EQ(build_error(small_sources(), sizes_with(2, 11056)),
            "up_and_low.obj: layer 2 (low): expected 11056 Gaussians, found 480");
  EXPECT_EQ(build_error(small_sources(), sizes_with(3, 22152)),
            "up_and_low.obj: layer 2 (up): expected 22152 Gaussians, found 960");
  OfficialSources many = small_sources();
  many.hair_shoes.triangles.resize(300000);
  many.hair_shoes.uv_triangles.resize(300000);
  EXPECT_EQ(build_error(many, custom_sizes(300)),
            "hair_shoes.obj: layer 1: expected at most 1048576 Gaussians, found 1200000");
}

TEST(OfficialTemplate, RefusesSourcesThatTheReadersWouldRefuse) {
  OfficialSources sources = small_sources();
  sources.flame_masks["nose"] = {101};
  EXPECT_EQ(build_error(sources, custom_sizes(300)), "FLAME masks: mask 'nose': vertex id 101; expected 0..100");
  sources = small_sources();
  sources.body.vertices.pop_back();
  EXPECT_EQ(build_error(sources, custom_sizes(300)), "body.obj: expected 300 vertices (SMPL-X order), found 299");
  sources = small_sources();
  std::swap(sources.bottom_top.objects[0].name, sources.bottom_top.objects[1].name);
  EXPECT_EQ(build_error(sources, custom_sizes(300)),
            "up_and_low.obj: object 'up' comes before 'low'; indices would be wrong");
}

TEST(OfficialTemplate, WarnsOfUnlabelledGaussians) {
  EXPECT_EQ(small_template().warnings,
            (std::vector<std::string>{"hair_shoes.obj: 160 Gaussians of layer 1 are neither hair nor shoes"}));
}

TEST(OfficialTemplate, WarnsOfTextureTrianglesWithoutAreaAndKeepsTheirFrame) {
  OfficialSources sources = small_sources();
  auto& corners = sources.hair_shoes.uv_triangles[7];
  corners = {corners[0], corners[0], corners[0]};
  const OfficialTemplate made = build_small(sources);
  ASSERT_EQ(made.warnings.size(), 2U);
  EXPECT_EQ(made.warnings[0], "hair_shoes.obj: 4 Gaussians of layer 1 have a texture triangle without area");
  const auto& recorded = small_template().layers.frames;
  const std::size_t at = 9 * (1409 + 4 * 7);
  for (std::size_t i = 0; i < 9; ++i)  // tangent and bitangent are zero, the normal stays
    EXPECT_EQ(made.layers.frames[at + i], i % 3 == 2 ? recorded[at + i] : 0.0F) << i;
}

TEST(OfficialTemplate, WarnsOfABodyInAnotherFrame) {
  OfficialSources sources = small_sources();
  for (auto& v : sources.body.vertices) v[1] += 0.0009F;
  EXPECT_EQ(build_small(sources).warnings.size(), 1U);
  sources.body.vertices[20][1] += 0.35F;
  const OfficialTemplate made = build_small(sources);
  ASSERT_EQ(made.warnings.size(), 2U);
  EXPECT_EQ(
      made.warnings[1],
      "body.obj: vertices differ from the canonical body by up to 0.351 m; is the mesh in another pose or frame?");
  // Positions of layer 0 come from the model.
  EXPECT_TRUE(std::equal(made.layers.positions.begin(), made.layers.positions.begin() + 3 * 1409,
                         small_template().layers.positions.begin()));
}

TEST(OfficialTemplate, EqualDistancesGoToTheLowestVertex) {
  // Two body vertices in one place: the outer layers never use the second.
  OfficialSources sources = small_sources();
  const std::size_t far = 299;
  sources.body.vertices[far] = sources.body.vertices[100];
  body::BodyModel marked = small_body();
  for (std::size_t k = 0; k < 60; ++k) marked.shapedirs[60 * far + k] = 1000;
  const LayeredTemplate t = build_official_template(marked, sources, custom_sizes(300)).layers;
  for (std::size_t i = 9 * 0 + 3 * 1409; i < t.faces.size(); ++i)
    ASSERT_LT(t.shape_dirs[60 * static_cast<std::size_t>(t.faces[i])], 1.0F);
}

TEST(OfficialTemplate, RefusesCoordinatesThatOverflow) {
  OfficialSources sources = small_sources();
  for (auto& v : sources.hair_shoes.vertices) v = {3e38F, -3e38F, 3e38F};
  EXPECT_EQ(build_error(sources, custom_sizes(300)), "hair_shoes.obj: coordinates are too large");
  for (auto& v : sources.hair_shoes.vertices) v = {1e38F, -1e38F, 1e38F};
  for (auto& t : sources.hair_shoes.uvs) t = {1e38F, -1e38F};
  for (const float x : build_small(sources).layers.frames) ASSERT_TRUE(std::isfinite(x));
}

}  // namespace
}  // namespace layeravatar::templates
