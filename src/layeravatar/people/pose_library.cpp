#include "layeravatar/people/pose_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/people/draw.h"
#include "layeravatar/people/dressed_person.h"
#include "layeravatar/people/rotation.h"

namespace layeravatar::people {
namespace {

using body::kJoints;

constexpr std::array<std::string_view, 16> kNames = {
    "fight01", "fight02",    "fight03",    "fight04",    "fly01",      "fly02",      "gym01",      "run01",
    "sit01",   "standing01", "standing02", "standing03", "standing04", "standing05", "standing06", "tpose"};

constexpr double kMetresPerUnit = 0.1;
constexpr double kMaxTrunkLean = 20.0 * std::numbers::pi / 180;
constexpr float kMaxKneeBend = 60.0F * std::numbers::pi_v<float> / 180;
constexpr double kMaxYaw = 20.0 * std::numbers::pi / 180;
constexpr double kMaxLean = 10.0 * std::numbers::pi / 180;

Vector3 minus(const Vector3& a, const Vector3& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }
Vector3 plus(const Vector3& a, const Vector3& b) { return {a[0] + b[0], a[1] + b[1], a[2] + b[2]}; }
Vector3 row(const std::vector<float>& points, std::size_t i) {
  return {points[3 * i], points[3 * i + 1], points[3 * i + 2]};
}

// The mean body's vertices in the bones' pose, metres: R_b = R_parent q_b, t_b = t_parent + R_parent (h_b - h_parent).
std::vector<Vector3> posed_by_bones(const Cc0Body& body, const BaseMesh& base, const std::vector<Matrix3>& local) {
  std::vector<Point> rest(base.vertices.size());
  for (std::size_t v = 0; v < rest.size(); ++v)
    for (std::size_t k = 0; k < 3; ++k) rest[v][k] = body.rest_mean[3 * v + k];
  const std::size_t bones = base.bones.size();
  std::vector<Matrix3> turn(bones);
  std::vector<Vector3> head(bones), moved(bones);
  for (std::size_t b = 0; b < bones; ++b) {
    const Point h = joint_position(base, rest, base.bones[b] + "____head");
    head[b] = {h[0], h[1], h[2]};
    turn[b] = local[b];
    moved[b] = head[b];
    if (base.bone_parent[b] < 0) continue;
    const auto p = static_cast<std::size_t>(base.bone_parent[b]);
    turn[b] = multiply(turn[p], local[b]);
    moved[b] = plus(moved[p], rotate(turn[p], minus(head[b], head[p])));
  }
  std::vector<Vector3> out(rest.size());
  for (std::size_t v = 0; v < rest.size(); ++v)
    for (std::size_t k = 0; k < 4; ++k) {
      const double weight = base.skin_weights[v][k];
      const auto b = static_cast<std::size_t>(base.skin_bones[v][k]);
      const Vector3 p = plus(moved[b], rotate(turn[b], minus({rest[v][0], rest[v][1], rest[v][2]}, head[b])));
      for (std::size_t axis = 0; axis < 3; ++axis)
        out[v][axis] += weight * (p[axis] - static_cast<double>(body.rest_origin[axis])) * kMetresPerUnit;
    }
  return out;
}

// Base vertex of each of the model's vertices, the joints' carriers left out.
std::vector<std::size_t> base_of_model(const Cc0Body& body) {
  const auto count = static_cast<std::size_t>(body.model.vertex_count() - kJoints);
  std::vector<std::size_t> out;
  for (std::size_t v = 0; v < count; ++v) out.push_back(v < kBodyVertices ? v : v - kBodyVertices + kEyesBegin);
  return out;
}

}  // namespace

std::span<const std::string_view> static_pose_names() { return kNames; }

FittedPose fit_static_pose(const Cc0Body& body, const BaseMesh& base, const std::filesystem::path& package,
                           const std::string& name) {
  if (std::find(kNames.begin(), kNames.end(), name) == kNames.end())
    throw Error(ErrorKind::kInput, "pose '" + name + "' is not one of the CC0 poses");
  const auto posed = posed_by_bones(body, base, read_bone_pose(package, base, name));
  const body::BodyModel& model = body.model;
  const auto base_ids = base_of_model(body);
  const body::PosedBody rest = body::pose(model, body::PoseParams{});
  std::array<Vector3, kJoints> target_joint{};
  for (std::size_t j = 0; j < kJoints; ++j) {
    for (const auto id : body.joint_base_vertices[j])
      target_joint[j] = plus(target_joint[j], posed[static_cast<std::size_t>(id)]);
    for (double& x : target_joint[j]) x /= static_cast<double>(body.joint_base_vertices[j].size());
  }
  std::array<std::vector<std::size_t>, kJoints> owned;
  for (std::size_t v = 0; v < base_ids.size(); ++v) {
    const float* w = model.weights.data() + v * kJoints;
    owned[static_cast<std::size_t>(std::max_element(w, w + kJoints) - w)].push_back(v);
  }
  std::array<Matrix3, kJoints> world{};
  std::array<Vector3, kJoints> place{};
  for (std::size_t j = 0; j < kJoints; ++j) {
    const Vector3 joint = row(rest.rest_joints, j);
    const auto parent = body::kExpectedParents[j];
    if (parent < 0) {
      place[j] = target_joint[j];
    } else {
      const auto p = static_cast<std::size_t>(parent);
      place[j] = plus(place[p], rotate(world[p], minus(joint, row(rest.rest_joints, p))));
    }
    std::vector<Vector3> from, to;
    for (const auto v : owned[j]) {
      from.push_back(minus(row(rest.vertices, v), joint));
      to.push_back(minus(posed[base_ids[v]], place[j]));
    }
    std::vector<std::size_t> children;
    for (std::size_t c = 0; c < kJoints; ++c)
      if (body::kExpectedParents[c] == static_cast<std::int64_t>(j)) children.push_back(c);
    if (children.size() == 1) {
      // As heavy as the vertices: the chain below hangs on it.
      const double heavy = std::sqrt(static_cast<double>(std::max<std::size_t>(from.size(), 1)));
      Vector3 a = minus(row(rest.rest_joints, children[0]), joint), b = minus(target_joint[children[0]], place[j]);
      for (double& x : a) x *= heavy;
      for (double& x : b) x *= heavy;
      from.push_back(a);
      to.push_back(b);
    }
    world[j] = best_rotation(from, to);
  }
  FittedPose out;
  out.pose = pose_of_world_rotations(world);
  for (std::size_t k = 0; k < 3; ++k)
    out.pose.transl[k] = static_cast<float>(place[0][k] - row(rest.rest_joints, 0)[k]);
  const body::PosedBody fitted = body::pose(model, out.pose);
  for (std::size_t v = 0; v < base_ids.size(); ++v) {
    const Vector3 d = minus(row(fitted.vertices, v), posed[base_ids[v]]);
    const double error = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    out.mean_error += error / static_cast<double>(base_ids.size());
    out.worst_error = std::max(out.worst_error, error);
  }
  out.pose = centre_upon_origin(model, out.pose);
  return out;
}

PoseLibrary fit_pose_library(const Cc0Body& body, const BaseMesh& base, const std::filesystem::path& package) {
  PoseLibrary out;
  for (const auto name : kNames) out[std::string(name)] = fit_static_pose(body, base, package, std::string(name)).pose;
  return out;
}

void write_pose_library(const std::filesystem::path& path, const PoseLibrary& poses) {
  io::ArrayMap arrays;
  for (const auto& [name, pose] : poses) {
    const auto values = body::pose_to_vector(pose, body::PoseLayout::k189);
    arrays[name] = io::make_array<float>({static_cast<std::int64_t>(values.size())}, values);
  }
  io::write_npz(path, arrays);
}

PoseLibrary read_pose_library(const std::filesystem::path& path) {
  PoseLibrary out;
  for (const auto& [name, array] : io::read_npz(path)) {
    io::expect_shape(array, {static_cast<std::int64_t>(body::PoseLayout::k189)},
                     fmt::format("{}: array '{}'", path.string(), name));
    out[name] = body::pose_from_vector(io::to_floats(array));
  }
  return out;
}

body::PoseParams centre_upon_origin(const body::BodyModel& model, body::PoseParams pose) {
  pose.transl = {};
  const body::PosedBody posed = body::pose(model, pose);
  float low = std::numeric_limits<float>::max(), high = std::numeric_limits<float>::lowest();
  for (std::size_t k = 1; k < posed.vertices.size(); k += 3) {
    low = std::min(low, posed.vertices[k]);
    high = std::max(high, posed.vertices[k]);
  }
  pose.transl = {-posed.joints[0], -(low + high) / 2, -posed.joints[2]};
  return pose;
}

bool is_upright(const body::BodyModel& model, const body::PoseParams& pose) {
  const body::PosedBody posed = body::pose(model, pose);
  const auto height = [&](std::size_t joint) { return posed.joints[3 * joint + 1]; };
  const Vector3 trunk = minus(row(posed.joints, 12), row(posed.joints, 0));  // pelvis to neck
  if (trunk[1] < std::cos(kMaxTrunkLean) * std::sqrt(trunk[0] * trunk[0] + trunk[1] * trunk[1] + trunk[2] * trunk[2]))
    return false;
  for (const std::size_t side : {0, 1}) {
    const std::size_t hip = 1 + side, knee = 4 + side, foot = 7 + side, shoulder = 16 + side, wrist = 20 + side;
    if (height(wrist) > height(shoulder) || height(knee) > height(hip) || height(foot) > height(knee)) return false;
    const auto* bend = pose.body_pose.data() + 3 * (knee - 1);
    if (std::hypot(bend[0], bend[1], bend[2]) > kMaxKneeBend) return false;
  }
  return true;
}

body::PoseParams sample_upright_pose(std::uint64_t seed, std::span<const body::PoseParams> bases) {
  Draw draw(seed ^ 0x57A4D1A6ULL);
  if (bases.empty() || draw.uniform(0, 1) < 0.5) return sample_pose(seed);
  body::PoseParams base = bases[draw.index(bases.size())];
  // Upright: of the root's rotation R keep the turn about y, limited, and a small lean.
  const Matrix3 root = from_rotation_vector({base.global_orient[0], base.global_orient[1], base.global_orient[2]});
  const double yaw = std::atan2(root[2], root[8]);  // where +z goes
  Vector3 lean = to_rotation_vector(multiply(from_rotation_vector({0, -yaw, 0}), root));
  const double size = std::sqrt(lean[0] * lean[0] + lean[1] * lean[1] + lean[2] * lean[2]);
  if (size > kMaxLean)
    for (double& x : lean) x *= kMaxLean / size;
  const double facing = draw.uniform(-kMaxYaw, kMaxYaw);
  const Vector3 upright =
      to_rotation_vector(multiply(from_rotation_vector({0, facing, 0}), from_rotation_vector(lean)));

  body::PoseParams calm = body::default_viewing_pose();
  const double share = draw.uniform(0.0, 0.7);  // of the way to the default pose
  body::PoseParams out = body::canonical_pose();
  for (int j = 1; j < kJoints; ++j) {
    const auto rotation = [j](body::PoseParams& p) {
      return Vector3{joint_rotation(p, j, 0), joint_rotation(p, j, 1), joint_rotation(p, j, 2)};
    };
    const Vector3 blended = slerp(rotation(base), rotation(calm), share);
    for (int axis = 0; axis < 3; ++axis) {
      double value = blended[static_cast<std::size_t>(axis)];
      const bool knee = j == 4 || j == 5, elbow = j == 18 || j == 19, trunk = j < 22 && !knee && !elbow;
      if (trunk) value += draw.normal(0, 0.04, -0.1, 0.1);
      if (knee && axis == 0) value += std::abs(draw.normal(0, 0.04, -0.1, 0.1));  // bends about +x only
      if (elbow && axis == 1) value += (j == 18 ? -1 : 1) * std::abs(draw.normal(0, 0.08, -0.2, 0.2));
      joint_rotation(out, j, axis) = static_cast<float>(value);
    }
  }
  for (std::size_t k = 0; k < 3; ++k) out.global_orient[k] = static_cast<float>(upright[k]);
  return out;
}

}  // namespace layeravatar::people
