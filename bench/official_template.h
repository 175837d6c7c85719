// A body and a template of the official sizes (10 475 vertices, 89 490 Gaussians) made of body_surface.h, with arrays of the real kinds.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "body_surface.h"
#include "layeravatar/body/body_model.h"
#include "layeravatar/body/joint_names.h"
#include "layeravatar/templates/layered_template.h"

namespace layeravatar::bench {

using body::kJoints;

// Places of the joints of the body of body_surface.h, metres; hands share the wrist's.
inline std::array<std::array<float, 3>, kJoints> joint_places() {
  std::array<std::array<float, 3>, kJoints> at{};
  const std::array<std::array<float, 3>, 22> first = {{{0, 0, 0},         {0.1F, -0.05F, 0}, {-0.1F, -0.05F, 0}, {0, 0.12F, 0},
                                                        {0.1F, -0.42F, 0}, {-0.1F, -0.42F, 0}, {0, 0.25F, 0},      {0.1F, -0.8F, 0},
                                                        {-0.1F, -0.8F, 0}, {0, 0.38F, 0},      {0.1F, -0.83F, 0.1F}, {-0.1F, -0.83F, 0.1F},
                                                        {0, 0.58F, 0},     {0.08F, 0.5F, 0},   {-0.08F, 0.5F, 0},  {0, 0.66F, 0},
                                                        {0.18F, 0.48F, 0}, {-0.18F, 0.48F, 0}, {0.45F, 0.48F, 0},  {-0.45F, 0.48F, 0},
                                                        {0.7F, 0.48F, 0},  {-0.7F, 0.48F, 0}}};
  std::copy(first.begin(), first.end(), at.begin());
  for (std::size_t j = 22; j < 25; ++j) at[j] = {0.02F * static_cast<float>(j) - 0.46F, 0.7F, 0.1F};
  for (std::size_t j = 25; j < kJoints; ++j) {
    const float side = j < 40 ? 1.0F : -1.0F, finger = static_cast<float>((j - 25) % 15 / 3) - 2, along = static_cast<float>((j - 25) % 3);
    at[j] = {side * (0.76F + 0.03F * along), 0.48F, 0.015F * finger};
  }
  return at;
}

// Four joints a point, by the distance.
inline void set_weights(const std::array<std::array<float, 3>, kJoints>& joints, const std::array<float, 3>& p, float* out) {
  std::array<std::pair<float, std::size_t>, kJoints> near;
  for (std::size_t j = 0; j < kJoints; ++j) {
    float square = 1e-4F;
    for (std::size_t k = 0; k < 3; ++k) square += (joints[j][k] - p[k]) * (joints[j][k] - p[k]);
    near[j] = {square, j};
  }
  std::partial_sort(near.begin(), near.begin() + 4, near.end());
  float sum = 0;
  for (std::size_t k = 0; k < 4; ++k) sum += 1 / (near[k].first * near[k].first);
  for (std::size_t k = 0; k < 4; ++k) out[near[k].second] = 1 / (near[k].first * near[k].first * sum);
}

inline body::BodyModel official_body() {
  std::vector<SurfacePoint> points;
  std::mt19937 random(7);
  add_layer(points, 10475, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0, 0, random);
  const auto joints = joint_places();
  body::BodyModel m;
  const std::size_t n = points.size();
  m.weights.assign(n * kJoints, 0.0F);
  m.shapedirs.resize(n * 60);
  m.j_regressor.assign(n * kJoints, 0.0F);
  for (float& x : m.shapedirs) x = 1e-3F * (static_cast<float>(random() >> 8) * 0x1p-23F - 1);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < 3; ++k) m.v_template.push_back(points[i].at[k] - (k == 1 ? 0.35F : 0.0F));
    set_weights(joints, points[i].at, m.weights.data() + i * kJoints);
    for (std::size_t k = 0; k < 3; ++k) m.faces.push_back(static_cast<std::int64_t>((i + k) % n));
  }
  // Each joint is the mean of its nearest hundred vertices.
  for (std::size_t j = 0; j < kJoints; ++j) {
    std::vector<std::pair<float, std::size_t>> near;
    for (std::size_t i = 0; i < n; ++i) {
      float square = 0;
      for (std::size_t k = 0; k < 3; ++k) square += (joints[j][k] - points[i].at[k]) * (joints[j][k] - points[i].at[k]);
      near.emplace_back(square, i);
    }
    std::partial_sort(near.begin(), near.begin() + 100, near.end());
    for (std::size_t k = 0; k < 100; ++k) m.j_regressor[j * n + near[k].second] = 0.01F;
  }
  m.parents.assign(body::kExpectedParents.begin(), body::kExpectedParents.end());
  m.prepare();
  return m;
}

inline templates::LayeredTemplate official_template() {
  const std::vector<SurfacePoint> points = dressed_body();
  const auto joints = joint_places();
  templates::LayeredTemplate t;
  t.blocks = {34858, 21424, 11056, 22152};
  constexpr std::array<std::int32_t, 5> kLabel = {1, 2, 3, 4, 5};
  constexpr std::int32_t kDense = 45000;
  std::mt19937 random(9);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const SurfacePoint& p = points[i];
    t.positions.insert(t.positions.end(), p.at.begin(), p.at.end());
    const std::array<float, 3>& n = p.normal;
    const float flat = std::hypot(n[0], n[2]) + 1e-6F;  // a horizontal tangent
    const std::array<float, 3> x = {n[2] / flat, 0, -n[0] / flat};
    const std::array<float, 3> y = {n[1] * x[2], n[2] * x[0] - n[0] * x[2], -n[1] * x[0]};
    for (std::size_t k = 0; k < 3; ++k) t.frames.insert(t.frames.end(), {x[k], y[k], n[k]});
    t.labels.push_back(kLabel[p.component]);
    const auto face = static_cast<std::int32_t>(i / 2);
    t.faces.insert(t.faces.end(), {face, std::min(face + 1, kDense - 1), std::min(face + 200, kDense - 1)});
  }
  // Each layer fills its square row by row: neighbours in the list are neighbours in the planes.
  for (const auto& [layer, count] : {std::pair<int, std::int64_t>{0, t.blocks[0]}, {1, t.blocks[1]}, {2, t.blocks[2] + t.blocks[3]}}) {
    const auto columns = static_cast<std::int64_t>(std::sqrt(static_cast<double>(count)));
    for (std::int64_t i = 0; i < count; ++i) {
      const float u = (static_cast<float>(i % columns) + 0.37F) / static_cast<float>(columns);
      t.uvs.insert(t.uvs.end(), {(u + static_cast<float>(layer)) / 3, static_cast<float>(i / columns) / static_cast<float>(count / columns + 1)});
    }
  }
  const auto small = [&] { return 1e-3F * (static_cast<float>(random() >> 8) * 0x1p-23F - 1); };
  t.shape_dirs.resize(60 * kDense);
  for (float& x : t.shape_dirs) x = small();
  t.pose_dirs.resize(std::size_t{486} * 3 * kDense);
  for (float& x : t.pose_dirs) x = small();
  const auto body_count = static_cast<std::size_t>(t.blocks[0]);
  t.body_weights.assign(body_count * kJoints, 0.0F);
  for (std::size_t i = 0; i < body_count; ++i) {
    set_weights(joints, points[i].at, t.body_weights.data() + i * kJoints);
    t.face_mask.push_back(points[i].at[1] > 0.6F && points[i].at[2] > 0.05F ? 1 : 0);
    t.hands_mask.push_back(std::abs(points[i].at[0]) > 0.7F ? 1 : 0);
  }
  t.outside_mask.assign(body_count, 0);
  t.nose_mask.assign(body_count, 0);
  return t;
}

}  // namespace layeravatar::bench
