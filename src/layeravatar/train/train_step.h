// One iteration of single-stage training (spec/model.md sections 9.1 and 16).
#pragma once
#include <torch/optim/adam.h>
#include <torch/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "layeravatar/diffusion/unet.h"
#include "layeravatar/train/reconstruct.h"

namespace layeravatar::train {

/// Everything that training changes, codes aside.
struct Learned {
  std::shared_ptr<avatar::Decoder> decoder, decoder_ema;
  std::shared_ptr<diffusion::UNet> unet, unet_ema;
  avatar::PlaneActivation activation;
  std::unique_ptr<torch::optim::Adam> decoder_adam, unet_adam;
};

struct StepInput {
  std::vector<SceneBatch> scenes;
  std::vector<CodeState*> codes;      // one per scene, changed in place
  std::vector<torch::Tensor> more_codes;  // further codes [12, h, 3h] before activation, for the U-Net alone
  torch::Tensor timesteps;            // [scenes + more] int64
  torch::Tensor noise;                // [scenes + more, 12, h, 3h]
  diffusion::Classes classes;         // [scenes + more, ...] of the U-Net's prior, as far as codes are known of; undefined: nothing is
  std::vector<Crop> crops;            // of the perceptual term, one for each step of the codes; may be empty without one
};

/// Logged values of the joint step and of the diffusion loss, by the names of section 8.2.
using StepLog = std::map<std::string, double>;

/// Runs one iteration; gradients of the codes of each Adam step are appended to `code_gradients` when given.
/// Throws Error(kDiverged), the tensor named, at the first non-finite loss or gradient; nothing is stored then.
StepLog train_step(const Scaffold& scaffold, Learned& learned, const StepInput& input, const TrainConfig& config,
                   std::int64_t iteration, StepTimes& times, std::vector<torch::Tensor>* code_gradients = nullptr);

}  // namespace layeravatar::train
