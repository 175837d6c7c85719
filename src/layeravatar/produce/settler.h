// A studio's avatars put right (avatar/settle_layers.h).
#pragma once
#include <torch/types.h>

#include "layeravatar/avatar/layer_order.h"
#include "layeravatar/avatar/loose_gaussians.h"
#include "layeravatar/produce/studio.h"

namespace layeravatar::produce {

/// avatar::settle_layers with what it needs of a studio, made once; the studio must outlive it.
class Settler {
 public:
  explicit Settler(const Studio& studio);
  /// Planes [12, h, 3h] to the same.
  [[nodiscard]] torch::Tensor settle(const torch::Tensor& planes, const torch::Tensor& kept = {}, double apart = avatar::LayerOrder::kMargin) const;

 private:
  Settler(const Studio& studio, const avatar::NeighbourTables& tables);

  const Studio& studio_;
  avatar::LayerOrder order_;  // no shoes: their planes hold the foot's shape
  avatar::LooseGaussians loose_;
};

}  // namespace layeravatar::produce
