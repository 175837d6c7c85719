// Settings of a training run: one list of fields for config files, flags and the run's record. No LibTorch.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "layeravatar/train/loss_weights.h"

namespace layeravatar::train {

/// What changes during training (spec/model.md section 1.4). A stage holds from `from` until the next one begins. In files, a
/// stage takes from the one before what it does not name, but for refit-steps and fit-prior, which are done once.
struct Stage {
  std::int64_t from = 0;
  int extra_scene_step = 1;     // inner code steps before the joint step
  double code_lr = 0.04;
  int image_size = 0;           // pixels; 0: the data's own
  bool diffusion = true;        // false: reconstruction alone
  int refit_steps = 0;          // fit every code anew when the stage begins, networks frozen (fit_code); 0: do not
  bool fit_prior = false;       // fit the U-Net's prior anew when the stage begins
  bool restart_unet = false;   // with it: the last convolution of the U-Net is zero again and its optimiser new, so that the network is the new prior's denoiser
  bool batch_norm = true;       // normalise by the batch (the release); false: by the running statistics, as in use
  LossWeights weights;

  template <class Self, class Visitor>
  static void visit(Self& s, Visitor&& field) {
    field("from", s.from, "first iteration of the stage");
    field("extra-scene-step", s.extra_scene_step, "inner code steps before each joint step");
    field("code-lr", s.code_lr, "Adam step size of the codes");
    field("image-size", s.image_size, "pixels of the training images, 0 for the data's own size");
    field("diffusion", s.diffusion, "train the diffusion model and use its prior");
    field("refit-steps", s.refit_steps, "steps in which every code is fitted anew when the stage begins, 0 for not");
    field("fit-prior", s.fit_prior, "fit the prior of the U-Net anew to the planes when the stage begins");
    field("restart-unet", s.restart_unet, "begin with the prior's denoiser when the stage begins: the U-Net's last convolution zero, its optimiser new");
    field("batch-norm", s.batch_norm, "normalise by each batch's own statistics; false: by the running ones, as avatars are decoded");
    field("pixel", s.weights.pixel, "weight of the colour loss");
    field("seg", s.weights.seg, "weight of the segmentation loss");
    field("inner", s.weights.inner, "weight that keeps the body inside the silhouette");
    field("skin", s.weights.skin, "weight of the hidden skin's colour");
    field("opacity", s.weights.opacity, "weight of the body's opacity entropy");
    field("offset", s.weights.offset, "weight of the squared offsets");
    field("tv", s.weights.tv, "weight of the total variation of the attribute maps");
    field("order", s.weights.order, "weight that keeps the outer layers in front of the skin (not in the release)");
    field("perceptual", s.weights.perceptual, "weight of the perceptual loss");
  }
};

struct TrainConfig {
  std::string profile = "default";
  std::string dataset;
  std::int64_t iterations = 20000;
  std::uint64_t seed = 2021;
  int planes_height = 64;
  int scenes_per_step = 1;
  int views_per_scene = 8;
  double loss_coef = 0;
  std::vector<std::string> held_out;
  int unet_base_channels = 64;
  std::vector<double> unet_channel_factors{0.5, 1, 2, 2};
  std::vector<int> unet_attention{16, 8};
  int unet_prior_rank = 0;               // of the U-Net's mixture prior, fitted to the planes when the diffusion model joins
  bool unet_prior_attributes = false;    // the prior knows what the dataset says of people and what colours its pictures show
  double unet_open = 0.2;                // share of codes that the U-Net sees without what is known of them
  int unet_scenes = 1;                   // codes in each U-Net step; those beyond the step's own scenes come from the cache
  bool unet_mix_parts = false;           // the further codes take each component from a person of its own
  std::string perceptual_network;        // TorchScript of the perceptual loss
  std::string unet_precision = "fp32";   // fp32, bf16, or auto: whichever this processor is fastest at
  bool unet_flat_weights = false;        // every diffusion step weighs the same (diffusion::Weighting)
  double unet_timestep_power = 1;        // diffusion steps are drawn with density t^(power - 1): 1 is uniform
  double unet_lr = 1e-4;
  double decoder_lr = 1e-3;
  std::int64_t warmup = 500;
  std::int64_t halve_lr_at = 100000;
  std::int64_t log_every = 50;
  std::int64_t preview_every = 500;
  std::int64_t checkpoint_every = 500;
  int keep_checkpoints = 2;
  double codes_in_memory = 8;            // GiB of codes up to which they are held in memory; more lie on the run folder's disk
  bool sync_batchnorm = false;           // several processes normalise by the batch of all of them; the release: each by its own
  bool reference = false;                // the release's frozen views and weights
  std::vector<Stage> stages{Stage{}};

  template <class Self, class Visitor>
  static void visit(Self& c, Visitor&& field) {
    field("profile", c.profile, "default or official");
    field("dataset", c.dataset, "folder of the training scenes");
    field("iterations", c.iterations, "iterations of the whole run");
    field("seed", c.seed, "seed of everything random");
    field("planes-height", c.planes_height, "rows of the latent planes; they are three times as wide");
    field("scenes-per-step", c.scenes_per_step, "scenes in each iteration");
    field("views-per-scene", c.views_per_scene, "views loaded of each scene");
    field("loss-coef", c.loss_coef, "coefficient of kappa per pixel of the loaded views; 0: 0.1 over the image's pixels");
    field("held-out", c.held_out, "names of the views that training never sees");
    field("unet-base-channels", c.unet_base_channels, "base channels of the U-Net");
    field("unet-channel-factors", c.unet_channel_factors, "channels of each level over the base");
    field("unet-attention", c.unet_attention, "attention resolutions, as divisors of the smaller side");
    field("unet-prior-rank", c.unet_prior_rank, "principal components of each part in the U-Net's mixture prior; 0 for none, as in the release");
    field("unet-prior-attributes", c.unet_prior_attributes, "the prior learns how planes go with the dataset's attributes.json and with the colours of its pictures, for `generate --like`");
    field("unet-open", c.unet_open, "share of codes that the U-Net sees without what is known of them, for guidance without a classifier");
    field("unet-scenes", c.unet_scenes, "codes in each step of the U-Net");
    field("unet-mix-parts", c.unet_mix_parts, "further codes in the U-Net's steps take each component from a random person");
    field("perceptual-network", c.perceptual_network, "TorchScript feature network of the perceptual loss, StyleGAN's vgg16.pt; without one that loss is left out");
    field("unet-precision", c.unet_precision, "fp32, bf16 or auto: arithmetic between the U-Net's layers");
    field("unet-flat-weights", c.unet_flat_weights, "every diffusion step weighs the same; the release ignores the noisiest");
    field("unet-timestep-power", c.unet_timestep_power, "diffusion steps are drawn with density t^(power - 1): above 1 the noisy ones come more often");
    field("unet-lr", c.unet_lr, "Adam step size of the U-Net");
    field("decoder-lr", c.decoder_lr, "Adam step size of the decoder");
    field("warmup", c.warmup, "iterations of linear warm-up");
    field("halve-lr-at", c.halve_lr_at, "iteration from which both step sizes are halved");
    field("log-every", c.log_every, "iterations between log lines");
    field("preview-every", c.preview_every, "iterations between preview pictures, 0 for none");
    field("checkpoint-every", c.checkpoint_every, "iterations between checkpoints");
    field("keep-checkpoints", c.keep_checkpoints, "newest checkpoints that are kept");
    field("codes-in-memory", c.codes_in_memory, "GiB up to which codes are held in memory; more lie on the disk of the run folder");
    field("sync-batchnorm", c.sync_batchnorm, "several processes normalise by the statistics of all their scenes, as one process with all of them would");
    field("reference", c.reference, "the release's frozen training views");
    field("stage", c.stages, "what changes during training");
  }

  /// Throws Error(kConfig) naming field, value and range.
  void check() const;
  /// The stage in force at `iteration`.
  [[nodiscard]] const Stage& stage_at(std::int64_t iteration) const;
  /// Step sizes' common factor: linear warm-up from 0.001, then 1, halved at the end (spec/model.md section 1.6).
  [[nodiscard]] double lr_factor(std::int64_t iteration) const;
};

/// Overwrites fields of `config` from a JSON object. Throws Error(kConfig): unknown key, wrong type.
void apply_json(TrainConfig& config, const std::string& json_text, const std::string& file);
/// The same from TOML; [[stage]] tables are the list "stage". A syntax error is "<file>:<line>: not valid TOML: <why>".
void apply_toml(TrainConfig& config, const std::string& toml_text, const std::string& file);
/// By the file's extension, .json or .toml.
void apply_settings(TrainConfig& config, const std::string& text, const std::string& file);
/// "key=value" as a line of TOML; a value that is no TOML is a text. Throws Error(kConfig) as the others.
void apply_setting(TrainConfig& config, const std::string& setting);
/// Every field, in order.
std::string to_json(const TrainConfig& config);

}  // namespace layeravatar::train
