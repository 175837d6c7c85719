// The skin of a sampled avatar brought under its clothes and hair.
#pragma once
#include <torch/types.h>

#include "layeravatar/avatar/decoder.h"
#include "layeravatar/avatar/layer_order.h"

namespace layeravatar::avatar {

/// Planes [12, h, 3h] whose components were drawn independently of each other: where the skin stands before a garment or hair,
/// 25 steps of Adam on the loss of `order` move the body's geometry planes, and nothing else. Steps are in proportion to the
/// gradient where it is small, so that skin which hardly touches a garment stays. The decoder in evaluation mode.
/// Not in the release.
torch::Tensor settle_layers(Decoder& decoder, const MapSampler& sampler, const LayerOrder& order, const torch::Tensor& planes);

}  // namespace layeravatar::avatar
