#include "layeravatar/train/train_step.h"

#include <torch/nn/utils.h>
#include <torch/optim/adam.h>
#include <torch/torch.h>

#include <cmath>

#include "layeravatar/avatar/decoder_branch.h"
#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/training_loss.h"
#include "layeravatar/nn/named_tensors.h"

namespace layeravatar::train {
namespace {

void require_finite(const torch::Tensor& tensor, const std::string& name, std::int64_t iteration) {
  if (!std::isfinite(tensor.sum().item<double>()))
    throw Error(ErrorKind::kDiverged, name + " at iteration " + std::to_string(iteration) + " is not finite");
}

void require_finite_gradients(const torch::nn::Module& module, const std::string& name, std::int64_t iteration) {
  for (const auto& p : module.named_parameters())
    if (p.value().grad().defined()) require_finite(p.value().grad(), "gradient of " + name + "." + p.key(), iteration);
}

void set_trainable(torch::nn::Module& module, bool on) {
  for (torch::Tensor& p : module.parameters()) p.requires_grad_(on);
}

}  // namespace

StepLog train_step(const Scaffold& scaffold, Learned& learned, const StepInput& input, const TrainConfig& config,
                   std::int64_t iteration, StepTimes& times, std::vector<torch::Tensor>* code_gradients) {
  const Stage& stage = config.stage_at(iteration);
  const auto scenes = input.scenes.size();
  LAV_CHECK(scenes > 0 && input.codes.size() == scenes, "one code per scene");
  StepLog log;
  Stopwatch watch;

  // (1) statistics, (2) diffusion loss, its gradient to the codes and the U-Net's step.
  std::vector<torch::Tensor> leaves, all;
  for (const CodeState* state : input.codes) leaves.push_back(state->code.detach().clone().requires_grad_(true));
  all = leaves;
  {
    const torch::NoGradGuard no_grad;
    learned.activation.update_statistics(torch::stack(leaves));
    scaffold.ranks->average({learned.activation.running_mean(), learned.activation.running_var()});
  }
  std::vector<torch::Tensor> prior;
  if (stage.diffusion) {
    for (const torch::Tensor& code : input.more_codes) all.push_back(code);
    learned.unet_adam->zero_grad();
    scaffold.ranks->expect_gradients(*learned.unet);
    const torch::Tensor x0 = learned.activation.forward(torch::stack(all));
    const diffusion::TrainingLoss loss =
        diffusion::training_loss(*learned.unet, scaffold.schedule, x0, input.timesteps, input.noise, 20.0,
                                 config.unet_flat_weights ? diffusion::Weighting::kFlat : diffusion::Weighting::kSnr,
                                 input.classes.weight.defined() ? &input.classes : nullptr);
    loss.value.backward();
    scaffold.ranks->average_gradients(*learned.unet);
    log["loss_ddpm_mse"] = loss.value.item<double>();
    for (std::size_t q = 0; q < loss.quartiles.size(); ++q)
      log["loss_mse_quartile_" + std::to_string(q)] = loss.quartiles[q];
    require_finite(loss.value, "loss_ddpm_mse", iteration);
    require_finite_gradients(*learned.unet, "unet", iteration);
    watch.lap(times.unet);
    for (auto& group : learned.unet_adam->param_groups())
      static_cast<torch::optim::AdamOptions&>(group.options()).lr(config.unet_lr * config.lr_factor(iteration));
    learned.unet_adam->step();
    watch.lap(times.optimiser);
    // The mean over more codes than the scenes' own would weaken the prior: give each scene its own share back.
    const double share = static_cast<double>(all.size()) / static_cast<double>(scenes);
    for (const torch::Tensor& leaf : leaves) prior.push_back(leaf.grad() * share);
  } else {
    for (const torch::Tensor& leaf : leaves) prior.push_back(torch::zeros_like(leaf));
  }

  // (3) code steps with the decoder frozen, (4) the joint step. Ranks that share a batch see the gradients of the sum of their losses, codes as well.
  const int sharing = config.sync_batchnorm ? scaffold.ranks->size() : 1;
  avatar::SumOverProcesses sum;
  if (sharing > 1)
    sum = [ranks = scaffold.ranks](torch::Tensor values) {
      ranks->average({values});
      values.mul_(ranks->size());
    };
  const avatar::SharedBatch shared(sum);
  const double kappa = kappa_of(config.loss_coef, input.scenes[0].labels);
  const auto views = static_cast<int>(input.scenes[0].cameras.size());
  const int stride = views / 2;
  learned.decoder->train(stage.batch_norm);
  set_trainable(*learned.decoder, false);
  for (int step = 0; step <= stage.extra_scene_step; ++step) {
    const bool joint = step == stage.extra_scene_step;
    if (joint) {
      set_trainable(*learned.decoder, true);
      learned.decoder_adam->zero_grad();
      scaffold.ranks->expect_gradients(*learned.decoder);
    }
    const int first = joint ? stride - 1 : step % stride;
    Reconstruction result = reconstruct(scaffold, *learned.decoder, learned.activation, input.scenes, input.codes, stage, kappa,
                                        {first, first + stride}, times, input.crops.empty() ? Crop() : input.crops.at(static_cast<std::size_t>(step)));
    if (joint) scaffold.ranks->average_gradients(*learned.decoder);
    if (!std::isfinite(result.terms["loss_decoder"]))
      for (const auto& [name, value] : result.terms)
        if (name != "loss_decoder" && !std::isfinite(value))
          throw Error(ErrorKind::kDiverged, name + " at iteration " + std::to_string(iteration) + " is not finite");
    watch.restart();  // reconstruct counts its own time
    for (std::size_t s = 0; s < scenes; ++s) {
      const torch::Tensor gradient = (result.code_gradients[s] + prior[s]) / sharing;
      require_finite(gradient, "gradient of the code of scene " + std::to_string(s), iteration);
      if (code_gradients != nullptr) code_gradients->push_back(gradient);
      adam_step(*input.codes[s], gradient, stage.code_lr);
      require_finite(input.codes[s]->code, "code of scene " + std::to_string(s), iteration);
    }
    if (joint) {
      require_finite_gradients(*learned.decoder, "decoder", iteration);
      for (auto& group : learned.decoder_adam->param_groups())
        static_cast<torch::optim::AdamOptions&>(group.options()).lr(config.decoder_lr * config.lr_factor(iteration));
      learned.decoder_adam->step();
      log.merge(result.terms);
      log["train_psnr"] = result.psnr;
      log["code_rms"] = result.code_rms;
    }
    watch.lap(times.optimiser);
  }

  const double momentum = nn::ema_momentum(iteration);
  nn::update_ema(*learned.decoder_ema, *learned.decoder, momentum);
  if (stage.diffusion) nn::update_ema(*learned.unet_ema, *learned.unet, momentum);
  watch.lap(times.optimiser);
  return log;
}

}  // namespace layeravatar::train
