#include "layeravatar/avatar/decoder.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/torch.h>

#include <map>
#include <mutex>
#include <numbers>
#include <utility>
#include <vector>

#include "layeravatar/avatar/decoder_branch.h"
#include "layeravatar/avatar/kernels/sample_kernel.h"
#include "layeravatar/core/error.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/tensor/pooled.h"

namespace layeravatar::avatar {
namespace {

namespace nn = torch::nn;

nn::Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t size) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, size).padding(size / 2));
}

// Starts the head at almost zero, so that offsets, scale factors and rotations do.
nn::Conv2d quiet_head(std::int64_t in, std::int64_t out) {
  nn::Conv2d head = conv(in, out, 1);
  const torch::NoGradGuard no_grad;
  head->weight.uniform_(-1e-5, 1e-5);
  head->bias.zero_();
  return head;
}

// The taps of one size of map, as tensors so that the graph can keep them.
struct TapTensors {
  torch::Tensor texels, weights, texel_begin, uses;
};

torch::Tensor int_tensor(const std::vector<std::int32_t>& values) {
  return torch::tensor(torch::ArrayRef<std::int32_t>(values), torch::kInt32);
}

SampleArgs args_of(const TapTensors& t, torch::IntArrayRef map_shape) {
  return {t.texels.data_ptr<std::int32_t>(), tensor::floats(t.weights, "tap weights"),
          t.texel_begin.data_ptr<std::int32_t>(), t.uses.data_ptr<std::int32_t>(),
          map_shape[0], map_shape[1], map_shape[2] * map_shape[3], t.weights.size(0)};
}

struct SampleFunction : torch::autograd::Function<SampleFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& map,
                               const TapTensors& taps) {
    context->saved_data["taps"] = std::vector<torch::Tensor>{taps.texels, taps.weights, taps.texel_begin, taps.uses};
    context->saved_data["shape"] = map.sizes().vec();
    torch::Tensor out = tensor::pooled_empty({map.size(0), taps.weights.size(0), map.size(1)});
    sample_map_cpu(args_of(taps, map.sizes()), tensor::floats(map, "attribute map"),
                   tensor::mutable_floats(out, "samples"));
    return out;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad) {
    const std::vector<std::int64_t> shape = context->saved_data["shape"].toIntVector();
    const std::vector<torch::Tensor> taps = context->saved_data["taps"].toTensorVector();
    const torch::Tensor grad_out = grad[0].contiguous();
    torch::Tensor out = tensor::pooled_empty(shape);
    sample_map_backward_cpu(args_of({taps[0], taps[1], taps[2], taps[3]}, shape), tensor::floats(grad_out, "gradient"),
                            tensor::mutable_floats(out, "gradient"));
    return {out, torch::Tensor()};
  }
};

torch::Tensor branch(const torch::Tensor& x, nn::Sequential& net, nn::BatchNorm2dImpl& norm, nn::Sequential& first, nn::Sequential& second,
                     std::int64_t sigmoid_heads) {
  const auto conv_of = [](nn::Sequential& of) { return of->ptr(0)->as<nn::Conv2d>(); };
  const nn::Conv2dImpl *conv = conv_of(net), *a = conv_of(first), *b = conv_of(second);
  const std::int64_t channels = conv->weight.size(0);
  const torch::Tensor weights = torch::cat({a->weight, b->weight}).reshape({-1, channels});
  return decoder_branch(x, conv->weight, conv->bias, norm, weights, torch::cat({a->bias, b->bias}), sigmoid_heads);
}

}  // namespace

GaussianAttributes attributes_from_samples(const torch::Tensor& samples) {
  tensor::expect_shape(samples, {-1, kAttributeChannels}, "samples");
  GaussianAttributes out;
  out.opacity = samples.select(1, 0);
  out.offset = samples.slice(1, 1, 4);
  out.rgb = samples.slice(1, 4, 7) * 1.002 - 0.001;
  out.radius = (samples.slice(1, 7, 10) - 0.5) * 2.0;
  out.rotation = (samples.slice(1, 10, 13) - 0.5) * std::numbers::pi;
  return out;
}

Decoder::Decoder() {
  base_net_ = register_module("base_net", nn::Sequential(conv(6, 64, 7)));
  base_bn_ = register_module("base_bn", nn::BatchNorm2d(64));
  density_net_ = register_module("density_net", nn::Sequential(conv(64, 1, 1)));
  offset_net_ = register_module("offset_net", nn::Sequential(quiet_head(64, 3)));
  color_net_ = register_module("color_net", nn::Sequential(conv(128, 3, 1)));
  cov_net_ = register_module("cov_net", nn::Sequential(quiet_head(128, 6)));
  tex_net_ = register_module("tex_net", nn::Sequential(conv(6, 128, 7), nn::BatchNorm2d(128)));
}

torch::Tensor Decoder::geometry_map(const torch::Tensor& planes) { return branch(planes, base_net_, *base_bn_, density_net_, offset_net_, 1); }

torch::Tensor Decoder::texture_map(const torch::Tensor& planes) {
  return branch(planes, tex_net_, *tex_net_->ptr(1)->as<nn::BatchNorm2d>(), color_net_, cov_net_, 9);
}

torch::Tensor Decoder::attribute_map(const torch::Tensor& planes) {
  tensor::expect_shape(planes, {-1, kPlaneChannels, -1, -1}, "planes");
  constexpr std::int64_t kGeometry = kPlaneChannels / 2;
  return torch::cat({geometry_map(planes.slice(1, 0, kGeometry)), texture_map(planes.slice(1, kGeometry))}, 1);
}

struct MapSampler::Taps {
  std::vector<float> uvs;
  std::mutex guard;
  std::map<std::pair<std::int64_t, std::int64_t>, TapTensors> of_size;  // (h, w)
};

MapSampler::MapSampler(std::span<const float> uvs) : taps_(std::make_shared<Taps>()) {
  LAV_CHECK(uvs.size() % 2 == 0, "texture coordinates come in pairs");
  taps_->uvs.assign(uvs.begin(), uvs.end());
}

std::int64_t MapSampler::count() const { return static_cast<std::int64_t>(taps_->uvs.size() / 2); }

torch::Tensor MapSampler::sample(const torch::Tensor& map) const {
  tensor::expect_shape(map, {-1, -1, -1, -1}, "attribute map");
  LAV_CHECK(map.size(2) > 0 && map.size(3) > 0, "attribute map: expected at least one texel");
  const std::lock_guard lock(taps_->guard);
  TapTensors& taps = taps_->of_size[{map.size(2), map.size(3)}];
  if (!taps.weights.defined()) {
    const SampleTaps made = make_sample_taps(taps_->uvs, map.size(2), map.size(3));
    taps = {int_tensor(made.texels), tensor::from_floats(made.weights, {count(), 4}), int_tensor(made.texel_begin),
            int_tensor(made.uses)};
  }
  return SampleFunction::apply(map.contiguous(), taps);
}

}  // namespace layeravatar::avatar
