// Which component each texel of the planes belongs to.
#pragma once
#include <torch/types.h>

#include <cstdint>

#include "layeravatar/templates/layered_template.h"

namespace layeravatar::avatar {

/// The owner of each channel and texel of planes [12, h, 3 h]: uint8, 0 body and hair, 1 top, 3 shoes, 4 bottom. Hair goes with the
/// body: no picture shows the part of a face that a fringe hides, and hair suits skin. A texel goes with the nearest Gaussian
/// of its layer's square; Gaussians without a label go with the body. Where a Gaussian of clothes lies within 3 cm of a body
/// Gaussian, the six geometry channels of the latter go with the nearest: the skin under a garment fits it, as when
/// components are swapped.
torch::Tensor plane_owner(const templates::LayeredTemplate& layers, std::int64_t planes_height);

/// The texels that a component 0..4 (body, top, hair, shoes, bottom) is decoded from: [12, h, 3h] bool, of the owners above, hair being
/// what the body's owner has outside of the body's square. `with_skin`: the geometry of the skin below a garment goes with the garment, as in
/// plane_owner; else with the body.
torch::Tensor component_texels(const templates::LayeredTemplate& layers, std::int64_t planes_height, int component, bool with_skin);

/// The texels [h, 3h] bool on which the attributes of a component's Gaussians depend: lookups and filters reach into other components' texels, and over the squares' seams.
torch::Tensor texels_read(const templates::LayeredTemplate& layers, std::int64_t planes_height, int component);

}  // namespace layeravatar::avatar
