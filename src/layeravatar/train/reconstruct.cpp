#include "layeravatar/train/reconstruct.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/avatar/tv_loss.h"

namespace layeravatar::train {
namespace {

torch::Tensor mask_tensor(const std::vector<std::uint8_t>& mask) {
  torch::Tensor out = torch::empty({static_cast<std::int64_t>(mask.size())});
  std::copy(mask.begin(), mask.end(), out.data_ptr<float>());
  return out;
}

torch::Tensor leaf_of(const torch::Tensor& tensor) { return tensor.detach().requires_grad_(tensor.requires_grad()); }

torch::Tensor gradient_or_zero(const torch::Tensor& leaf) {
  return leaf.grad().defined() ? leaf.grad() : torch::zeros_like(leaf);
}

}  // namespace

Scaffold make_scaffold(const body::BodyModel& body, const templates::LayeredTemplate& layers) {
  return make_scaffold(std::make_shared<deform::Deformer>(body, layers));
}

Scaffold make_scaffold(std::shared_ptr<const deform::Deformer> deformer) {
  const templates::LayeredTemplate& layers = deformer->layers();
  Scaffold out;
  out.deformer = deformer;
  out.sampler = std::make_shared<avatar::MapSampler>(layers.uvs);
  torch::Tensor is_body = torch::empty({layers.count()});
  for (std::int64_t i = 0; i < layers.count(); ++i)
    is_body.data_ptr<float>()[i] = layers.labels[static_cast<std::size_t>(i)] == 1 ? 1.0F : 0.0F;
  out.offset_masks = {is_body, mask_tensor(layers.hands_mask), mask_tensor(layers.offset_mask())};
  out.layer_order = std::make_shared<avatar::LayerOrder>(layers);
  out.face_points = mask_tensor(layers.face_mask).nonzero().squeeze(1);
  return out;
}

Reconstruction reconstruct_planes(const Scaffold& scaffold, avatar::Decoder& decoder, const torch::Tensor& start, const std::vector<SceneBatch>& scenes,
                                  const Stage& stage, double kappa, const std::vector<int>& views, StepTimes& times, const Crop& crop) {
  const auto count = static_cast<std::int64_t>(scenes.size());
  Stopwatch watch;
  const torch::Tensor planes = start.detach().clone().requires_grad_(true);
  const torch::Tensor map = decoder.attribute_map(planes);
  const torch::Tensor samples = scaffold.sampler->sample(map);
  watch.lap(times.decode);
  const torch::Tensor tv = avatar::tv_loss(map) * stage.weights.tv;
  watch.lap(times.losses);

  const std::int64_t pixels = scenes[0].labels.size(1) * scenes[0].labels.size(2);
  const auto images = count * static_cast<std::int64_t>(views.size());
  const ImageTermScales scales = image_term_scales(stage.weights, kappa, images, pixels);
  std::array<double, kImageTerms> terms{};
  double offset_term = 0, order_term = 0, perceptual_term = 0, psnr = 0;
  const bool perceptual = scaffold.perceptual && stage.weights.perceptual > 0 && crop.side > 0;
  torch::Tensor sample_gradients = torch::empty_like(samples);
  for (std::int64_t s = 0; s < count; ++s) {
    const SceneBatch& scene = scenes[static_cast<std::size_t>(s)];
    const torch::Tensor own = samples[s].detach().requires_grad_(true);
    const avatar::GaussianAttributes attributes = avatar::attributes_from_samples(own);
    const torch::Tensor skin = attributes.rgb.detach().index_select(0, scaffold.face_points).mean(0);
    torch::Tensor offsets = offset_regulariser(attributes.offset, scaffold.offset_masks) *
                            (stage.weights.offset / static_cast<double>(count));
    offset_term += offsets.item<double>();
    if (stage.weights.order > 0) {
      const torch::Tensor order = scaffold.layer_order->loss(attributes.offset, attributes.opacity) *
                                  (stage.weights.order / static_cast<double>(count));
      order_term += order.item<double>();
      offsets = offsets + order;
    }
    const splat::Gaussians posed = scaffold.deformer->pose(attributes, scaffold.deformer->prepare(scene.params));
    const splat::Gaussians own_leaves{leaf_of(posed.means), leaf_of(posed.covariances), leaf_of(posed.colours),
                                  leaf_of(posed.opacities), posed.components};
    watch.lap(times.deform);
    double squared = 0;
    for (const int view : views) {
      const auto at = static_cast<std::size_t>(view);
      const splat::RenderOutputs rendered = splat::render(own_leaves, scene.cameras.at(at));
      watch.lap(times.splat);
      ImageLoss loss = image_loss(rendered, scene.images[view], scene.labels[view], skin, scales);
      for (std::size_t k = 0; k + 1 < terms.size(); ++k) terms[k] += loss.terms[k];
      squared += loss.terms[kImageTerms - 1];
      if (perceptual && view == views.front()) {
        const torch::Tensor term = scaffold.perceptual->distance(rendered.full, scene.images[view], crop) * stage.weights.perceptual;
        perceptual_term += term.item<double>();
        loss.value = loss.value + term;
      }
      watch.lap(times.losses);
      loss.value.backward();
      watch.lap(times.splat);
    }
    psnr += 10 * std::log10(1 / (squared / static_cast<double>(3 * pixels * static_cast<std::int64_t>(views.size())) + 1e-6));
    torch::autograd::backward({posed.means, posed.covariances, posed.colours, posed.opacities, offsets},
                              {gradient_or_zero(own_leaves.means), gradient_or_zero(own_leaves.covariances),
                               gradient_or_zero(own_leaves.colours), gradient_or_zero(own_leaves.opacities),
                               torch::ones_like(offsets)});
    sample_gradients[s].copy_(own.grad());
    watch.lap(times.deform);
  }
  torch::autograd::backward({samples, tv}, {sample_gradients, torch::ones_like(tv)});
  watch.lap(times.decode);

  Reconstruction out;
  for (std::int64_t s = 0; s < count; ++s) out.code_gradients.push_back(planes.grad()[s]);
  const double tv_term = tv.item<double>();
  out.terms = {{"pixel_loss", terms[0]}, {"seg_loss", terms[1]},    {"seg_inner_loss", terms[2]},
               {"reg_rgb", terms[3]},    {"reg_opacity", terms[4]}, {"reg_offset", offset_term},
               {"reg_loss", tv_term}};
  if (stage.weights.order > 0) out.terms["reg_order"] = order_term;
  if (perceptual) out.terms["per_loss"] = perceptual_term;
  double total = 0;
  for (const auto& [name, value] : out.terms) total += value;
  out.terms["loss_decoder"] = total;
  out.psnr = psnr / static_cast<double>(count);
  out.code_rms = std::sqrt(planes.detach().square().mean().item<double>());
  return out;
}

Reconstruction reconstruct(const Scaffold& scaffold, avatar::Decoder& decoder, const avatar::PlaneActivation& activation,
                           const std::vector<SceneBatch>& scenes, const std::vector<CodeState*>& codes, const Stage& stage,
                           double kappa, const std::vector<int>& views, StepTimes& times, const Crop& crop) {
  std::vector<torch::Tensor> leaves;
  for (const CodeState* state : codes) leaves.push_back(state->code.detach().clone().requires_grad_(true));
  const torch::Tensor planes = activation.forward(torch::stack(leaves));
  Reconstruction out = reconstruct_planes(scaffold, decoder, planes, scenes, stage, kappa, views, times, crop);
  planes.backward(torch::stack(out.code_gradients));
  for (std::size_t s = 0; s < leaves.size(); ++s) out.code_gradients[s] = leaves[s].grad();
  return out;
}

double kappa_of(double loss_coef, const torch::Tensor& labels) {
  const double coefficient = loss_coef > 0 ? loss_coef : 0.1 / static_cast<double>(labels[0].numel());
  return kappa(coefficient, labels.numel());
}

}  // namespace layeravatar::train
