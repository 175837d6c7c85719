// A run from its files, for training and for evaluation. Private.
#pragma once
#include <memory>

#include "layeravatar/train/run_training.h"
#include "layeravatar/train/trainer.h"

namespace layeravatar::train {

/// The settings of the file and those over it. Throws Error(kConfig) for wrong ones and when no dataset is set.
TrainConfig read_config(const TrainingFiles& files);

/// The body and template of the files.
struct Ground {
  body::BodyModel body;
  templates::LayeredTemplate layers;
};
Ground read_ground(const TrainingFiles& files);

/// Folder, resuming and the pack to start from are those of the files.
std::unique_ptr<Trainer> open_trainer(const TrainConfig& config, const Ground& ground, const TrainingFiles& files, std::shared_ptr<SceneSource> source, RunOptions options);

}  // namespace layeravatar::train
