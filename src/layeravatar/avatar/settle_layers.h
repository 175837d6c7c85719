// A sampled avatar, whose components were drawn independently of each other, put right.
#pragma once
#include <torch/types.h>

#include "layeravatar/avatar/decoder.h"
#include "layeravatar/avatar/layer_order.h"
#include "layeravatar/avatar/loose_gaussians.h"

namespace layeravatar::avatar {

/// Moves the geometry planes of planes [12, h, 3h] in 25 steps of Adam: where the skin stands before a garment or hair, those
/// of the body by the loss of `order` with a margin of `apart` metres; where Gaussians of the outer layers float by themselves, those of the outer layers until
/// these are transparent, while the opacity of the others is held. Steps are in proportion to the gradient where it is small,
/// so that what is hardly concerned stays. The decoder in evaluation mode. Texels of `kept`, bool like the planes, do not move; undefined: all may. Not in the release.
torch::Tensor settle_layers(Decoder& decoder, const MapSampler& sampler, const LayerOrder& order, const LooseGaussians& loose, const torch::Tensor& planes,
                            const torch::Tensor& kept = {}, double apart = LayerOrder::kMargin);

}  // namespace layeravatar::avatar
