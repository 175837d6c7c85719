#include "layeravatar/splat/render.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/torch.h>

#include <string>
#include <utility>

#include "layeravatar/core/error.h"
#include "layeravatar/splat/kernels/splat_kernel.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/tensor/pooled.h"

namespace layeravatar::splat {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

SplatInput input_of(const Variable& means, const Variable& covariances, const Variable& colours,
                    const Variable& opacities, const Variable& components, const geometry::Camera& camera,
                    const RenderOptions& options) {
  SplatInput in{};
  in.means = tensor::floats(means, "means");
  in.covariances = tensor::floats(covariances, "covariances");
  in.colours = tensor::floats(colours, "colours");
  in.opacities = tensor::floats(opacities, "opacities");
  in.components = components.data_ptr<std::uint8_t>();
  in.count = means.size(0);
  for (std::size_t k = 0; k < 12; ++k) in.view.camera_from_world[k] = static_cast<float>(camera.camera_from_world[k]);
  in.view.focal = static_cast<float>(camera.focal);
  in.view.width = camera.width;
  in.view.height = camera.height;
  in.background = options.background;
  in.min_opacity = options.min_opacity;
  in.with_components = options.components;
  in.empty_is_black = options.reference_empty;
  return in;
}

float* data_or_null(const torch::Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; }

// What backward needs beside tensors.
struct Saved : torch::CustomClassHolder {
  geometry::Camera camera;
  RenderOptions options;
  SplatScratch scratch;
};

enum Output { kFullImage, kAlpha, kDepth, kParts, kPartAlphas, kInnerAlpha, kWeights, kOutputCount };

SplatImages images_of(const variable_list& t) {
  return {data_or_null(t[kFullImage]),  data_or_null(t[kAlpha]),      data_or_null(t[kDepth]),  data_or_null(t[kParts]),
          data_or_null(t[kPartAlphas]), data_or_null(t[kInnerAlpha]), data_or_null(t[kWeights])};
}

struct RenderFunction : torch::autograd::Function<RenderFunction> {
  static variable_list forward(AutogradContext* context, const Variable& means, const Variable& covariances,
                               const Variable& colours, const Variable& opacities, const Variable& components,
                               const geometry::Camera& camera, const RenderOptions& options) {
    auto saved = c10::make_intrusive<Saved>();
    saved->camera = camera;
    saved->options = options;
    const std::int64_t h = camera.height, w = camera.width;
    variable_list out(options.components ? kOutputCount : kParts);
    out[kFullImage] = tensor::pooled_empty({3, h, w});
    out[kAlpha] = tensor::pooled_empty({h, w});
    out[kDepth] = tensor::pooled_empty({h, w});
    if (options.components) {
      out[kParts] = tensor::pooled_empty({5, 3, h, w});
      out[kPartAlphas] = tensor::pooled_empty({5, h, w});
      out[kInnerAlpha] = tensor::pooled_empty({h, w});
      out[kWeights] = tensor::pooled_empty({5, h, w});
    }
    variable_list padded = out;
    padded.resize(kOutputCount);
    splat_forward_cpu(input_of(means, covariances, colours, opacities, components, camera, options), images_of(padded),
                      saved->scratch);
    if (options.components) context->mark_non_differentiable({out[kWeights]});
    variable_list keep = {means, covariances, colours, opacities, components};
    keep.insert(keep.end(), out.begin(), out.end());
    context->save_for_backward(keep);
    context->saved_data["saved"] = c10::IValue::make_capsule(saved);
    context->set_materialize_grads(false);
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list kept = context->get_saved_variables();
    const auto saved = context->saved_data["saved"].toCapsule();
    const auto& state = static_cast<const Saved&>(*saved);
    variable_list images(kept.begin() + 5, kept.end());
    images.resize(kOutputCount);
    variable_list g(kOutputCount);
    for (std::size_t k = 0; k < grads.size() && k < kOutputCount; ++k)
      if (grads[k].defined()) g[k] = grads[k].contiguous();
    variable_list out = {tensor::pooled_empty(kept[0].sizes()), tensor::pooled_empty(kept[1].sizes()),
                         tensor::pooled_empty(kept[2].sizes()), tensor::pooled_empty(kept[3].sizes())};
    splat_backward_cpu(input_of(kept[0], kept[1], kept[2], kept[3], kept[4], state.camera, state.options),
                       images_of(images), state.scratch,
                       {data_or_null(g[kFullImage]), data_or_null(g[kAlpha]), data_or_null(g[kDepth]),
                        data_or_null(g[kParts]), data_or_null(g[kPartAlphas]), data_or_null(g[kInnerAlpha])},
                       {data_or_null(out[0]), data_or_null(out[1]), data_or_null(out[2]), data_or_null(out[3])});
    out.resize(7);
    return out;
  }
};

}  // namespace

void check_finite(const Gaussians& g) {
  const std::pair<const char*, torch::Tensor> parts[] = {{"mean", g.means}, {"covariance", g.covariances}, {"colour", g.colours}, {"opacity", g.opacities}};
  for (const auto& [name, values] : parts) {
    const torch::Tensor bad = torch::isfinite(values.detach()).logical_not().nonzero();
    if (bad.size(0) > 0) throw Error(ErrorKind::kInternal, std::string(name) + " of Gaussian " + std::to_string(bad[0][0].item<std::int64_t>()) + " is not finite");
  }
}

RenderOutputs render(const Gaussians& g, const geometry::Camera& camera, const RenderOptions& options) {
  tensor::expect_shape(g.means, {-1, 3}, "means");
  const std::int64_t n = g.means.size(0);
  tensor::expect_shape(g.covariances, {n, 6}, "covariances");
  tensor::expect_shape(g.colours, {n, 3}, "colours");
  tensor::expect_shape(g.opacities, {n}, "opacities");
  tensor::expect_shape(g.components, {n}, "components");
#ifndef NDEBUG
  check_finite(g);
#endif
  LAV_CHECK(g.components.scalar_type() == torch::kUInt8, "components: expected uint8");
  LAV_CHECK(
      camera.width > 0 && camera.height > 0 && camera.width <= 16384 && camera.height <= 16384 && camera.focal > 0,
      "camera: sizes in 1..16384 and a positive focal length");
  const variable_list out =
      RenderFunction::apply(g.means.contiguous(), g.covariances.contiguous(), g.colours.contiguous(),
                            g.opacities.contiguous(), g.components.contiguous(), camera, options);
  RenderOutputs result;
  result.full = out[kFullImage];
  result.alpha = out[kAlpha];
  result.depth = out[kDepth];
  if (options.components) {
    result.components = out[kParts];
    result.component_alphas = out[kPartAlphas];
    result.inner_alpha = out[kInnerAlpha];
    result.component_weights = out[kWeights];
  }
  return result;
}

}  // namespace layeravatar::splat
