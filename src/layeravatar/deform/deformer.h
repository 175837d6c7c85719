// Canonical Gaussians into a pose (spec/body_and_data.md sections 6 and 7, spec/model.md sections 5.4 and 6).
#pragma once
#include <torch/types.h>

#include <memory>
#include <vector>

#include "layeravatar/avatar/attributes.h"
#include "layeravatar/body/body_model.h"
#include "layeravatar/body/weight_volume.h"
#include "layeravatar/splat/gaussians.h"
#include "layeravatar/templates/layered_template.h"

namespace layeravatar::deform {

/// Everything about one pose that does not depend on an avatar.
struct PreparedPose {
  std::vector<float> transforms;   // [55, 4, 4] posed from rest, translation included
  std::vector<float> corrections;  // [N, 3] shape and pose offsets
  std::vector<float> node_maps;    // [16, 64, 64, 12]
  std::vector<float> fixed_maps;   // [N_b, 12]
};

class Deformer {
 public:
  /// Builds the weight volume from the canonical body. Throws Error(kInternal) when template and body disagree.
  Deformer(const body::BodyModel& body, const templates::LayeredTemplate& layers);

  [[nodiscard]] std::int64_t count() const { return layers_.count(); }
  [[nodiscard]] const templates::LayeredTemplate& layers() const { return layers_; }
  [[nodiscard]] const body::BodyModel& body() const { return body_; }
  [[nodiscard]] const body::WeightVolume& volume() const { return volume_; }

  [[nodiscard]] std::shared_ptr<const PreparedPose> prepare(const body::PoseParams& params) const;

  /// Differentiable in offset, radius and rotation; colours and opacities pass through. The base size, from the three
  /// nearest posed neighbours within each block of the template, is a constant. Attributes of shape [N] or [N, 3].
  [[nodiscard]] splat::Gaussians pose(const avatar::GaussianAttributes& attributes,
                                      const std::shared_ptr<const PreparedPose>& prepared) const;

  /// Posed means [N, 3] and the affine maps W [N, 4, 4] that take canonical to posed space (without corrections).
  struct PosedPoints {
    torch::Tensor means, maps;
  };
  [[nodiscard]] PosedPoints posed_points(const torch::Tensor& offset, const PreparedPose& prepared) const;

  /// sqrt of the clamped mean squared distance to three neighbours, by block: [N].
  [[nodiscard]] torch::Tensor base_sizes(const torch::Tensor& means) const;

 private:
  body::BodyModel body_;
  templates::LayeredTemplate layers_;
  body::WeightVolume volume_;
  std::vector<float> positions_;           // shifted
  std::vector<float> shape_dirs_;          // [N, 3, 20] at the Gaussians
  std::vector<std::uint8_t> fixed_;        // [N_b]
  std::vector<std::int32_t> node_start_;   // sparse weights of the volume's nodes
  std::vector<std::int32_t> node_joint_;
  std::vector<float> node_weight_;
  torch::Tensor components_;               // [N] uint8
  std::array<float, 3> canonical_{};
  friend struct PoseFunction;
};

}  // namespace layeravatar::deform
