#include "layeravatar/body/pose_params.h"

#include <algorithm>
#include <numbers>
#include <string>

#include "layeravatar/core/error.h"

namespace layeravatar::body {
namespace {

/// Calls field(array) for each part of the layout, in its order. The one place that knows the layouts.
template <class Pose, class Field>
void visit_layout(Pose& p, PoseLayout layout, Field&& field) {
  switch (layout) {
    case PoseLayout::k189:
      field(std::span(&p.scale, 1));
      field(std::span(p.transl));
      field(std::span(p.global_orient));
      field(std::span(p.body_pose));
      field(std::span(p.betas));
      field(std::span(p.left_hand));
      field(std::span(p.right_hand));
      field(std::span(p.jaw));
      field(std::span(p.leye));
      field(std::span(p.reye));
      field(std::span(p.expression));
      return;
    case PoseLayout::k179:
      field(std::span(p.global_orient));
      field(std::span(p.body_pose));
      field(std::span(p.left_hand));
      field(std::span(p.right_hand));
      field(std::span(p.jaw));
      field(std::span(p.expression));
      field(std::span(p.betas));
      return;
    case PoseLayout::k175:
      field(std::span(p.global_orient));
      field(std::span(p.body_pose));
      field(std::span(p.left_hand));
      field(std::span(p.right_hand));
      field(std::span(p.jaw));
      field(std::span(p.leye));
      field(std::span(p.reye));
      field(std::span(p.betas));
      return;
  }
}

}  // namespace

PoseParams pose_from_vector(std::span<const float> values) {
  const std::size_t n = values.size();
  if (n != 175 && n != 179 && n != 189) {
    throw Error(ErrorKind::kInput, "SMPL-X vector has " + std::to_string(n) + " numbers; expected 175, 179 or 189");
  }
  PoseParams pose = canonical_pose();
  std::size_t at = 0;
  visit_layout(pose, static_cast<PoseLayout>(n), [&](auto part) {
    std::copy_n(values.data() + at, part.size(), part.data());
    at += part.size();
  });
  return pose;
}

std::vector<float> pose_to_vector(const PoseParams& pose, PoseLayout layout) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(layout));
  visit_layout(pose, layout, [&](auto part) { values.insert(values.end(), part.begin(), part.end()); });
  return values;
}

PoseParams default_viewing_pose() {
  constexpr float kPi = std::numbers::pi_v<float>;
  PoseParams pose = canonical_pose();
  pose.body_pose[38] = -kPi / 9;  // left and right collar about z
  pose.body_pose[41] = kPi / 9;
  pose.body_pose[47] = -kPi / 4;  // left and right shoulder about z
  pose.body_pose[50] = kPi / 4;
  pose.scale = 0.0F;
  return pose;
}

PoseParams canonical_pose() {
  PoseParams pose;
  pose.transl = kCanonicalOffset;
  return pose;
}

std::array<float, 3 * kJoints> full_pose(const PoseParams& pose) {
  std::array<float, 3 * kJoints> full{};
  auto out = full.begin();
  const auto append = [&out](const auto& part) { out = std::copy(part.begin(), part.end(), out); };
  append(pose.global_orient);
  append(pose.body_pose);
  append(pose.jaw);
  append(pose.leye);
  append(pose.reye);
  append(pose.left_hand);
  append(pose.right_hand);
  return full;
}

}  // namespace layeravatar::body
