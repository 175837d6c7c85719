// Planes drawn in the views of their scenes, and the loss backwards (spec/model.md sections 7 and 8).
#pragma once
#include <torch/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "layeravatar/avatar/decoder.h"
#include "layeravatar/avatar/layer_order.h"
#include "layeravatar/avatar/plane_activation.h"
#include "layeravatar/deform/deformer.h"
#include "layeravatar/diffusion/gaussian_prior.h"
#include "layeravatar/diffusion/schedule.h"
#include "layeravatar/geometry/camera.h"
#include "layeravatar/train/code_cache.h"
#include "layeravatar/train/step_times.h"
#include "layeravatar/train/train_config.h"

namespace layeravatar::train {

/// What is constant during a run.
struct Scaffold {
  std::shared_ptr<const deform::Deformer> deformer;
  std::shared_ptr<const avatar::MapSampler> sampler;
  OffsetMasks offset_masks;
  std::shared_ptr<const avatar::LayerOrder> layer_order;  // needed where a stage gives it weight
  torch::Tensor face_points;  // [F] int64: body points whose mean colour is the skin colour
  diffusion::Schedule schedule;
};
Scaffold make_scaffold(const body::BodyModel& body, const templates::LayeredTemplate& layers);

/// The views of one scene, in the order in which they were drawn.
struct SceneBatch {
  torch::Tensor images;  // [I, 3, H, W] float in [0, 1] on white
  torch::Tensor labels;  // [I, H, W] uint8
  std::vector<geometry::Camera> cameras;
  body::PoseParams params;
};

struct Reconstruction {
  std::vector<torch::Tensor> code_gradients;  // one per scene
  std::map<std::string, double> terms;        // by the names of section 8.2, their sum as "loss_decoder"
  double psnr = 0;
  double code_rms = 0;                        // of the planes
};

/// The loss of some of each scene's views, backwards to the codes, and to the decoder where its parameters want it. Runs
/// back stage by stage, so that only one view's images are alive at a time.
Reconstruction reconstruct(const Scaffold& scaffold, avatar::Decoder& decoder, const avatar::PlaneActivation& activation,
                           const std::vector<SceneBatch>& scenes, const std::vector<CodeState*>& codes, const Stage& stage,
                           double kappa, const std::vector<int>& views, StepTimes& times);

/// The loss's factor kappa for images [I, H, W] of a scene. Without a coefficient of its own (0), the loss weighs as at the
/// release's 1024 pixels whatever the image size.
double kappa_of(double loss_coef, const torch::Tensor& labels);

/// What is known of a code before a picture is seen: in frequencies of block_cosine, N(mean, deviation^2), all independent.
struct CodePrior {
  torch::Tensor mean;       // [12, h, 3h]
  torch::Tensor deviation;  // [12, 8, 8] of each channel and frequency
};
/// Of codes that are known: their mean and their spread around it.
CodePrior code_prior(const std::vector<torch::Tensor>& codes);
/// Of a pack: its Gaussian prior of planes as one of codes; a broad one around zero where the pack has none (`prior` null).
CodePrior code_prior(const diffusion::GaussianPrior* prior, const avatar::PlaneActivation& activation, std::int64_t planes_height);

struct FitOptions {
  int steps = 300;
  double step_size = 0.3;      // Adam on frequencies in units of their deviation; falls to a thirtieth
  double prior_weight = 4e-8;  // the loss grows by half of this times the squared distance to the mean in such units
  Stage stage;                 // weights of the losses
};

/// The code [12, h, 3h] of one person from pictures, all networks frozen, two views a step. What no picture shows stays at the
/// prior's mean, and equal looks get equal codes, where Adam on each texel alone leaves differences that no diffusion model can
/// learn. `views(k)` gives the k-th batch of at least two views; every view of a batch is used once before the next
/// is asked for. Throws Error(kDiverged) at the first non-finite gradient.
torch::Tensor fit_code(const Scaffold& scaffold, avatar::Decoder& decoder, const avatar::PlaneActivation& activation,
                       const CodePrior& prior, const std::function<SceneBatch(int)>& views, const FitOptions& options);

}  // namespace layeravatar::train
