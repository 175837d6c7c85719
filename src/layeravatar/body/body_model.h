// The SMPL-X body: shape, pose correctives, kinematic chain and linear blend skinning of one body.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "layeravatar/body/pose_params.h"

namespace layeravatar::body {

/// A body of V vertices and F triangles on the 55 joints; V and F are free. All arrays are dense and row-major.
/// Fill it, then call prepare() once.
struct BodyModel {
  std::vector<float> v_template;       // [V, 3] metres
  std::vector<float> shapedirs;        // [V, 3, 20] betas 0-9, then expression 0-9
  std::vector<float> posedirs;         // [486, 3V], column 3v + k; empty means zeros
  std::vector<float> j_regressor;      // [55, V]
  std::vector<float> weights;          // [V, 55], rows sum to 1
  std::vector<std::int64_t> parents;   // [55]
  std::vector<std::int64_t> faces;     // [F, 3]

  [[nodiscard]] std::int64_t vertex_count() const { return static_cast<std::int64_t>(v_template.size() / 3); }
  [[nodiscard]] std::int64_t face_count() const { return static_cast<std::int64_t>(faces.size() / 3); }

  /// Forces the root's parent to -1 (files carry 4294967295) and checks the whole model.
  /// Throws Error(kInternal) for a wrong array size, Error(kInput) for non-finite numbers, a parent that does not
  /// precede its child, or a face with a vertex out of range.
  void prepare();
};

/// What is odd but usable: weight rows that do not sum to 1, an unexpected kinematic tree.
std::vector<std::string> body_model_warnings(const BodyModel& model);

struct PosedBody {
  std::vector<float> vertices;      // [V, 3] posed, transl included
  std::vector<float> joints;        // [55, 3] posed, transl included
  std::vector<float> rest_joints;   // [55, 3] of the shaped body before posing, without transl
  std::vector<float> transforms;    // [55, 4, 4] posed from rest (A), translation column includes transl
  std::vector<float> shape_offset;  // [V, 3] of all 20 components
  std::vector<float> pose_offset;   // [V, 3]
  std::vector<float> pose_feature;  // [486] R - I of joints 1-54, row-major
  std::array<float, kShapeColumns> shape{};  // betas, then expression
};

/// Forward pass:
///   s_v = template_v + sum_l c_l S_v,l          J = J_regressor s          p = (R_j - I), j = 1..54
///   G_0 = [R_0 | J_0], G_j = G_parent [R_j | J_j - J_parent]               A_j = [rot G_j | t(G_j) - rot(G_j) J_j]
///   x_v = (sum_j w_v,j A_j) (s_v + sum_m p_m posedirs_m,v) + transl
/// The result does not depend on the number of threads. Throws Error(kInternal) when the model is not prepared.
PosedBody pose(const BodyModel& model, const PoseParams& params);

/// Rotation matrix, row-major, of a rotation vector: R = I + sin(a) K + (1 - cos(a)) K^2 with K = skew(r / a) and
/// a = |r + 1e-8 (1,1,1)|; the 1e-8 is only in the norm, so that r = 0 gives exactly I.
std::array<float, 9> rodrigues(std::span<const float, 3> rotation_vector);

}  // namespace layeravatar::body
