// Skinning weights on a regular grid around the canonical body, so that any canonical point can be asked for them.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "layeravatar/body/body_model.h"
#include "layeravatar/body/joint_names.h"

namespace layeravatar::body {

/// 64 x 64 x 16 nodes (x, y, z); the z axis is four times shorter. Canonical space, metres.
class WeightVolume {
 public:
  static constexpr std::array<int, 3> kSize = {64, 64, 16};  // nodes along x, y, z
  static constexpr int kRatio = 4;                           // how much shorter the z axis is
  static constexpr int kNeighbours = 10;

  /// Node weight = inverse-distance mean over the 10 nearest vertices, distances clamped to [3e-5, 0.1] metres.
  ///   canonical_vertices [V, 3], weights [V, 55], V >= 10
  /// Neighbours are exact; of equally near vertices the lower index wins.
  static WeightVolume build(std::span<const float> canonical_vertices, std::span<const float> weights);

  /// Trilinear weights of each point, clamped at the border.
  ///   points [N, 3], out [N, 55]
  void query(std::span<const float> points, std::span<float> out) const;

  /// Weights of one point and their derivative, gradient[3 j + k] = d weights[j] / d point[k].
  /// The derivative along a clamped axis is zero.
  void query_with_gradient(std::span<const float, 3> point, std::span<float, kJoints> weights,
                           std::span<float, 3 * kJoints> gradient) const;

  /// grad_points[n, k] = sum_j grad_out[n, j] d out[n, j] / d points[n, k]: overwrites grad_points.
  ///   points [N, 3], grad_out [N, 55], grad_points [N, 3]
  void query_backward(std::span<const float> points, std::span<const float> grad_out,
                      std::span<float> grad_points) const;

  [[nodiscard]] const std::array<float, 3>& centre() const { return centre_; }
  /// Half the side along x and y.
  [[nodiscard]] float half_size() const { return half_size_; }
  /// [16, 64, 64, 55]: z slowest, then y, then x, then joint.
  [[nodiscard]] std::span<const float> nodes() const { return nodes_; }
  /// Position of a node in canonical space.
  [[nodiscard]] std::array<float, 3> node_position(int x, int y, int z) const;

 private:
  struct Cell;
  [[nodiscard]] Cell locate(const float* point) const;

  std::array<float, 3> centre_{};
  float half_size_ = 1.0F;
  std::vector<float> nodes_;
};

/// The volume around a body's canonical pose, from the vertices that its faces use (from all where those are fewer than
/// 10): vertices that only carry joints lie inside and have no say in the weights of space.
WeightVolume canonical_volume(const BodyModel& body);

}  // namespace layeravatar::body
