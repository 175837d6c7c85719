// What a run has learned so far, as a picture.
#pragma once
#include "layeravatar/io/png.h"
#include "layeravatar/train/trainer.h"

namespace layeravatar::train {

/// A row for each of up to four scenes, evenly spread: target, full render and the five components in a training view,
/// by the EMA decoder in evaluation mode. Where the stage at `iteration` trains the diffusion model, a last row of four
/// samples of its EMA from the front (20 DDIM steps, the same noise every time). Changes nothing and draws nothing from
/// LibTorch's global generator.
io::Image preview(const Scaffold& scaffold, const Learned& learned, const CodeCache& codes, SceneSource& source,
                  const TrainConfig& config, std::int64_t iteration);

}  // namespace layeravatar::train
