#include "layeravatar/body/body_model.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "layeravatar/core/error.h"
#include "layeravatar/core/finite.h"

namespace layeravatar::body {
namespace {

constexpr std::int64_t kColumnBlock = 1024;  // columns of posedirs summed at a time: 4 KiB, stays in the first cache
constexpr float kWeightSumTolerance = 1e-3F;

void check_size(const char* name, std::size_t found, std::int64_t expected) {
  LAV_CHECK(found == static_cast<std::size_t>(expected), std::string("array '") + name + "'; expected " +
                                                             std::to_string(expected) + " numbers, found " +
                                                             std::to_string(found));
}

void check_finite(const char* name, const std::vector<float>& values) {
  if (!all_finite(values)) throw Error(ErrorKind::kInput, std::string("array '") + name + "' contains non-finite numbers");
}

void add_shape(const BodyModel& model, PosedBody& out) {
  const auto n = static_cast<std::int64_t>(model.v_template.size());
  out.shape_offset.resize(model.v_template.size());
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < n; ++i) {
    const float* row = model.shapedirs.data() + i * kShapeColumns;
    float sum = 0.0F;
    for (int l = 0; l < kShapeColumns; ++l) sum += out.shape[static_cast<std::size_t>(l)] * row[l];
    out.shape_offset[static_cast<std::size_t>(i)] = sum;
  }
}

void regress_joints(const BodyModel& model, const std::vector<float>& shaped, PosedBody& out) {
  const std::int64_t count = model.vertex_count();
  out.rest_joints.resize(3 * kJoints);
#pragma omp parallel for schedule(static)
  for (int j = 0; j < kJoints; ++j) {
    const float* row = model.j_regressor.data() + j * count;
    double sum[3] = {};
    for (std::int64_t v = 0; v < count; ++v) {
      if (row[v] == 0.0F) continue;
      const float* s = shaped.data() + 3 * v;
      for (int k = 0; k < 3; ++k) sum[k] += static_cast<double>(row[v]) * static_cast<double>(s[k]);
    }
    for (int k = 0; k < 3; ++k) out.rest_joints[static_cast<std::size_t>(3 * j + k)] = static_cast<float>(sum[k]);
  }
}

void add_pose_correctives(const BodyModel& model, PosedBody& out) {
  const auto n = static_cast<std::int64_t>(model.v_template.size());
  out.pose_offset.assign(model.v_template.size(), 0.0F);
  if (model.posedirs.empty()) return;
#pragma omp parallel for schedule(static)
  for (std::int64_t begin = 0; begin < n; begin += kColumnBlock) {
    const std::int64_t width = std::min(kColumnBlock, n - begin);
    float* sum = out.pose_offset.data() + begin;
    for (std::int64_t m = 0; m < kPoseFeatures; ++m) {
      const float p = out.pose_feature[static_cast<std::size_t>(m)];
      if (p == 0.0F) continue;
      const float* row = model.posedirs.data() + m * n + begin;
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) sum[i] += p * row[i];
    }
  }
}

/// Walks the chain; fills joints (without transl) and transforms (without transl).
void chain_joints(const BodyModel& model, const std::vector<std::array<float, 9>>& rotations, PosedBody& out) {
  out.joints.resize(3 * kJoints);
  out.transforms.assign(16 * kJoints, 0.0F);
  for (int j = 0; j < kJoints; ++j) {
    const auto& local = rotations[static_cast<std::size_t>(j)];
    const float* rest = out.rest_joints.data() + 3 * j;
    float* a = out.transforms.data() + 16 * j;
    float* posed = out.joints.data() + 3 * j;
    const auto parent = static_cast<int>(model.parents[static_cast<std::size_t>(j)]);
    if (parent < 0) {
      for (int r = 0; r < 3; ++r) {
        for (int c = 0; c < 3; ++c) a[4 * r + c] = local[static_cast<std::size_t>(3 * r + c)];
        posed[r] = rest[r];
      }
    } else {
      const float* up = out.transforms.data() + 16 * parent;
      const float* rest_up = out.rest_joints.data() + 3 * parent;
      for (int r = 0; r < 3; ++r) {
        posed[r] = out.joints[static_cast<std::size_t>(3 * parent + r)];
        for (int k = 0; k < 3; ++k) posed[r] += up[4 * r + k] * (rest[k] - rest_up[k]);
        for (int c = 0; c < 3; ++c) {
          float sum = 0.0F;
          for (int k = 0; k < 3; ++k) sum += up[4 * r + k] * local[static_cast<std::size_t>(3 * k + c)];
          a[4 * r + c] = sum;
        }
      }
    }
    for (int r = 0; r < 3; ++r) {
      a[4 * r + 3] = posed[r] - (a[4 * r] * rest[0] + a[4 * r + 1] * rest[1] + a[4 * r + 2] * rest[2]);
    }
    a[15] = 1.0F;
  }
}

/// Skins the points of out.vertices in place.
void skin(const BodyModel& model, PosedBody& out) {
  const std::int64_t count = model.vertex_count();
#pragma omp parallel for schedule(static)
  for (std::int64_t v = 0; v < count; ++v) {
    const float* w = model.weights.data() + v * kJoints;
    float blend[12] = {};
    for (int j = 0; j < kJoints; ++j) {
      if (w[j] == 0.0F) continue;
      const float* a = out.transforms.data() + 16 * j;
      for (int i = 0; i < 12; ++i) blend[i] += w[j] * a[i];
    }
    float* x = out.vertices.data() + 3 * v;
    const float u[3] = {x[0], x[1], x[2]};
    for (int r = 0; r < 3; ++r) {
      x[r] = blend[4 * r] * u[0] + blend[4 * r + 1] * u[1] + blend[4 * r + 2] * u[2] + blend[4 * r + 3];
    }
  }
}

}  // namespace

void BodyModel::prepare() {
  const std::int64_t count = vertex_count();
  LAV_CHECK(count > 0, "a body model without vertices");
  check_size("v_template", v_template.size(), 3 * count);
  check_size("shapedirs", shapedirs.size(), 3 * count * kShapeColumns);
  if (!posedirs.empty()) check_size("posedirs", posedirs.size(), 3 * count * kPoseFeatures);
  check_size("J_regressor", j_regressor.size(), count * kJoints);
  check_size("weights", weights.size(), count * kJoints);
  check_size("kintree_table", parents.size(), kJoints);
  LAV_CHECK(faces.size() % 3 == 0, "array 'f' is not made of triangles");
  check_finite("v_template", v_template);
  check_finite("shapedirs", shapedirs);
  check_finite("posedirs", posedirs);
  check_finite("J_regressor", j_regressor);
  check_finite("weights", weights);
  parents[0] = -1;
  for (int j = 1; j < kJoints; ++j) {
    const std::int64_t parent = parents[static_cast<std::size_t>(j)];
    if (parent < 0 || parent >= j) {
      throw Error(ErrorKind::kInput, "kinematic tree: parent of joint " + std::to_string(j) + " is " +
                                         std::to_string(parent) + "; parents must precede children");
    }
  }
  for (std::size_t i = 0; i < faces.size(); ++i) {
    if (faces[i] < 0 || faces[i] >= count) {
      throw Error(ErrorKind::kInput, "array 'f': face " + std::to_string(i / 3) + " has vertex " +
                                         std::to_string(faces[i]) + "; expected 0.." + std::to_string(count - 1));
    }
  }
}

std::vector<std::string> body_model_warnings(const BodyModel& model) {
  std::vector<std::string> warnings;
  std::int64_t bad = 0;
  float largest = 0.0F;
  for (std::size_t v = 0; v + kJoints <= model.weights.size(); v += kJoints) {
    float sum = 0.0F;
    for (std::size_t j = 0; j < kJoints; ++j) sum += model.weights[v + j];
    const float error = std::abs(sum - 1.0F);
    if (error > kWeightSumTolerance) ++bad;
    largest = std::max(largest, error);
  }
  if (bad > 0) {
    std::ostringstream text;
    text << "skinning weights of " << bad << " vertices do not sum to 1 (largest error " << largest << ")";
    warnings.push_back(text.str());
  }
  for (std::size_t j = 0; j < std::min<std::size_t>(kJoints, model.parents.size()); ++j) {
    if (model.parents[j] != kExpectedParents[j]) {
      warnings.push_back("kinematic tree: parent of joint " + std::to_string(j) + " is " +
                         std::to_string(model.parents[j]) + "; expected " + std::to_string(kExpectedParents[j]));
      break;
    }
  }
  return warnings;
}

PosedBody pose(const BodyModel& model, const PoseParams& params) {
  LAV_CHECK(model.parents.size() == kJoints && model.parents[0] == -1, "the body model is not prepared");
  PosedBody out;
  std::copy(params.betas.begin(), params.betas.end(), out.shape.begin());
  std::copy(params.expression.begin(), params.expression.end(), out.shape.begin() + kBetas);
  add_shape(model, out);
  out.vertices = model.v_template;
  for (std::size_t i = 0; i < out.vertices.size(); ++i) out.vertices[i] += out.shape_offset[i];
  regress_joints(model, out.vertices, out);

  const auto rotation_vectors = full_pose(params);
  std::vector<std::array<float, 9>> rotations(kJoints);
  out.pose_feature.resize(kPoseFeatures);
  for (std::size_t j = 0; j < kJoints; ++j) {
    rotations[j] = rodrigues(std::span<const float, 3>(rotation_vectors.data() + 3 * j, 3));
    if (j == 0) continue;
    for (std::size_t i = 0; i < 9; ++i) {
      out.pose_feature[9 * (j - 1) + i] = rotations[j][i] - (i % 4 == 0 ? 1.0F : 0.0F);
    }
  }
  add_pose_correctives(model, out);
  for (std::size_t i = 0; i < out.vertices.size(); ++i) out.vertices[i] += out.pose_offset[i];

  chain_joints(model, rotations, out);
  skin(model, out);
  for (std::size_t i = 0; i < out.vertices.size(); ++i) out.vertices[i] += params.transl[i % 3];
  for (std::size_t j = 0; j < kJoints; ++j) {
    for (std::size_t k = 0; k < 3; ++k) {
      out.joints[3 * j + k] += params.transl[k];
      out.transforms[16 * j + 4 * k + 3] += params.transl[k];
    }
  }
  return out;
}

std::array<float, 9> rodrigues(std::span<const float, 3> r) {
  float square = 0.0F;
  for (const float x : r) square += (x + 1e-8F) * (x + 1e-8F);
  const float angle = std::sqrt(square);
  const float x = r[0] / angle;
  const float y = r[1] / angle;
  const float z = r[2] / angle;
  const float k[9] = {0.0F, -z, y, z, 0.0F, -x, -y, x, 0.0F};
  const float s = std::sin(angle);
  const float c = 1.0F - std::cos(angle);
  std::array<float, 9> out{};
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t col = 0; col < 3; ++col) {
      const float kk = k[3 * row] * k[col] + k[3 * row + 1] * k[3 + col] + k[3 * row + 2] * k[6 + col];
      out[3 * row + col] = (row == col ? 1.0F : 0.0F) + s * k[3 * row + col] + c * kk;
    }
  }
  return out;
}

}  // namespace layeravatar::body
