#include "layeravatar/avatar/decoder.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/functional/activation.h>
#include <torch/nn/init.h>
#include <torch/torch.h>

#include <numbers>

#include "layeravatar/avatar/kernels/sample_kernel.h"
#include "layeravatar/tensor/convert.h"

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

struct SampleFunction : torch::autograd::Function<SampleFunction> {
  static SampleArgs args_of(const torch::Tensor& uvs, const std::vector<std::int64_t>& shape) {
    return {tensor::floats(uvs, "uvs"), shape[0], shape[1], shape[2], shape[3], uvs.size(0)};
  }
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& map, const torch::Tensor& uvs) {
    context->save_for_backward({uvs});
    context->saved_data["shape"] = map.sizes().vec();
    torch::Tensor out = torch::empty({map.size(0), uvs.size(0), map.size(1)});
    sample_map_cpu(args_of(uvs, map.sizes().vec()), tensor::floats(map, "attribute map"), tensor::mutable_floats(out, "samples"));
    return out;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, const torch::autograd::variable_list& grad) {
    const std::vector<std::int64_t> shape = context->saved_data["shape"].toIntVector();
    torch::Tensor out = torch::empty(shape);
    sample_map_backward_cpu(args_of(context->get_saved_variables()[0], shape),
                            tensor::floats(grad[0].contiguous(), "gradient"), tensor::mutable_floats(out, "gradient"));
    return {out, torch::Tensor()};
  }
};

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

torch::Tensor Decoder::attribute_map(const torch::Tensor& planes) {
  tensor::expect_shape(planes, {-1, kPlaneChannels, -1, -1}, "planes");
  const torch::Tensor geometry = torch::silu(base_bn_->forward(base_net_->forward(planes.slice(1, 0, 6).contiguous())));
  const torch::Tensor texture = torch::silu(tex_net_->forward(planes.slice(1, 6, 12).contiguous()));
  return torch::cat({torch::sigmoid(density_net_->forward(geometry)), offset_net_->forward(geometry),
                     torch::sigmoid(color_net_->forward(texture)), torch::sigmoid(cov_net_->forward(texture))},
                    1)
      .contiguous();
}

MapSampler::MapSampler(std::span<const float> uvs)
    : uvs_(tensor::from_floats(uvs, {static_cast<std::int64_t>(uvs.size() / 2), 2})) {}

torch::Tensor MapSampler::sample(const torch::Tensor& map) const {
  tensor::expect_shape(map, {-1, -1, -1, -1}, "attribute map");
  return SampleFunction::apply(map.contiguous(), uvs_);
}

}  // namespace layeravatar::avatar
