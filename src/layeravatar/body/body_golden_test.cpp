// Holds the body to recorded outputs of the public implementation on a small synthetic model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "layeravatar/body/body_model.h"
#include "layeravatar/body/smplx_format.h"
#include "layeravatar/body/weight_volume.h"
#include "layeravatar/io/npy.h"

namespace layeravatar::body {
namespace {

using Arrays = std::map<std::string, std::vector<double>>;

/// Trusted archives only.
Arrays read_golden(const std::string& name) {
  const io::NpzReader file(std::string(LAV_GOLDEN_DIR "/body/") + name);
  Arrays out;
  for (const auto& key : file.names()) {
    const auto values = io::to_floats(file.read(key));
    out[key].assign(values.begin(), values.end());
  }
  return out;
}

std::vector<float> narrow(const std::vector<double>& values) { return {values.begin(), values.end()}; }

BodyModel golden_body() { return read_smplx_npz(LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz").model; }

/// Row b of `expected`, within the measured noise floor times 20.
void expect_row(const std::string& name, const std::vector<float>& found, const Arrays& arrays, std::size_t b) {
  const auto& expected = arrays.at(name);
  double largest = 0;
  for (const double x : expected) largest = std::max(largest, std::abs(x));
  ASSERT_GE(expected.size(), (b + 1) * found.size()) << name;
  double worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(found[i]) - expected[b * found.size() + i]));
  }
  EXPECT_LE(worst, 2e-5 * largest) << name << " " << b;
}

PoseParams recorded_input(const Arrays& a, std::size_t b) {
  const auto fill = [&](const char* name, auto& part) {
    const auto& values = a.at(std::string("in.") + name);
    for (std::size_t i = 0; i < part.size(); ++i) part[i] = static_cast<float>(values[b * part.size() + i]);
  };
  PoseParams p;
  fill("global_orient", p.global_orient);
  fill("body_pose", p.body_pose);
  fill("jaw_pose", p.jaw);
  fill("leye_pose", p.leye);
  fill("reye_pose", p.reye);
  fill("left_hand_pose", p.left_hand);
  fill("right_hand_pose", p.right_hand);
  fill("betas", p.betas);
  fill("expression", p.expression);
  fill("transl", p.transl);
  return p;
}

TEST(BodyGolden, ForwardPassOfFourBodies) {
  const BodyModel m = golden_body();
  EXPECT_EQ(m.vertex_count(), 300);
  EXPECT_EQ(m.face_count(), 590);
  const Arrays a = read_golden("e_lbs.npz");
  for (std::size_t b = 0; b < 4; ++b) {
    const PoseParams p = recorded_input(a, b);
    const PosedBody found = pose(m, p);
    expect_row("flat.vertices", found.vertices, a, b);
    expect_row("flat.A", found.transforms, a, b);
    expect_row("flat.shape_offset", found.shape_offset, a, b);
    expect_row("flat.pose_offset", found.pose_offset, a, b);
    expect_row("flat.pose_feature", found.pose_feature, a, b);
    expect_row("flat.pip_joints55", found.joints, a, b);
    const auto full = full_pose(p);
    expect_row("flat.full_pose", {full.begin(), full.end()}, a, b);
    expect_row("flat.betas_out", {found.shape.begin(), found.shape.end()}, a, b);
    // Joints and transforms that leave the translation out; blended transforms of every tenth vertex.
    std::vector<float> joints = found.joints, transforms = found.transforms, blended;
    for (std::size_t i = 0; i < joints.size(); ++i) joints[i] -= p.transl[i % 3];
    for (std::size_t j = 0; j < kJoints; ++j)
      for (std::size_t r = 0; r < 3; ++r) transforms[16 * j + 4 * r + 3] -= p.transl[r];
    for (std::size_t v = 0; v < 300; v += 10)
      for (std::size_t e = 0; e < 16; ++e) {
        double sum = 0;
        for (std::size_t j = 0; j < kJoints; ++j) sum += static_cast<double>(m.weights[kJoints * v + j]) * static_cast<double>(found.transforms[16 * j + e]);
        blended.push_back(static_cast<float>(sum));
      }
    expect_row("flat.J_transformed", joints, a, b);
    expect_row("flat.A_notransl", transforms, a, b);
    expect_row("flat.T", blended, a, b);
    PoseParams plain = p;
    plain.expression = {};
    std::vector<float> shaped = pose(m, plain).shape_offset;
    for (std::size_t i = 0; i < shaped.size(); ++i) shaped[i] += m.v_template[i];
    expect_row("flat.v_shaped", shaped, a, b);  // of the betas alone
  }
}

// Hands relative to the mean hand, as 45 numbers and as twelve components, made absolute by the conversion of fits.
TEST(BodyGolden, HandsRelativeToTheMean) {
  const BodyModel m = golden_body();
  const HandPca hands = read_hand_pca(LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz");
  const Arrays a = read_golden("e_lbs.npz");
  for (std::size_t b = 0; b < 4; ++b) {
    const PoseParams p = recorded_input(a, b);
    for (const std::string run : {"mean", "pca12"}) {
      SmplxFit fit;
      fit.left_hand.assign(p.left_hand.begin(), p.left_hand.end());
      fit.right_hand.assign(p.right_hand.begin(), p.right_hand.end());
      if (run == "pca12") {
        const auto left = narrow(a.at("pca12.left_hand_pose")), right = narrow(a.at("pca12.right_hand_pose"));
        fit.left_hand.assign(left.begin() + static_cast<long>(12 * b), left.begin() + static_cast<long>(12 * b + 12));
        fit.right_hand.assign(right.begin() + static_cast<long>(12 * b), right.begin() + static_cast<long>(12 * b + 12));
      }
      const PoseParams absolute = unify_fit(fit, FitSource::kThuman20, hands, {});
      PoseParams q = p;
      q.left_hand = absolute.left_hand;
      q.right_hand = absolute.right_hand;
      const auto full = full_pose(q);
      expect_row(run + ".full_pose", {full.begin(), full.end()}, a, b);
      const PosedBody found = pose(m, q);
      expect_row(run + ".vertices", found.vertices, a, b);
      if (run == "mean") expect_row("mean.A", found.transforms, a, b);
      if (run == "mean") expect_row("mean.pose_offset", found.pose_offset, a, b);
    }
  }
}

TEST(BodyGolden, RodriguesTable) {
  const Arrays a = read_golden("e_lbs.npz");
  const auto in = narrow(a.at("rodrigues.in"));
  for (std::size_t n = 0; n < in.size() / 3; ++n) {
    const auto r = rodrigues(std::span<const float, 3>(in.data() + 3 * n, 3));
    for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(r[i], a.at("rodrigues.out")[9 * n + i], 1e-6) << n << " " << i;
  }
}

TEST(BodyGolden, WeightVolume) {
  const BodyModel m = golden_body();
  const Arrays a = read_golden("weight_volume.npz");
  const PosedBody canonical = pose(m, canonical_pose());
  expect_row("vs_template", canonical.vertices, a, 0);
  const WeightVolume volume = WeightVolume::build(canonical.vertices, m.weights);
  EXPECT_NEAR(volume.half_size(), a.at("scale")[0], 1e-6);
  for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(volume.centre()[k], a.at("offset")[k], 1e-6);
  const auto& sub = a.at("lbs_voxel_sub");  // [55, 4, 8, 8]: every 4th, 8th, 8th node
  std::size_t at = 0;
  for (std::size_t j = 0; j < kJoints; ++j)
    for (std::size_t z = 0; z < 16; z += 4)
      for (std::size_t y = 0; y < 64; y += 8)
        for (std::size_t x = 0; x < 64; x += 8) {
          ASSERT_NEAR(volume.nodes()[((z * 64 + y) * 64 + x) * kJoints + j], sub[at++], 2e-5);
        }
  for (std::size_t j = 0; j < kJoints; ++j) {
    double sum = 0;
    for (std::size_t n = j; n < volume.nodes().size(); n += kJoints) sum += volume.nodes()[n];
    EXPECT_NEAR(sum, a.at("lbs_voxel_joint_sum")[j], 2e-5 * (1 + sum)) << j;
  }
}

}  // namespace
}  // namespace layeravatar::body
