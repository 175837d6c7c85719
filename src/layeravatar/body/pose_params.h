// SMPL-X parameters of one body and the three vector layouts in which files and networks carry them.
#pragma once
#include <array>
#include <span>
#include <vector>

#include "layeravatar/body/joint_names.h"

namespace layeravatar::body {

inline constexpr int kBetas = 10;
inline constexpr int kExpressions = 10;
inline constexpr int kShapeColumns = kBetas + kExpressions;   // betas, then expression
inline constexpr int kPoseFeatures = (kJoints - 1) * 9;       // 486

/// Shift of the canonical body, metres: it brings the pelvis close to the world origin.
inline constexpr std::array<float, 3> kCanonicalOffset = {0.0F, 0.35F, 0.0F};

/// Rotations are rotation vectors (axis times angle, radians), three numbers a joint; the hands are absolute (flat
/// mean). Lengths are metres. `scale` is carried along and never used.
struct PoseParams {
  std::array<float, 3> global_orient{};    // joint 0
  std::array<float, 63> body_pose{};       // joints 1-21
  std::array<float, kBetas> betas{};       //
  std::array<float, 45> left_hand{};       // joints 25-39
  std::array<float, 45> right_hand{};      // joints 40-54
  std::array<float, 3> jaw{};              // joint 22
  std::array<float, 3> leye{};             // joint 23
  std::array<float, 3> reye{};             // joint 24
  std::array<float, kExpressions> expression{};
  std::array<float, 3> transl{};           // added after skinning
  float scale = 1.0F;

  bool operator==(const PoseParams&) const = default;
};

/// The value is the length of the vector.
///   189: scale, transl, global_orient, body_pose, betas, left_hand, right_hand, jaw, leye, reye, expression
///   179: global_orient, body_pose, left_hand, right_hand, jaw, expression, betas
///   175: global_orient, body_pose, left_hand, right_hand, jaw, leye, reye, betas
enum class PoseLayout { k175 = 175, k179 = 179, k189 = 189 };

/// Reads a vector by its length. What a layout lacks is zero, except transl = kCanonicalOffset and scale = 1.
/// Throws Error(kInput) for any other length.
PoseParams pose_from_vector(std::span<const float> values);

/// The inverse; parameters that the layout does not carry are dropped.
std::vector<float> pose_to_vector(const PoseParams& pose, PoseLayout layout);

/// Arms lowered: what is shown when no parameters are given. transl = kCanonicalOffset, scale 0.
PoseParams default_viewing_pose();

/// Canonical pose: all rotations and shape zero, transl = kCanonicalOffset.
PoseParams canonical_pose();

/// The 55 rotation vectors in joint order, [55, 3].
std::array<float, 3 * kJoints> full_pose(const PoseParams& pose);

}  // namespace layeravatar::body
