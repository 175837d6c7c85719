// Where a fit to pictures begins.
#pragma once
#include <torch/types.h>

#include "layeravatar/produce/studio.h"
#include "layeravatar/train/reconstruct.h"

namespace layeravatar::train {

/// Of the mixture prior's classes, part by part, the one that draws the pictures (four of them at most) best while the other parts are as chosen before: planes [12, h, 3h]. A discrete choice,
/// such as of a skirt, that no gradient makes. Where the pack knows attributes and `labelled`, classes are moved first to the mean colours that the pictures show of
/// skin, hair and garments (diffusion/prior_attributes.h), on sides that no picture shows as well. The prior's mean without classes.
torch::Tensor fit_start(const produce::Studio& studio, const Scaffold& scaffold, const SceneBatch& scene, const Stage& stage, bool labelled);

}  // namespace layeravatar::train
