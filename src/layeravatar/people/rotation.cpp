#include "layeravatar/people/rotation.h"

#include <algorithm>
#include <cmath>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/core/error.h"

namespace layeravatar::people {
namespace {

using Quaternion = std::array<double, 4>;  // w, x, y, z

constexpr int kSweeps = 30;  // Jacobi converges quadratically; four rows need about six

Matrix3 to_matrix(const Quaternion& q) {
  const auto [w, x, y, z] = q;
  return {1 - 2 * (y * y + z * z), 2 * (x * y - z * w),     2 * (x * z + y * w),
          2 * (x * y + z * w),     1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
          2 * (x * z - y * w),     2 * (y * z + x * w),     1 - 2 * (x * x + y * y)};
}

// Eigenvector of the largest eigenvalue of a symmetric matrix, by Jacobi rotations.
Quaternion top_eigenvector(std::array<std::array<double, 4>, 4> a) {
  std::array<std::array<double, 4>, 4> vectors{};
  for (std::size_t i = 0; i < 4; ++i) vectors[i][i] = 1;
  for (int sweep = 0; sweep < kSweeps; ++sweep)
    for (std::size_t p = 0; p < 4; ++p)
      for (std::size_t q = p + 1; q < 4; ++q) {
        if (a[p][q] == 0) continue;
        const double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const double t = (theta < 0 ? -1.0 : 1.0) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (std::size_t k = 0; k < 4; ++k) {
          const double x = a[k][p], y = a[k][q];
          a[k][p] = c * x - s * y, a[k][q] = s * x + c * y;
        }
        for (std::size_t k = 0; k < 4; ++k) {
          const double x = a[p][k], y = a[q][k];
          a[p][k] = c * x - s * y, a[q][k] = s * x + c * y;
        }
        for (std::size_t k = 0; k < 4; ++k) {
          const double x = vectors[k][p], y = vectors[k][q];
          vectors[k][p] = c * x - s * y, vectors[k][q] = s * x + c * y;
        }
      }
  std::size_t top = 0;
  for (std::size_t i = 1; i < 4; ++i)
    if (a[i][i] > a[top][top]) top = i;
  return {vectors[0][top], vectors[1][top], vectors[2][top], vectors[3][top]};
}

}  // namespace

Matrix3 multiply(const Matrix3& a, const Matrix3& b) {
  Matrix3 out{};
  for (std::size_t r = 0; r < 3; ++r)
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t k = 0; k < 3; ++k) out[3 * r + c] += a[3 * r + k] * b[3 * k + c];
  return out;
}

Matrix3 transpose(const Matrix3& m) { return {m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]}; }

Vector3 rotate(const Matrix3& m, const Vector3& v) {
  Vector3 out{};
  for (std::size_t r = 0; r < 3; ++r)
    for (std::size_t k = 0; k < 3; ++k) out[r] += m[3 * r + k] * v[k];
  return out;
}

Vector3 to_rotation_vector(const Matrix3& m) {
  // Through the quaternion's largest component: exact near both 0 and pi.
  const double trace = m[0] + m[4] + m[8];
  const std::array<double, 4> squares = {1 + trace, 1 + 2 * m[0] - trace, 1 + 2 * m[4] - trace, 1 + 2 * m[8] - trace};
  const auto largest = static_cast<std::size_t>(std::max_element(squares.begin(), squares.end()) - squares.begin());
  const double wx = m[7] - m[5], wy = m[2] - m[6], wz = m[3] - m[1];
  const double xy = m[1] + m[3], xz = m[2] + m[6], yz = m[5] + m[7];
  Quaternion q{};
  if (largest == 0)
    q = {squares[0], wx, wy, wz};
  else if (largest == 1)
    q = {wx, squares[1], xy, xz};
  else if (largest == 2)
    q = {wy, xy, squares[2], yz};
  else
    q = {wz, xz, yz, squares[3]};
  const double sine = std::sqrt(q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  if (sine == 0) return {};
  const double scale = (q[0] < 0 ? -1 : 1) * 2 * std::atan2(sine, std::abs(q[0])) / sine;
  return {q[1] * scale, q[2] * scale, q[3] * scale};
}

Matrix3 from_rotation_vector(const Vector3& v) {
  const double angle = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
  const double scale = angle == 0 ? 0.5 : std::sin(angle / 2) / angle;
  return to_matrix({std::cos(angle / 2), v[0] * scale, v[1] * scale, v[2] * scale});
}

Matrix3 best_rotation(const std::vector<Vector3>& from, const std::vector<Vector3>& to) {
  LAV_CHECK(from.size() == to.size(), "points in pairs");
  std::array<double, 9> s{};  // s[3a + b] = sum from_a to_b
  for (std::size_t i = 0; i < from.size(); ++i)
    for (std::size_t a = 0; a < 3; ++a)
      for (std::size_t b = 0; b < 3; ++b) s[3 * a + b] += from[i][a] * to[i][b];
  // Horn's matrix: its top eigenvector is the quaternion that maximises sum (R from) . to.
  const double yz = s[5] - s[7], zx = s[6] - s[2], xy = s[1] - s[3];
  return to_matrix(top_eigenvector({{{s[0] + s[4] + s[8], yz, zx, xy},
                                     {yz, s[0] - s[4] - s[8], s[1] + s[3], s[6] + s[2]},
                                     {zx, s[1] + s[3], -s[0] + s[4] - s[8], s[5] + s[7]},
                                     {xy, s[6] + s[2], s[5] + s[7], -s[0] - s[4] + s[8]}}}));
}

Vector3 slerp(const Vector3& a, const Vector3& b, double share) {
  const Matrix3 start = from_rotation_vector(a);
  Vector3 step = to_rotation_vector(multiply(transpose(start), from_rotation_vector(b)));
  for (double& x : step) x *= share;
  return to_rotation_vector(multiply(start, from_rotation_vector(step)));
}

float& joint_rotation(body::PoseParams& pose, int joint, int axis) {
  LAV_CHECK(joint >= 0 && joint < body::kJoints && axis >= 0 && axis < 3, "a joint's rotation");
  const auto at = [axis](int first, int id) { return static_cast<std::size_t>(3 * (id - first) + axis); };
  if (joint == 0) return pose.global_orient[at(0, joint)];
  if (joint < 22) return pose.body_pose[at(1, joint)];
  if (joint == 22) return pose.jaw[at(22, joint)];
  if (joint == 23) return pose.leye[at(23, joint)];
  if (joint == 24) return pose.reye[at(24, joint)];
  return joint < 40 ? pose.left_hand[at(25, joint)] : pose.right_hand[at(40, joint)];
}

body::PoseParams pose_of_world_rotations(const std::array<Matrix3, body::kJoints>& world_from_t_pose) {
  body::PoseParams out = body::canonical_pose();
  for (int j = 0; j < body::kJoints; ++j) {
    const auto parent = body::kExpectedParents[static_cast<std::size_t>(j)];
    const Matrix3& world = world_from_t_pose[static_cast<std::size_t>(j)];
    const Vector3 local = to_rotation_vector(
        parent < 0 ? world : multiply(transpose(world_from_t_pose[static_cast<std::size_t>(parent)]), world));
    for (int axis = 0; axis < 3; ++axis)
      joint_rotation(out, j, axis) = static_cast<float>(local[static_cast<std::size_t>(axis)]);
  }
  return out;
}

}  // namespace layeravatar::people
