#include "layeravatar/body/body_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "layeravatar/body/synthetic_body_for_test.h"
#include "layeravatar/core/error.h"

namespace layeravatar::body {
namespace {

using Matrix = std::array<double, 16>;

Matrix multiply(const Matrix& a, const Matrix& b) {
  Matrix c{};
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 4; ++j)
      for (std::size_t k = 0; k < 4; ++k) c[4 * i + j] += a[4 * i + k] * b[4 * k + j];
  return c;
}

Matrix rigid(const double* r, const std::array<double, 3>& t) {
  const double a = std::sqrt((r[0] + 1e-8) * (r[0] + 1e-8) + (r[1] + 1e-8) * (r[1] + 1e-8) +
                             (r[2] + 1e-8) * (r[2] + 1e-8));
  const double x = r[0] / a;
  const double y = r[1] / a;
  const double z = r[2] / a;
  const Matrix k = {0, -z, y, 0, z, 0, -x, 0, -y, x, 0, 0, 0, 0, 0, 0};
  const Matrix kk = multiply(k, k);
  Matrix m{};
  for (std::size_t i = 0; i < 16; ++i) m[i] = (i % 5 == 0 ? 1 : 0) + std::sin(a) * k[i] + (1 - std::cos(a)) * kk[i];
  for (std::size_t i = 0; i < 3; ++i) m[4 * i + 3] = t[i];
  return m;
}

struct Reference {
  std::vector<double> vertices;
  std::vector<Matrix> transforms;
};

/// The formulas one by one, in double and with 4x4 matrices.
Reference slow_pose(const BodyModel& m, const PoseParams& p) {
  const auto count = static_cast<std::size_t>(m.vertex_count());
  std::vector<double> shaped(3 * count);
  for (std::size_t i = 0; i < 3 * count; ++i) {
    shaped[i] = m.v_template[i];
    for (std::size_t l = 0; l < 20; ++l) {
      shaped[i] += static_cast<double>(l < 10 ? p.betas[l] : p.expression[l - 10]) * m.shapedirs[20 * i + l];
    }
  }
  std::vector<std::array<double, 3>> joints(kJoints);
  for (std::size_t j = 0; j < kJoints; ++j)
    for (std::size_t v = 0; v < count; ++v)
      for (std::size_t k = 0; k < 3; ++k) joints[j][k] += m.j_regressor[j * count + v] * shaped[3 * v + k];
  const auto full = full_pose(p);
  std::vector<Matrix> global(kJoints);
  std::vector<double> feature;
  Reference out;
  for (std::size_t j = 0; j < kJoints; ++j) {
    const double r[3] = {full[3 * j], full[3 * j + 1], full[3 * j + 2]};
    std::array<double, 3> t = joints[j];
    const auto parent = static_cast<std::size_t>(m.parents[j]);
    if (j > 0)
      for (std::size_t k = 0; k < 3; ++k) t[k] -= joints[parent][k];
    const Matrix local = rigid(r, t);
    global[j] = j == 0 ? local : multiply(global[parent], local);
    if (j > 0)
      for (std::size_t i = 0; i < 9; ++i) feature.push_back(local[4 * (i / 3) + i % 3] - (i % 4 == 0 ? 1 : 0));
    Matrix a = global[j];
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t k = 0; k < 3; ++k) a[4 * i + 3] -= a[4 * i + k] * joints[j][k];
      a[4 * i + 3] += p.transl[i];
    }
    out.transforms.push_back(a);
  }
  for (std::size_t v = 0; v < count; ++v) {
    Matrix blend{};
    for (std::size_t j = 0; j < kJoints; ++j)
      for (std::size_t i = 0; i < 16; ++i) blend[i] += m.weights[v * kJoints + j] * out.transforms[j][i];
    std::array<double, 4> u = {0, 0, 0, 1};
    for (std::size_t k = 0; k < 3; ++k) {
      u[k] = shaped[3 * v + k];
      for (std::size_t f = 0; f < kPoseFeatures && !m.posedirs.empty(); ++f) {
        u[k] += feature[f] * m.posedirs[f * 3 * count + 3 * v + k];
      }
    }
    for (std::size_t k = 0; k < 3; ++k) {
      double x = 0;
      for (std::size_t i = 0; i < 4; ++i) x += blend[4 * k + i] * u[i];
      out.vertices.push_back(x);
    }
  }
  return out;
}

TEST(Rodrigues, KnownRotation) {
  const std::array<float, 3> r = {0.3F, -0.4F, 0.5F};
  const float expected[9] = {0.8034006F, -0.5169039F, -0.2955635F, 0.4018213F, 0.8369663F,
                             -0.3715198F, 0.4394168F, 0.1797155F,  0.8801223F};
  const auto found = rodrigues(r);
  for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(found[i], expected[i], 2e-7F) << i;
}

TEST(Rodrigues, ZeroIsExactlyTheIdentity) {
  const auto found = rodrigues(std::array<float, 3>{});
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(found[i], i % 4 == 0 ? 1.0F : 0.0F);
}

TEST(Pose, AgreesWithTheSlowReference) {
  for (const bool correctives : {true, false}) {
    BodyModel m = synthetic_body(401);  // more than one block of columns
    if (!correctives) m.posedirs.clear();
    PoseParams p = pose_from_vector(random_numbers(189, 0.8F, 6));
    const PosedBody found = pose(m, p);
    const Reference expected = slow_pose(m, p);
    ASSERT_EQ(found.vertices.size(), expected.vertices.size());
    for (std::size_t i = 0; i < found.vertices.size(); ++i) {
      ASSERT_NEAR(found.vertices[i], expected.vertices[i], 5e-6) << i;
    }
    for (std::size_t i = 0; i < found.transforms.size(); ++i) {
      ASSERT_NEAR(found.transforms[i], expected.transforms[i / 16][i % 16], 5e-6) << i;
    }
  }
}

TEST(Pose, ZeroPoseIsTheTemplateMoved) {
  const BodyModel m = synthetic_body(40);
  const PosedBody found = pose(m, canonical_pose());
  for (std::size_t i = 0; i < found.vertices.size(); ++i) {
    EXPECT_NEAR(found.vertices[i], m.v_template[i] + kCanonicalOffset[i % 3], 1e-6F);
    EXPECT_EQ(found.pose_offset[i], 0.0F);
    EXPECT_EQ(found.shape_offset[i], 0.0F);
  }
  for (std::size_t i = 0; i < found.joints.size(); ++i) {
    EXPECT_NEAR(found.joints[i], found.rest_joints[i] + kCanonicalOffset[i % 3], 1e-6F);
  }
}

TEST(Pose, GlobalRotationTurnsTheBodyAboutThePelvis) {
  const BodyModel m = synthetic_body(40);
  PoseParams p = canonical_pose();
  const PosedBody rest = pose(m, p);
  p.global_orient = {0.3F, -0.4F, 0.5F};
  const PosedBody turned = pose(m, p);
  const auto r = rodrigues(p.global_orient);
  for (std::size_t v = 0; v < 40; ++v) {
    for (std::size_t i = 0; i < 3; ++i) {
      float expected = rest.rest_joints[i] + kCanonicalOffset[i];
      for (std::size_t k = 0; k < 3; ++k) {
        expected += r[3 * i + k] * (rest.vertices[3 * v + k] - kCanonicalOffset[k] - rest.rest_joints[k]);
      }
      EXPECT_NEAR(turned.vertices[3 * v + i], expected, 1e-6F);
    }
  }
  for (const float x : turned.pose_feature) EXPECT_EQ(x, 0.0F);
}

TEST(BodyModel, PrepareForcesTheRootAndRefusesABrokenTree) {
  BodyModel m = synthetic_body(12);
  EXPECT_EQ(m.parents[0], -1);
  EXPECT_TRUE(body_model_warnings(m).empty());
  m.parents[4] = 9;
  try {
    m.prepare();
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_STREQ(e.what(), "kinematic tree: parent of joint 4 is 9; parents must precede children");
  }
}

TEST(BodyModel, PrepareChecksNumbersFacesAndSizes) {
  BodyModel m = synthetic_body(12);
  m.v_template[3] = std::numeric_limits<float>::quiet_NaN();
  try {
    m.prepare();
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "array 'v_template' contains non-finite numbers");
  }
  m = synthetic_body(12);
  m.faces[1] = 12;
  EXPECT_THROW(m.prepare(), Error);
  m = synthetic_body(12);
  m.weights.pop_back();
  EXPECT_THROW(m.prepare(), Error);
  EXPECT_THROW(pose(BodyModel{}, PoseParams{}), Error);
}

TEST(BodyModel, WarnsOfWeightsAndTree) {
  BodyModel m = synthetic_body(12);
  m.weights[0] += 0.5F;
  m.parents[25] = 3;
  const auto warnings = body_model_warnings(m);
  ASSERT_EQ(warnings.size(), 2U);
  EXPECT_EQ(warnings[0].rfind("skinning weights of 1 vertices do not sum to 1 (largest error 0.5", 0), 0U);
  EXPECT_EQ(warnings[1], "kinematic tree: parent of joint 25 is 3; expected 20");
}

}  // namespace
}  // namespace layeravatar::body
