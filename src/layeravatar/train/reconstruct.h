// Planes drawn in the views of their scenes, and the loss backwards (spec/model.md sections 7 and 8).
#pragma once
#include <torch/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "layeravatar/avatar/decoder.h"
#include "layeravatar/avatar/layer_order.h"
#include "layeravatar/avatar/plane_activation.h"
#include "layeravatar/deform/deformer.h"
#include "layeravatar/diffusion/schedule.h"
#include "layeravatar/geometry/camera.h"
#include "layeravatar/train/code_cache.h"
#include "layeravatar/train/perceptual_loss.h"
#include "layeravatar/train/ranks.h"
#include "layeravatar/train/reconstruction_loss.h"
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
  std::shared_ptr<PerceptualLoss> perceptual;                    // null: that term is left out
  std::shared_ptr<Ranks> ranks = std::make_shared<Ranks>();
};
Scaffold make_scaffold(const body::BodyModel& body, const templates::LayeredTemplate& layers);
/// Around a deformer that is there.
Scaffold make_scaffold(std::shared_ptr<const deform::Deformer> deformer);

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

/// The loss of some of each scene's views at planes [S, 12, h, 3h], backwards to them, and to the decoder where its parameters want it:
/// code_gradients are those of the planes. Runs back stage by stage, so that only one view's images are alive at a time.
/// The perceptual term looks at `crop` of the first view.
Reconstruction reconstruct_planes(const Scaffold& scaffold, avatar::Decoder& decoder, const torch::Tensor& planes, const std::vector<SceneBatch>& scenes,
                                  const Stage& stage, double kappa, const std::vector<int>& views, StepTimes& times, const Crop& crop = {});

/// The same at codes before the activation, backwards to those.
Reconstruction reconstruct(const Scaffold& scaffold, avatar::Decoder& decoder, const avatar::PlaneActivation& activation,
                           const std::vector<SceneBatch>& scenes, const std::vector<CodeState*>& codes, const Stage& stage,
                           double kappa, const std::vector<int>& views, StepTimes& times, const Crop& crop = {});

/// The loss's factor kappa for images [I, H, W] of a scene. Without a coefficient of its own (0), the loss weighs as at the
/// release's 1024 pixels whatever the image size.
double kappa_of(double loss_coef, const torch::Tensor& labels);

}  // namespace layeravatar::train
