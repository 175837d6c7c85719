#include "layeravatar/people/cc0_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/geometry/ray_caster.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/people/person.h"
#include "layeravatar/people/rotation.h"
#include "layeravatar/people/three_json.h"

namespace layeravatar::people {
namespace {

using body::kJoints;

constexpr float kMetresPerDecimetre = 0.1F;
constexpr float kLeastOpenness = 0.03F;  // share of the sky that reaches a visible face
constexpr std::array<Point, 4> kFaceSamples = {
    {{0.333F, 0.333F, 0.334F}, {0.8F, 0.1F, 0.1F}, {0.1F, 0.8F, 0.1F}, {0.1F, 0.1F, 0.8F}}};
constexpr std::array<float, 3> kPelvis = {0.0F, -0.35F, 0.0F};  // so that body::kCanonicalOffset centres it

// MakeHuman bone whose head is each joint; foot is the mean of the toes' first joints.
std::array<std::vector<std::string>, kJoints> joint_bones() {
  std::array<std::vector<std::string>, kJoints> out;
  const auto set = [&](int joint, const std::string& bone) { out[static_cast<std::size_t>(joint)] = {bone}; };
  set(0, "spine05"), set(3, "spine04"), set(6, "spine03"), set(9, "spine02"), set(12, "neck01"), set(15, "head"),
      set(22, "jaw");
  for (const int right : {0, 1}) {
    const std::string side = right != 0 ? ".R" : ".L";
    set(1 + right, "upperleg01" + side), set(4 + right, "lowerleg01" + side), set(7 + right, "foot" + side);
    for (int toe = 1; toe <= 5; ++toe)
      out[static_cast<std::size_t>(10 + right)].push_back("toe" + std::to_string(toe) + "-1" + side);
    set(13 + right, "clavicle" + side), set(16 + right, "upperarm01" + side), set(18 + right, "lowerarm01" + side);
    set(20 + right, "wrist" + side), set(23 + right, "eye" + side);
    const int fingers[5] = {2, 3, 5, 4, 1};  // index, middle, pinky, ring, thumb
    for (int f = 0; f < 5; ++f)
      for (int k = 0; k < 3; ++k)
        set(25 + 15 * right + 3 * f + k, "finger" + std::to_string(fingers[f]) + "-" + std::to_string(k + 1) + side);
  }
  return out;
}

// The joint that carries each bone: its own, or that of the nearest mapped ancestor.
std::vector<int> joint_of_bone(const BaseMesh& base) {
  const auto joints = joint_bones();
  std::map<std::string, int> mapped;
  for (int j = 0; j < kJoints; ++j)
    for (const auto& bone : joints[static_cast<std::size_t>(j)]) mapped[bone] = j;
  std::vector<int> out(base.bones.size(), 0);
  for (std::size_t b = 0; b < base.bones.size(); ++b) {
    const auto it = mapped.find(base.bones[b]);
    if (it != mapped.end())
      out[b] = it->second;
    else if (base.bone_parent[b] >= 0)
      out[b] = out[static_cast<std::size_t>(base.bone_parent[b])];
  }
  for (const auto& [bone, joint] : mapped)
    if (std::find(base.bones.begin(), base.bones.end(), bone) == base.bones.end())
      throw Error(ErrorKind::kInput, "the base mesh has no bone '" + bone + "'");
  return out;
}

// Joint positions as means of base vertices: indices and count per joint.
std::vector<std::vector<std::int32_t>> joint_vertices(const BaseMesh& base) {
  std::vector<std::vector<std::int32_t>> out;
  for (const auto& bones : joint_bones()) {
    std::vector<std::int32_t> ids;
    for (const auto& bone : bones) {
      const auto it = base.joint_vertices.find(bone + "____head");
      if (it == base.joint_vertices.end()) throw Error(ErrorKind::kInput, "the base mesh has no joint '" + bone + "'");
      ids.insert(ids.end(), it->second.begin(), it->second.end());
    }
    out.push_back(std::move(ids));
  }
  return out;
}

std::vector<Vector3> joints_at(const std::vector<std::vector<std::int32_t>>& joints, const float* base_vertices) {
  std::vector<Vector3> out;
  for (const auto& ids : joints) {
    Vector3 sum{};
    for (const auto id : ids)
      for (std::size_t k = 0; k < 3; ++k) sum[k] += base_vertices[3 * static_cast<std::size_t>(id) + k];
    for (double& x : sum) x /= static_cast<double>(ids.size());
    out.push_back(sum);
  }
  return out;
}

// T-pose rotation of each joint about world axes, from the package's pose of bones.
std::vector<Matrix3> t_pose_rotations(const BaseMesh& base, const std::vector<Matrix3>& bone_rotations) {
  std::vector<Matrix3> global(base.bones.size());
  for (std::size_t b = 0; b < base.bones.size(); ++b)
    global[b] = base.bone_parent[b] < 0
                    ? bone_rotations[b]
                    : multiply(global[static_cast<std::size_t>(base.bone_parent[b])], bone_rotations[b]);
  std::vector<Matrix3> out(kJoints);
  const auto joints = joint_bones();
  for (std::size_t j = 0; j < kJoints; ++j) {
    // The toes do not turn in the T-pose; the first stands for all.
    const auto it = std::find(base.bones.begin(), base.bones.end(), joints[j][0]);
    out[j] = global[static_cast<std::size_t>(it - base.bones.begin())];
  }
  return out;
}

// [R | t] per joint that takes the A-pose into the T-pose, for joints at `rest`; linear in `rest`.
struct Transform {
  Matrix3 r;
  Vector3 rest, moved;
};
std::vector<Transform> t_pose_transforms(const std::vector<Matrix3>& rotations, const std::vector<Vector3>& rest) {
  std::vector<Transform> out(kJoints);
  for (std::size_t j = 0; j < kJoints; ++j) {
    const auto parent = body::kExpectedParents[j];
    out[j] = {rotations[j], rest[j], rest[j]};
    if (parent < 0) continue;
    const Transform& p = out[static_cast<std::size_t>(parent)];
    const Vector3 step = rotate(p.r, {rest[j][0] - p.rest[0], rest[j][1] - p.rest[1], rest[j][2] - p.rest[2]});
    for (std::size_t k = 0; k < 3; ++k) out[j].moved[k] = p.moved[k] + step[k];
  }
  return out;
}

Vector3 blend(const std::vector<Transform>& transforms, const float* weights, const Vector3& v) {
  Vector3 out{};
  for (std::size_t j = 0; j < kJoints; ++j) {
    if (weights[j] == 0.0F) continue;
    const Transform& t = transforms[j];
    const Vector3 turned = rotate(t.r, {v[0] - t.rest[0], v[1] - t.rest[1], v[2] - t.rest[2]});
    for (std::size_t k = 0; k < 3; ++k) out[k] += static_cast<double>(weights[j]) * (turned[k] + t.moved[k]);
  }
  return out;
}

// The largest principal directions of the rows of `data` [n][d] (already centred), by orthogonal iteration on the Gram
// matrix; scaled to one standard deviation.
std::vector<std::vector<float>> principal_directions(const std::vector<std::vector<float>>& data, int count) {
  const auto n = static_cast<std::int64_t>(data.size());
  const std::size_t d = data[0].size();
  std::vector<double> gram(static_cast<std::size_t>(n * n));
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = i; j < n; ++j) {
      const float* a = data[static_cast<std::size_t>(i)].data();
      const float* b = data[static_cast<std::size_t>(j)].data();
      double sum = 0;
      for (std::size_t k = 0; k < d; k += 512) {
        float part = 0;
        const std::size_t end = std::min(d, k + 512);
#pragma omp simd reduction(+ : part)
        for (std::size_t e = k; e < end; ++e) part += a[e] * b[e];
        sum += part;
      }
      gram[static_cast<std::size_t>(i * n + j)] = gram[static_cast<std::size_t>(j * n + i)] = sum;
    }
  const int width = count + 6;
  std::vector<std::vector<double>> q(static_cast<std::size_t>(width), std::vector<double>(static_cast<std::size_t>(n)));
  std::mt19937 engine(1);
  for (auto& column : q)
    for (double& x : column) x = static_cast<double>(engine()) * 0x1p-32 - 0.5;
  std::vector<double> eigenvalues(static_cast<std::size_t>(width));
  for (int round = 0; round < 200; ++round)
    for (std::size_t c = 0; c < q.size(); ++c) {
      std::vector<double> next(static_cast<std::size_t>(n), 0.0);
      for (std::size_t i = 0; i < next.size(); ++i)
        for (std::size_t j = 0; j < next.size(); ++j) next[i] += gram[i * next.size() + j] * q[c][j];
      for (std::size_t p = 0; p < c; ++p) {
        double dot = 0;
        for (std::size_t i = 0; i < next.size(); ++i) dot += next[i] * q[p][i];
        for (std::size_t i = 0; i < next.size(); ++i) next[i] -= dot * q[p][i];
      }
      double norm = 0;
      for (const double x : next) norm += x * x;
      norm = std::sqrt(norm);
      for (double& x : next) x /= norm;
      eigenvalues[c] = norm;
      q[c] = std::move(next);
    }
  std::vector<std::vector<float>> out;
  for (std::size_t c = 0; c < static_cast<std::size_t>(count); ++c) {
    std::vector<double> direction(d, 0.0);
    for (std::size_t i = 0; i < q[c].size(); ++i)
      for (std::size_t k = 0; k < d; ++k) direction[k] += q[c][i] * data[i][k];
    // |sum_i q_i x_i| = sqrt(eigenvalue); one standard deviation is sqrt(eigenvalue / n). The sign: tall is positive.
    double top = 0;
    for (std::size_t k = 1; k < 3 * kBodyVertices; k += 3) top += direction[k] * data[0].size();
    const double scale = (top < 0 ? -1.0 : 1.0) / std::sqrt(static_cast<double>(n));
    std::vector<float> column(d);
    for (std::size_t k = 0; k < d; ++k) column[k] = static_cast<float>(direction[k] * scale);
    out.push_back(std::move(column));
  }
  return out;
}

// Base vertex of each vertex of the container's mesh.
std::vector<std::int32_t> container_vertices() {
  std::vector<std::int32_t> out;
  for (std::int32_t v = 0; v < kBodyVertices; ++v) out.push_back(v);
  for (std::int32_t v = kEyesBegin; v < kEyesEnd; ++v) out.push_back(v);
  return out;
}

// Vertex sets on the T-posed mean body, metres. Joints decide the limbs; the head is cut by heights about the eyes.
std::map<std::string, std::vector<std::int32_t>> make_regions(const body::BodyModel& model,
                                                              const std::vector<std::uint8_t>& seen) {
  std::map<std::string, std::vector<std::int32_t>> out;
  const std::int64_t mesh = model.vertex_count() - kJoints;
  const auto at = [&](std::int64_t v, int k) { return model.v_template[static_cast<std::size_t>(3 * v + k)]; };
  const std::int64_t eye = mesh + 23;
  const float eye_x = std::abs(at(eye, 0)), eye_y = at(eye, 1), eye_z = at(eye, 2);
  for (std::int64_t v = 0; v < mesh; ++v) {
    const float* w = model.weights.data() + v * kJoints;
    const int joint = static_cast<int>(std::max_element(w, w + kJoints) - w);
    const auto add = [&](const char* name) { out[name].push_back(static_cast<std::int32_t>(v)); };
    if (joint >= 25 || joint == 20 || joint == 21)
      add("hands");
    else if (joint == 18 || joint == 19)
      add("forearms");
    else if (joint == 16 || joint == 17)
      add("upper_arms");
    else if (joint == 7 || joint == 8 || joint == 10 || joint == 11)
      add("feet");
    else if (joint == 4 || joint == 5)
      add("lower_legs");
    else if (joint == 1 || joint == 2)
      add("upper_legs");
    else if (joint == 0)
      add("hips");
    else if (joint == 3 || joint == 6 || joint == 9 || joint == 13 || joint == 14)
      add("torso");
    else if (joint == 12)
      add("neck");
    else {
      add("head");
      if (v >= kBodyVertices) {
        add("eyes");
        add("face");
        continue;
      }
      const float up = at(v, 1) - eye_y, ahead = at(v, 2) - eye_z, aside = std::abs(at(v, 0));
      if (seen[static_cast<std::size_t>(v)] == 0) {
        add("hidden_head");
        if (std::hypot(up, ahead, aside - eye_x) < 0.025F)
          add("eye_sockets");
        else if (aside < 0.04F && up < -0.05F)
          add("mouth_inside");
      }
      const bool ear = aside > eye_x + 0.038F && ahead > -0.14F && ahead < -0.06F && up > -0.06F && up < 0.04F;
      if (ear) add("ears");
      if (up > 0.055F || (ahead < -0.075F && up > -0.09F && !ear))
        add("scalp");
      else if (!ear)
        add("face");
      if (up > 0.03F && up <= 0.055F && ahead > -0.075F) add("forehead");
      // A wedge: narrow between the eyes, as wide as the nostrils at its base.
      const float half_width = std::min(0.022F, 0.010F - 0.35F * up);
      if (aside < half_width && ahead > 0.012F && up < 0.005F && up > -0.052F) add("nose");
    }
  }
  return out;
}

}  // namespace

std::vector<Point> rest_vertices(const Cc0Body& body, const std::array<float, 10>& betas) {
  std::vector<Point> out(body.rest_mean.size() / 3);
  for (std::size_t v = 0; v < out.size(); ++v)
    for (std::size_t k = 0; k < 3; ++k) {
      float x = body.rest_mean[3 * v + k];
      for (std::size_t b = 0; b < 10; ++b) x += betas[b] * body.rest_dirs[(3 * v + k) * 10 + b];
      out[v][k] = x;
    }
  return out;
}

Cc0Body build_cc0_body(const HumanAssets& assets, const std::filesystem::path& package, int samples) {
  const BaseMesh& base = assets.base;
  const std::size_t base_count = base.vertices.size();
  LAV_CHECK(samples > 16, "too few samples for ten directions");
  if (base_count < static_cast<std::size_t>(kEyesEnd))
    throw Error(ErrorKind::kInput, "the base mesh lacks the eye helpers");
  Cc0Body out;
  std::vector<std::vector<float>> data(static_cast<std::size_t>(samples));
#pragma omp parallel for schedule(dynamic, 4)
  for (int i = 0; i < samples; ++i) {
    const auto shape = sample_person(0x5EEDULL * 1000 + static_cast<std::uint64_t>(i)).shape;
    const auto points = assets.targets.morph(base, macro_target_weights(shape));
    auto& row = data[static_cast<std::size_t>(i)];
    row.resize(3 * base_count);
    for (std::size_t v = 0; v < base_count; ++v)
      for (std::size_t k = 0; k < 3; ++k) row[3 * v + k] = points[v][k];
  }
  std::vector<double> mean(3 * base_count, 0.0);
  for (const auto& row : data)
    for (std::size_t k = 0; k < row.size(); ++k) mean[k] += row[k] / static_cast<double>(samples);
  out.rest_mean.assign(mean.begin(), mean.end());
  for (auto& row : data)
    for (std::size_t k = 0; k < row.size(); ++k) row[k] -= out.rest_mean[k];
  const auto directions = principal_directions(data, 10);
  out.rest_dirs.resize(3 * base_count * 10);
  for (std::size_t b = 0; b < 10; ++b)
    for (std::size_t k = 0; k < 3 * base_count; ++k) out.rest_dirs[k * 10 + b] = directions[b][k];

  const std::vector<int> owner = joint_of_bone(base);
  out.base_weights.assign(base_count * kJoints, 0.0F);
  for (std::size_t v = 0; v < base_count; ++v) {
    float sum = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const auto joint = static_cast<std::size_t>(owner[static_cast<std::size_t>(base.skin_bones[v][k])]);
      out.base_weights[v * kJoints + joint] += base.skin_weights[v][k];
      sum += base.skin_weights[v][k];
    }
    if (sum <= 0) out.base_weights[v * kJoints] = sum = 1;
    for (std::size_t j = 0; j < kJoints; ++j) out.base_weights[v * kJoints + j] /= sum;
  }
  const auto t_pose = read_bone_pose(package, base, "tpose");
  const std::vector<Matrix3> rotations = t_pose_rotations(base, t_pose);
  out.t_pose_rotations.clear();
  for (const auto& r : rotations) out.t_pose_rotations.insert(out.t_pose_rotations.end(), r.begin(), r.end());
  const auto joint_ids = joint_vertices(base);
  out.joint_base_vertices = joint_ids;

  // T-posed vertices and joints of the mean and of each direction: the same linear map.
  const std::vector<std::int32_t> ids = container_vertices();
  const auto count = static_cast<std::int64_t>(ids.size()) + kJoints;
  const auto t_posed = [&](const float* base_vertices, const Vector3& origin) {
    const auto rest = joints_at(joint_ids, base_vertices);
    const auto transforms = t_pose_transforms(rotations, rest);
    std::vector<float> points;
    const auto push = [&](const Vector3& p) {
      for (std::size_t k = 0; k < 3; ++k)
        points.push_back(static_cast<float>((p[k] - origin[k]) * kMetresPerDecimetre));
    };
    for (const auto id : ids) {
      const auto v = static_cast<std::size_t>(id);
      push(blend(transforms, out.base_weights.data() + v * kJoints,
                 {base_vertices[3 * v], base_vertices[3 * v + 1], base_vertices[3 * v + 2]}));
    }
    for (const auto& t : transforms) push(t.moved);
    return points;
  };
  const Vector3 pelvis = joints_at(joint_ids, out.rest_mean.data())[0];
  Vector3 origin;
  for (std::size_t k = 0; k < 3; ++k) origin[k] = pelvis[k] - static_cast<double>(kPelvis[k]) / kMetresPerDecimetre;
  out.rest_origin = {static_cast<float>(origin[0]), static_cast<float>(origin[1]), static_cast<float>(origin[2])};
  body::BodyModel& m = out.model;
  m.v_template = t_posed(out.rest_mean.data(), origin);
  m.shapedirs.assign(static_cast<std::size_t>(count) * 3 * body::kShapeColumns, 0.0F);
  for (std::size_t b = 0; b < 10; ++b) {
    const auto moved = t_posed(directions[b].data(), {0, 0, 0});
    for (std::size_t k = 0; k < moved.size(); ++k) m.shapedirs[k * body::kShapeColumns + b] = moved[k];
  }
  m.j_regressor.assign(static_cast<std::size_t>(kJoints * count), 0.0F);
  m.weights.assign(static_cast<std::size_t>(count) * kJoints, 0.0F);
  for (std::size_t i = 0; i < ids.size(); ++i)
    std::copy_n(out.base_weights.begin() + static_cast<std::int64_t>(ids[i]) * kJoints, kJoints,
                m.weights.begin() + static_cast<std::int64_t>(i) * kJoints);
  for (std::int64_t j = 0; j < kJoints; ++j) {
    const std::int64_t carrier = static_cast<std::int64_t>(ids.size()) + j;
    m.j_regressor[static_cast<std::size_t>(j * count + carrier)] = 1.0F;
    m.weights[static_cast<std::size_t>(carrier * kJoints + j)] = 1.0F;
  }
  m.parents.assign(body::kExpectedParents.begin(), body::kExpectedParents.end());
  for (std::size_t q = 0; q < base.quads.size(); ++q) {
    const std::string& group = base.groups[static_cast<std::size_t>(base.quad_group[q])];
    const bool eye = group == "helper-l-eye" || group == "helper-r-eye";
    if (group != "body" && !eye) continue;
    const auto id = [&](std::size_t k) {
      const std::int32_t v = base.quads[q][k];
      return static_cast<std::int64_t>(eye ? v - kEyesBegin + kBodyVertices : v);
    };
    for (const std::size_t k : {1, 2}) {  // (0, 1, 2), (0, 2, 3)
      m.faces.insert(m.faces.end(), {id(0), id(k), id(k + 1)});
      out.uv_faces.insert(out.uv_faces.end(), {base.quad_uvs[q][0], base.quad_uvs[q][k], base.quad_uvs[q][k + 1]});
    }
  }
  for (const auto& uv : base.uvs) out.uvs.insert(out.uvs.end(), uv.begin(), uv.end());
  m.prepare();

  // A face is visible when light from far away reaches it.
  std::vector<Point> points(static_cast<std::size_t>(count));
  std::vector<std::array<std::int32_t, 3>> triangles;
  for (std::size_t v = 0; v < points.size(); ++v)
    points[v] = {m.v_template[3 * v], m.v_template[3 * v + 1], m.v_template[3 * v + 2]};
  for (std::size_t f = 0; f < m.faces.size(); f += 3)
    triangles.push_back({static_cast<std::int32_t>(m.faces[f]), static_cast<std::int32_t>(m.faces[f + 1]),
                         static_cast<std::int32_t>(m.faces[f + 2])});
  // Its centre and three points near the corners: a long triangle may show its tip only.
  std::vector<Point> samples_on, normals;
  for (const auto& t : triangles) {
    const Point &a = points[static_cast<std::size_t>(t[0])], &b = points[static_cast<std::size_t>(t[1])],
                &c = points[static_cast<std::size_t>(t[2])];
    Point e{}, f{};
    for (std::size_t k = 0; k < 3; ++k) e[k] = b[k] - a[k], f[k] = c[k] - a[k];
    Point n{e[1] * f[2] - e[2] * f[1], e[2] * f[0] - e[0] * f[2], e[0] * f[1] - e[1] * f[0]};
    const float length = std::sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]) + 1e-20F;
    for (float& x : n) x /= length;
    for (const Point& share : kFaceSamples) {
      Point p{};
      for (std::size_t k = 0; k < 3; ++k) p[k] = share[0] * a[k] + share[1] * b[k] + share[2] * c[k];
      samples_on.push_back(p);
      normals.push_back(n);
    }
  }
  const auto open = geometry::openness(geometry::RayCaster(points, triangles), samples_on, normals, 128, 10.0F, 1e-4F);
  std::vector<std::uint8_t> seen(points.size(), 0);
  for (std::size_t f = 0; f < triangles.size(); ++f) {
    const auto* o = open.data() + f * kFaceSamples.size();
    out.visible_faces.push_back(*std::max_element(o, o + kFaceSamples.size()) > kLeastOpenness ? 1 : 0);
    if (out.visible_faces.back() != 0)
      for (const auto id : triangles[f]) seen[static_cast<std::size_t>(id)] = 1;
  }
  out.regions = make_regions(m, seen);
  return out;
}

std::array<float, 10> betas_of(const Cc0Body& body, const HumanAssets& assets, const MacroParams& shape) {
  const auto points = assets.targets.morph(assets.base, macro_target_weights(shape));
  std::array<double, 10> dot{}, norm{};
  for (std::size_t v = 0; v < points.size(); ++v)
    for (std::size_t k = 0; k < 3; ++k)
      for (std::size_t b = 0; b < 10; ++b) {
        const double d = body.rest_dirs[(3 * v + k) * 10 + b];
        dot[b] += d * (points[v][k] - body.rest_mean[3 * v + k]);
        norm[b] += d * d;
      }
  std::array<float, 10> out;
  for (std::size_t b = 0; b < 10; ++b) out[b] = static_cast<float>(dot[b] / norm[b]);
  return out;
}

std::vector<Point> pose_points(const Cc0Body& body, const std::vector<Point>& rest_points,
                               const std::vector<float>& weights, const body::PoseParams& pose) {
  LAV_CHECK(weights.size() == rest_points.size() * kJoints, "one row of 55 weights per point");
  const std::vector<Point> base = rest_vertices(body, pose.betas);
  std::vector<Matrix3> rotations(kJoints);
  for (std::size_t j = 0; j < kJoints; ++j)
    std::copy_n(body.t_pose_rotations.begin() + static_cast<std::int64_t>(9 * j), 9, rotations[j].begin());
  const auto to_t = t_pose_transforms(rotations, joints_at(body.joint_base_vertices, base[0].data()));
  const body::PosedBody posed = body::pose(body.model, pose);
  std::vector<Point> out(rest_points.size());
  const auto count = static_cast<std::int64_t>(out.size());
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto v = static_cast<std::size_t>(i);
    const float* w = weights.data() + v * kJoints;
    const Point& p = rest_points[v];
    const Vector3 t = blend(to_t, w, {p[0], p[1], p[2]});
    Vector3 metres, sum{};
    for (std::size_t k = 0; k < 3; ++k)
      metres[k] = (t[k] - static_cast<double>(body.rest_origin[k])) * kMetresPerDecimetre;
    for (std::size_t j = 0; j < kJoints; ++j) {
      if (w[j] == 0.0F) continue;
      const float* a = posed.transforms.data() + 16 * j;
      for (std::size_t k = 0; k < 3; ++k)
        sum[k] += static_cast<double>(w[j]) *
                  (a[4 * k] * metres[0] + a[4 * k + 1] * metres[1] + a[4 * k + 2] * metres[2] + a[4 * k + 3]);
    }
    out[v] = {static_cast<float>(sum[0]), static_cast<float>(sum[1]), static_cast<float>(sum[2])};
  }
  return out;
}

std::vector<std::array<double, 9>> read_bone_pose(const std::filesystem::path& package, const BaseMesh& base,
                                                  const std::string& name) {
  const auto file = package / "src/json/poses/poses.json";
  const auto root = three_json::parse_json(read_file(file), file.string());
  const auto& pose = three_json::member(root, name.c_str());
  if (!pose.is_object()) three_json::reject(file.string(), "pose '" + name + "' is missing");
  std::vector<Matrix3> out;
  for (const auto& bone : base.bones) {
    const auto q = pose.contains(bone) ? three_json::numbers<double>(pose[bone], bone.c_str(), file.string(), 4)
                                       : std::vector<double>{0, 0, 0, 1};
    if (q.size() != 4)
      three_json::reject(file.string(), "pose '" + name + "', bone '" + bone + "': expected 4 numbers");
    const double norm = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    if (norm < 1e-6) three_json::reject(file.string(), "pose '" + name + "', bone '" + bone + "': a zero quaternion");
    const double x = q[0] / norm, y = q[1] / norm, z = q[2] / norm, w = q[3] / norm;
    out.push_back({1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), 2 * (x * y + z * w),
                   1 - 2 * (x * x + z * z), 2 * (y * z - x * w), 2 * (x * z - y * w), 2 * (y * z + x * w),
                   1 - 2 * (x * x + y * y)});
  }
  return out;
}

}  // namespace layeravatar::people
