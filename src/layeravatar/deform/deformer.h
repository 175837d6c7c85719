// Canonical Gaussians into a pose (spec/body_and_data.md sections 6 and 7, spec/model.md sections 5.4 and 6).
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "layeravatar/avatar/attributes.h"
#include "layeravatar/body/body_model.h"
#include "layeravatar/body/weight_volume.h"
#include "layeravatar/core/pooled_memory.h"
#include "layeravatar/splat/gaussians.h"
#include "layeravatar/templates/layered_template.h"

namespace layeravatar::deform {

struct RestGaussians;  // what neither pose nor avatar changes

/// Everything about one pose that does not depend on an avatar.
struct PreparedPose {
  std::shared_ptr<const RestGaussians> rest;  // of the deformer that made it
  std::vector<float> transforms;              // [55, 4, 4] posed from rest, translation included
  PooledArray<float> corrections;             // [N, 3] shape and pose offsets, metres
  PooledArray<float> node_maps;               // [16, 64, 64, 16] blended transforms at the weight volume's nodes
  PooledArray<float> fixed_maps;              // [N_b, 16] of the mesh's own weights; set where they are used
};

/// One avatar made ready for many poses: its places in the weight volume, its frames and its factors are computed once,
/// and each pose starts from the neighbours of the last. Copies share all that. Safe to use from several threads; outlives
/// its deformer.
class PosableAvatar {
 public:
  /// The bits of Deformer::pose(attributes, prepare(params)) without a graph.
  [[nodiscard]] splat::Gaussians pose(const body::PoseParams& params) const;

 private:
  friend class Deformer;
  struct State;
  std::shared_ptr<State> state_;
};

/// Takes the Gaussians of one template on one body into poses. Safe to use from several threads. A graph may be walked
/// back after the deformer is gone.
class Deformer {
 public:
  using Pose = std::shared_ptr<const PreparedPose>;

  /// Builds the weight volume from the canonical body unless it is given. Throws Error(kInternal) when the template's arrays disagree.
  Deformer(body::BodyModel model, templates::LayeredTemplate layers, std::optional<body::WeightVolume> volume = std::nullopt);

  [[nodiscard]] std::int64_t count() const { return layers().count(); }
  [[nodiscard]] const templates::LayeredTemplate& layers() const;
  [[nodiscard]] const body::BodyModel& body() const { return body_; }
  [[nodiscard]] const body::WeightVolume& volume() const;

  /// Bone transforms, shape and pose offsets (skipped where the template has no pose directions), and the transforms
  /// blended at the weight volume's nodes: trilinear weights of blended maps are blended maps of trilinear weights.
  [[nodiscard]] Pose prepare(const body::PoseParams& params) const;

  /// With p = shifted position + offset, weights w(p) of the volume (of the mesh for masked body points) and
  /// D = sum_j w_j A_j:
  ///   mean       = D (p - c + correction)
  ///   covariance = R diag(s^2) R^T,  R = D_3x3 frame Rodrigues(rotation),  s = (1 + radius) * (e, e, 0.01 e)
  /// where e = base_sizes(means) is a constant. Differentiable in offset (also through w), radius and rotation; colours
  /// and opacities pass through. Throws Error(kInternal) for wrong shapes and for another deformer's pose.
  [[nodiscard]] splat::Gaussians pose(const avatar::GaussianAttributes& attributes, const Pose& prepared) const;

  /// The avatar for many poses. Throws Error(kInternal) for wrong shapes.
  [[nodiscard]] PosableAvatar bind(const avatar::GaussianAttributes& attributes) const;

  /// Posed means [N, 3] and the affine maps W [N, 4, 4] that take canonical to posed space (without corrections).
  struct PosedPoints {
    torch::Tensor means, maps;
  };
  [[nodiscard]] PosedPoints posed_points(const torch::Tensor& offset, const PreparedPose& prepared) const;

  /// Square root of the mean squared distance to the three nearest points of the same block, at least 1e-7 m^2: [N].
  [[nodiscard]] torch::Tensor base_sizes(const torch::Tensor& means) const;

 private:
  body::BodyModel body_;
  std::shared_ptr<const RestGaussians> rest_;
};

}  // namespace layeravatar::deform
