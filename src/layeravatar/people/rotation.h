// Rotations as 3x3 row-major matrices, for fitting poses. Private to this library.
#pragma once
#include <array>
#include <vector>

#include "layeravatar/body/pose_params.h"

namespace layeravatar::people {

using Matrix3 = std::array<double, 9>;
using Vector3 = std::array<double, 3>;

inline constexpr Matrix3 kIdentity3 = {1, 0, 0, 0, 1, 0, 0, 0, 1};

Matrix3 multiply(const Matrix3& a, const Matrix3& b);
Matrix3 transpose(const Matrix3& m);
Vector3 rotate(const Matrix3& m, const Vector3& v);

/// Axis times angle, angle in [0, pi].
Vector3 to_rotation_vector(const Matrix3& rotation);
Matrix3 from_rotation_vector(const Vector3& vector);

/// Kabsch: the rotation R that minimises sum_i |R from_i - to_i|^2; no centring. Identity for no points.
Matrix3 best_rotation(const std::vector<Vector3>& from, const std::vector<Vector3>& to);

/// `share` = 0 gives a, 1 gives b, along the shorter arc.
Vector3 slerp(const Vector3& a, const Vector3& b, double share);

/// Parameters whose joints have these world rotations relative to the T-pose; shape zero, canonical translation.
body::PoseParams pose_of_world_rotations(const std::array<Matrix3, body::kJoints>& world_from_t_pose);

/// Number `axis` of a joint's rotation vector.
float& joint_rotation(body::PoseParams& pose, int joint, int axis);

}  // namespace layeravatar::people
