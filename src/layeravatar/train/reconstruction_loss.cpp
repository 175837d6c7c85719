#include "layeravatar/train/reconstruction_loss.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "layeravatar/core/error.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// The gradient costs nothing extra, so forward computes it and backward only scales it.
struct ImageLossFunction : torch::autograd::Function<ImageLossFunction> {
  static Variable forward(AutogradContext* context, const Variable& full, const Variable& components,
                          const Variable& component_alphas, const Variable& inner_alpha, const Variable& target,
                          const Variable& labels, const Variable& skin, const ImageTermScales& scales, double* terms) {
    torch::Tensor grads[4] = {torch::empty_like(full), torch::empty_like(components),
                              torch::empty_like(component_alphas), torch::empty_like(inner_alpha)};
    reconstruction_loss_cpu({.full = tensor::floats(full, "full image"),
                             .components = tensor::floats(components, "component images"),
                             .component_alphas = tensor::floats(component_alphas, "component alphas"),
                             .inner_alpha = tensor::floats(inner_alpha, "inner alpha"),
                             .target = tensor::floats(target, "target"),
                             .labels = labels.data_ptr<std::uint8_t>(),
                             .skin = tensor::floats(skin, "skin colour"),
                             .pixels = inner_alpha.numel(),
                             .scales = scales,
                             .grad_full = tensor::mutable_floats(grads[0], "gradient"),
                             .grad_components = tensor::mutable_floats(grads[1], "gradient"),
                             .grad_component_alphas = tensor::mutable_floats(grads[2], "gradient"),
                             .grad_inner_alpha = tensor::mutable_floats(grads[3], "gradient"),
                             .terms = terms});
    context->save_for_backward({grads[0], grads[1], grads[2], grads[3]});
    double sum = 0;
    for (int k = 0; k + 1 < kImageTerms; ++k) sum += terms[k];
    return torch::full({}, sum, full.options());
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad) {
    variable_list out = context->get_saved_variables();
    const float scale = grad[0].item<float>();
    if (scale != 1.0F)
      for (Variable& g : out) g = g * scale;
    out.resize(9);
    return out;
  }
};

}  // namespace

double kappa(double loss_coef, std::int64_t pixels) { return -std::expm1(-loss_coef * static_cast<double>(pixels)); }

ImageTermScales image_term_scales(const LossWeights& w, double kappa, std::int64_t images, std::int64_t pixels) {
  const double n = static_cast<double>(images) * static_cast<double>(pixels);
  return {.full = static_cast<float>(w.pixel * 3 * kappa * 0.5 / (3 * n)),
          .part = static_cast<float>(w.parts * w.pixel * 3 * kappa * 0.5 / (15 * n)),
          .part_alpha = static_cast<float>(w.seg * kappa * 0.4 / (4 * n)),
          .body_alpha = static_cast<float>(w.seg * kappa * 0.05 / n),
          .body_silhouette = static_cast<float>(w.seg * kappa * 0.05 / n),
          .inner = static_cast<float>(w.inner / n),
          .skin = static_cast<float>(w.skin / (3 * n)),
          .entropy = static_cast<float>(w.opacity / n)};
}

ImageLoss image_loss(const splat::RenderOutputs& images, const torch::Tensor& target, const torch::Tensor& labels,
                     const torch::Tensor& skin, const ImageTermScales& scales) {
  tensor::expect_shape(images.full, {3, -1, -1}, "full image");
  const std::int64_t height = images.full.size(1), width = images.full.size(2);
  tensor::expect_shape(images.components, {5, 3, height, width}, "component images");
  tensor::expect_shape(images.component_alphas, {5, height, width}, "component alphas");
  tensor::expect_shape(images.inner_alpha, {height, width}, "inner alpha");
  tensor::expect_shape(target, {3, height, width}, "target");
  tensor::expect_shape(labels, {height, width}, "labels");
  tensor::expect_shape(skin, {3}, "skin colour");
  LAV_CHECK(labels.scalar_type() == torch::kUInt8 && labels.is_contiguous(), "labels: expected contiguous uint8");
  ImageLoss out;
  out.value = ImageLossFunction::apply(images.full.contiguous(), images.components.contiguous(),
                                       images.component_alphas.contiguous(), images.inner_alpha.contiguous(), target,
                                       labels, skin.detach().contiguous(), scales, out.terms.data());
  return out;
}

torch::Tensor offset_regulariser(const torch::Tensor& offset, const OffsetMasks& masks) {
  const torch::Tensor squared = offset.square().sum(1);
  const std::int64_t body_count = masks.hands.size(0);
  const auto mean = [&](const torch::Tensor& values, const torch::Tensor& mask) {
    return (values * mask).sum() / mask.sum().clamp_min(1.0);
  };
  const torch::Tensor on_body = squared.slice(0, 0, body_count);
  return mean(squared, masks.body) + 0.1 * mean(squared, 1.0 - masks.body) + mean(on_body, masks.hands) +
         mean(on_body, masks.outer);
}

}  // namespace layeravatar::train
