// A run's averaged networks as a model pack.
#pragma once
#include <filesystem>

#include "layeravatar/avatar/pack.h"
#include "layeravatar/train/trainer.h"

namespace layeravatar::train {

/// The pack of a run at its present state: averaged networks, template, body, and betas predicted from the planes of
/// the training people (ridge regression).
avatar::ModelPack make_pack(const Trainer& trainer, const std::vector<body::PoseParams>& people, int image_size);

}  // namespace layeravatar::train
