// Clothes, hair and shoes outside of the skin: a constraint of the default profile, which the release does not have.
#pragma once
#include <torch/types.h>

#include "layeravatar/avatar/neighbour_tables.h"

namespace layeravatar::avatar {

/// Pairs each Gaussian of the outer layers with the nearest body Gaussian of the template. With d the distance of the
/// two displaced points along the body Gaussian's normal (its frame's third column, canonical space),
///   loss = mean over the pairs of opacity relu(1 - d / margin)^2
/// so that a garment's visible Gaussians stay `margin` metres or more in front of the skin below them.
class LayerOrder {
 public:
  static constexpr double kMargin = 0.006;  // metres

  /// Without `shoes`, their Gaussians have no pair.
  explicit LayerOrder(const templates::LayeredTemplate& layers, bool shoes = true);
  explicit LayerOrder(const SkinPairs& pairs);
  /// offset [N, 3] metres, opacity [N] (taken as constants) -> scalar, differentiable in the offsets; 0 without pairs.
  [[nodiscard]] torch::Tensor loss(const torch::Tensor& offset, const torch::Tensor& opacity, double margin = kMargin) const;
  /// samples [N, 4] of opacity and offset -> the loss's gradient [N, 4] in them where the body's Gaussians alone move.
  [[nodiscard]] torch::Tensor skin_gradient(const torch::Tensor& samples, double margin = kMargin) const;

 private:
  torch::Tensor outer_, skin_;  // [K] int64: the two Gaussians of each pair
  torch::Tensor normals_;       // [K, 3] of the body Gaussians
  torch::Tensor rest_;          // [K] distance along the normal without offsets
};

}  // namespace layeravatar::avatar
