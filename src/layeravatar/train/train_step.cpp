#include "layeravatar/train/train_step.h"

#include <torch/nn/utils.h>
#include <torch/optim/adam.h>
#include <torch/torch.h>

#include <chrono>
#include <cmath>

#include "layeravatar/avatar/tv_loss.h"
#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/training_loss.h"
#include "layeravatar/nn/named_tensors.h"

namespace layeravatar::train {
namespace {

// Adds the time since the last lap to a counter.
class Stopwatch {
 public:
  void restart() { last_ = std::chrono::steady_clock::now(); }
  void lap(double& counter) {
    const auto now = std::chrono::steady_clock::now();
    counter += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

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

torch::Tensor leaf_of(const torch::Tensor& tensor) { return tensor.detach().requires_grad_(tensor.requires_grad()); }

torch::Tensor gradient_or_zero(const torch::Tensor& leaf) {
  return leaf.grad().defined() ? leaf.grad() : torch::zeros_like(leaf);
}

struct Evaluation {
  std::vector<torch::Tensor> code_gradients;  // one per scene
  StepLog terms;
  double psnr = 0;
  double code_rms = 0;
};

// The loss on the given views, backwards to the codes (and to the decoder where it is trainable). Runs back stage by
// stage, so that only one view's images are alive at a time.
Evaluation evaluate(const Scaffold& scaffold, Learned& learned, const StepInput& input, const Stage& stage,
                    double kappa_value, const std::vector<int>& views, StepTimes& times) {
  const auto scenes = static_cast<std::int64_t>(input.scenes.size());
  Stopwatch watch;
  std::vector<torch::Tensor> codes;
  for (const CodeState* state : input.codes) codes.push_back(state->code.detach().clone().requires_grad_(true));
  const torch::Tensor planes = learned.activation.forward(torch::stack(codes));
  const torch::Tensor map = learned.decoder->attribute_map(planes);
  const torch::Tensor samples = scaffold.sampler->sample(map);
  watch.lap(times.decode);
  const torch::Tensor tv = avatar::tv_loss(map) * stage.weights.tv;
  watch.lap(times.losses);

  const std::int64_t pixels = input.scenes[0].labels.size(1) * input.scenes[0].labels.size(2);
  const auto images = scenes * static_cast<std::int64_t>(views.size());
  const ImageTermScales scales = image_term_scales(stage.weights, kappa_value, images, pixels);
  std::array<double, kImageTerms> terms{};
  double offset_term = 0, order_term = 0, psnr = 0;
  torch::Tensor sample_gradients = torch::empty_like(samples);
  for (std::int64_t s = 0; s < scenes; ++s) {
    const SceneBatch& scene = input.scenes[static_cast<std::size_t>(s)];
    const torch::Tensor own = samples[s].detach().requires_grad_(true);
    const avatar::GaussianAttributes attributes = avatar::attributes_from_samples(own);
    const torch::Tensor skin = attributes.rgb.detach().index_select(0, scaffold.face_points).mean(0);
    torch::Tensor offsets = offset_regulariser(attributes.offset, scaffold.offset_masks) *
                            (stage.weights.offset / static_cast<double>(scenes));
    offset_term += offsets.item<double>();
    if (stage.weights.order > 0) {
      const torch::Tensor order = scaffold.layer_order->loss(attributes.offset, attributes.opacity) *
                                  (stage.weights.order / static_cast<double>(scenes));
      order_term += order.item<double>();
      offsets = offsets + order;
    }
    const splat::Gaussians posed = scaffold.deformer->pose(attributes, scaffold.deformer->prepare(scene.params));
    const splat::Gaussians leaves{leaf_of(posed.means), leaf_of(posed.covariances), leaf_of(posed.colours),
                                  leaf_of(posed.opacities), posed.components};
    watch.lap(times.deform);
    double squared = 0;
    for (const int view : views) {
      const auto at = static_cast<std::size_t>(view);
      const splat::RenderOutputs rendered = splat::render(leaves, scene.cameras.at(at));
      watch.lap(times.splat);
      const ImageLoss loss = image_loss(rendered, scene.images[view], scene.labels[view], skin, scales);
      for (std::size_t k = 0; k + 1 < terms.size(); ++k) terms[k] += loss.terms[k];
      squared += loss.terms[kImageTerms - 1];
      watch.lap(times.losses);
      loss.value.backward();
      watch.lap(times.splat);
    }
    psnr += 10 * std::log10(1 / (squared / static_cast<double>(3 * pixels * static_cast<std::int64_t>(views.size())) + 1e-6));
    torch::autograd::backward({posed.means, posed.covariances, posed.colours, posed.opacities, offsets},
                              {gradient_or_zero(leaves.means), gradient_or_zero(leaves.covariances),
                               gradient_or_zero(leaves.colours), gradient_or_zero(leaves.opacities),
                               torch::ones_like(offsets)});
    sample_gradients[s].copy_(own.grad());
    watch.lap(times.deform);
  }
  torch::autograd::backward({samples, tv}, {sample_gradients, torch::ones_like(tv)});
  watch.lap(times.decode);

  Evaluation out;
  for (const torch::Tensor& code : codes) out.code_gradients.push_back(code.grad());
  const double tv_term = tv.item<double>();
  out.terms = {{"pixel_loss", terms[0]}, {"seg_loss", terms[1]},    {"seg_inner_loss", terms[2]},
               {"reg_rgb", terms[3]},    {"reg_opacity", terms[4]}, {"reg_offset", offset_term},
               {"reg_loss", tv_term}};
  if (stage.weights.order > 0) out.terms["reg_order"] = order_term;
  double total = 0;
  for (const auto& [name, value] : out.terms) total += value;
  out.terms["loss_decoder"] = total;
  out.psnr = psnr / static_cast<double>(scenes);
  out.code_rms = std::sqrt(planes.detach().square().mean().item<double>());
  return out;
}

}  // namespace

StepTimes& StepTimes::operator+=(const StepTimes& o) {
  load += o.load, decode += o.decode, deform += o.deform, splat += o.splat, losses += o.losses, unet += o.unet,
      optimiser += o.optimiser;
  return *this;
}

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
  }
  std::vector<torch::Tensor> prior;
  if (stage.diffusion) {
    for (const torch::Tensor& code : input.more_codes) all.push_back(code);
    learned.unet_adam->zero_grad();
    const torch::Tensor x0 = learned.activation.forward(torch::stack(all));
    const diffusion::TrainingLoss loss =
        diffusion::training_loss(*learned.unet, scaffold.schedule, x0, input.timesteps, input.noise, 20.0,
                                 config.unet_flat_weights ? diffusion::Weighting::kFlat : diffusion::Weighting::kSnr);
    loss.value.backward();
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

  // (3) code steps with the decoder frozen, (4) the joint step.
  const std::int64_t pixels = input.scenes[0].labels.numel();
  // Without a coefficient of its own, the loss weighs as at the release's 1024 pixels whatever the image size.
  const std::int64_t image = input.scenes[0].labels[0].numel();
  const double coefficient = config.loss_coef > 0 ? config.loss_coef : 0.1 / static_cast<double>(image);
  const double kappa_value = kappa(coefficient, pixels);
  const auto views = static_cast<int>(input.scenes[0].cameras.size());
  const int stride = views / 2;
  learned.decoder->train(stage.batch_norm);
  set_trainable(*learned.decoder, false);
  for (int step = 0; step <= stage.extra_scene_step; ++step) {
    const bool joint = step == stage.extra_scene_step;
    if (joint) {
      set_trainable(*learned.decoder, true);
      learned.decoder_adam->zero_grad();
    }
    const int first = joint ? stride - 1 : step % stride;
    Evaluation result = evaluate(scaffold, learned, input, stage, kappa_value, {first, first + stride}, times);
    if (!std::isfinite(result.terms["loss_decoder"]))
      for (const auto& [name, value] : result.terms)
        if (name != "loss_decoder" && !std::isfinite(value))
          throw Error(ErrorKind::kDiverged, name + " at iteration " + std::to_string(iteration) + " is not finite");
    watch.restart();  // evaluate counts its own time
    for (std::size_t s = 0; s < scenes; ++s) {
      const torch::Tensor gradient = result.code_gradients[s] + prior[s];
      require_finite(gradient, "gradient of the code of scene " + std::to_string(s), iteration);
      if (code_gradients != nullptr) code_gradients->push_back(gradient);
      adam_step(*input.codes[s], gradient, stage.code_lr);
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
