// Gaussians of clothes and hair that float apart from the rest.
#pragma once
#include <torch/types.h>

#include <functional>

#include "layeravatar/avatar/attributes.h"
#include "layeravatar/avatar/neighbour_tables.h"

namespace layeravatar::avatar {

/// Knows the neighbours of each Gaussian of the outer layers (outer_neighbours).
class LooseGaussians {
 public:
  static constexpr float kVisible = 0.3F, kFaint = 0.05F;  // opacities
  static constexpr float kReach = 1.15F;

  /// Points [N, 3] to base sizes [N], metres: deform::Deformer::base_sizes.
  using BaseSizes = std::function<torch::Tensor(const torch::Tensor&)>;

  LooseGaussians(const templates::LayeredTemplate& layers, BaseSizes base_sizes);
  LooseGaussians(const templates::LayeredTemplate& layers, const OuterNeighbours& outer, BaseSizes base_sizes);

  /// [N] bool: Gaussians of the outer layers, faint ones too, from which no chain of visible neighbours that touch leads to the body.
  /// Two touch when the distance of their displaced points is below kReach times the sum of their sizes, (1 + the larger
  /// tangent radius) times the base size.
  [[nodiscard]] torch::Tensor find(const GaussianAttributes& attributes) const;
  /// [N] bool: the outer layers' Gaussians that have a component.
  [[nodiscard]] const torch::Tensor& outer_mask() const { return outer_mask_; }

 private:
  BaseSizes base_sizes_;
  torch::Tensor rest_;        // [N, 3] metres
  torch::Tensor outer_;       // [K] int64
  torch::Tensor outer_mask_;  // [N] bool
  torch::Tensor neighbours_;  // [K, 12] int64; a place without a neighbour holds the Gaussian itself
};

}  // namespace layeravatar::avatar
