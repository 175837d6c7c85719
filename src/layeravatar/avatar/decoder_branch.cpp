#include "layeravatar/avatar/decoder_branch.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/torch.h>

#include <algorithm>
#include <utility>

#include "layeravatar/avatar/kernels/decoder_kernel.h"
#include "layeravatar/core/error.h"
#include "layeravatar/core/pooled_memory.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/tensor/pooled.h"

namespace layeravatar::avatar {
namespace {

using Variables = torch::autograd::variable_list;
using tensor::floats;
using tensor::mutable_floats;

using Sum = std::shared_ptr<const SumOverProcesses>;
thread_local Sum shared_batch;  // null: a process has its batch alone

// Carries the sum from the forward to the backward pass.
struct SumHolder : torch::CustomClassHolder {
  explicit SumHolder(Sum s) : sum(std::move(s)) {}
  Sum sum;
};

// Mean and 1 / deviation that normalise; moves the running statistics in training mode.
struct Statistics {
  torch::Tensor mean, inverse;
  double count;  // of values in a channel
};

Statistics statistics_of(torch::nn::BatchNorm2dImpl& norm, const BranchShape& shape, const torch::Tensor& y) {
  const double eps = norm.options.eps();
  double count = static_cast<double>(shape.images * shape.pixels());
  if (!norm.is_training()) return {norm.running_mean, (norm.running_var + eps).rsqrt(), count};
  torch::Tensor mean = torch::empty({shape.channels}), variance = torch::empty({shape.channels});
  decoder_kernels().statistics(shape, floats(y, "y"), mutable_floats(mean, "mean"),
                               mutable_floats(variance, "variance"));
  if (shared_batch) {
    const torch::Tensor m = mean.to(torch::kFloat64);
    const torch::Tensor sums = torch::cat({m * count, (variance.to(torch::kFloat64) + m.square()) * count, torch::full({1}, count, torch::kFloat64)});
    (*shared_batch)(sums);
    count = sums[-1].item<double>();
    const torch::Tensor all = sums.slice(0, 0, shape.channels) / count;
    mean = all.to(torch::kFloat32);
    variance = (sums.slice(0, shape.channels, 2 * shape.channels) / count - all.square()).clamp_min(0).to(torch::kFloat32);
  }
  LAV_CHECK(count > 1, "batch normalisation needs more than one value per channel");
  const double momentum = norm.options.momentum().value();
  const double unbiased = count / (count - 1);
  norm.running_mean.mul_(1 - momentum).add_(mean, momentum);
  norm.running_var.mul_(1 - momentum).add_(variance, momentum * unbiased);
  norm.num_batches_tracked.add_(1);
  return {mean, (variance + eps).rsqrt(), count};
}

PooledArray<float> split_input(const BranchShape& shape, const torch::Tensor& x) {
  PooledArray<float> split(static_cast<std::size_t>(shape.images * kConvInputs * kProductPlanes * shape.product_plane() + kReadBeyond));
  decoder_kernels().split_input(shape, floats(x, "planes"), split.data());
  return split;
}

PooledArray<float> split_taps(const BranchShape& shape, const torch::Tensor& weights) {
  PooledArray<float> taps(static_cast<std::size_t>(shape.channels * kConvInputs * kProductTaps));
  decoder_kernels().split_taps(shape, floats(weights, "weights"), taps.data());
  return taps;
}

torch::Tensor split_empty(const BranchShape& shape, std::int64_t channels) {
  return tensor::pooled_empty({shape.images * channels * shape.split_plane() + kReadBeyond});
}

// Where no gradient is wanted and the running statistics normalise: one pass from planes to heads.
torch::Tensor branch_without_graph(const torch::Tensor& x, const torch::Tensor& conv_weight, const torch::Tensor& conv_bias,
                                   torch::nn::BatchNorm2dImpl& norm, const torch::Tensor& head_weight,
                                   const torch::Tensor& head_bias, std::int64_t sigmoid_heads) {
  const torch::NoGradGuard no_grad;
  const BranchShape shape{x.size(0), conv_weight.size(0), head_weight.size(0), x.size(2), x.size(3)};
  const torch::Tensor scale = norm.weight * (norm.running_var + norm.options.eps()).rsqrt();
  const PooledArray<float> taps = split_taps(shape, conv_weight * scale.reshape({-1, 1, 1, 1}));
  const torch::Tensor bias = (conv_bias - norm.running_mean) * scale + norm.bias;
  const PooledArray<float> split = split_input(shape, x);
  torch::Tensor out = tensor::pooled_empty({shape.images, shape.heads, shape.height, shape.width});
  decoder_kernels().branch_forward(shape, {split.data(), {taps.data(), floats(bias, "biases")},
                                           floats(head_weight, "head weights"), floats(head_bias, "head biases"),
                                           sigmoid_heads, mutable_floats(out, "heads")});
  return out;
}

struct BranchFunction : torch::autograd::Function<BranchFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& conv_weight, const torch::Tensor& conv_bias,
                               const torch::Tensor& gain, const torch::Tensor& bias, const torch::Tensor& head_weight,
                               const torch::Tensor& head_bias, torch::nn::BatchNorm2dImpl* norm,
                               std::int64_t sigmoid_heads) {
    const BranchShape shape{x.size(0), conv_weight.size(0), head_weight.size(0), x.size(2), x.size(3)};
    torch::Tensor y = split_empty(shape, shape.channels);
    decoder_kernels().conv_forward(shape, split_input(shape, x).data(), {split_taps(shape, conv_weight).data(), floats(conv_bias, "biases")},
                                   mutable_floats(y, "y"));
    const Statistics statistics = statistics_of(*norm, shape, y);
    const torch::Tensor scale = gain * statistics.inverse, shift = bias - scale * statistics.mean;
    torch::Tensor out = tensor::pooled_empty({shape.images, shape.heads, shape.height, shape.width});
    decoder_kernels().heads_forward(shape, {floats(y, "y"), floats(scale, "scale"), floats(shift, "shift"),
                                            floats(head_weight, "head weights"), floats(head_bias, "head biases"),
                                            sigmoid_heads, mutable_floats(out, "heads")});
    context->save_for_backward(
        {x, conv_weight, head_weight, y, scale, shift, statistics.mean, statistics.inverse, out});
    context->saved_data["sigmoid_heads"] = sigmoid_heads;
    context->saved_data["batch_statistics"] = norm->is_training();
    context->saved_data["count"] = statistics.count;
    if (norm->is_training() && shared_batch) context->saved_data["sum"] = c10::IValue::make_capsule(c10::make_intrusive<SumHolder>(shared_batch));
    context->saved_data["planes"] = x.requires_grad();
    context->saved_data["parameters"] = conv_weight.requires_grad() || conv_bias.requires_grad() ||
                                        gain.requires_grad() || bias.requires_grad() || head_weight.requires_grad() ||
                                        head_bias.requires_grad();
    return out;
  }

  static Variables backward(torch::autograd::AutogradContext* context, const Variables& grads) {
    const Variables saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &conv_weight = saved[1], &head_weight = saved[2], &y = saved[3], &out = saved[8];
    const BranchShape shape{x.size(0), conv_weight.size(0), head_weight.size(0), x.size(2), x.size(3)};
    const bool parameters = context->saved_data["parameters"].toBool();
    torch::Tensor grad_heads = grads[0].clone(torch::MemoryFormat::Contiguous);
    const std::int64_t sigmoid_heads = context->saved_data["sigmoid_heads"].toInt();
    const torch::Tensor bounded = out.slice(1, 0, sigmoid_heads);
    grad_heads.slice(1, 0, sigmoid_heads).mul_(bounded - bounded.square());

    torch::Tensor grad_y = split_empty(shape, shape.channels);
    torch::Tensor split_grad_heads = split_empty(shape, shape.heads);
    decoder_kernels().split_heads(shape, floats(grad_heads, "gradient"), mutable_floats(split_grad_heads, "gradient"));
    torch::Tensor grad_gain = torch::empty({shape.channels}), grad_bias = torch::empty_like(grad_gain),
                  grad_conv_bias = torch::empty_like(grad_gain), grad_head_weight = torch::empty_like(head_weight);
    HeadsBackward work{};
    work.y = floats(y, "y");
    work.scale = floats(saved[4], "scale");
    work.shift = floats(saved[5], "shift");
    work.mean = floats(saved[6], "mean");
    work.inverse = floats(saved[7], "inverse");
    work.head_weights = floats(head_weight, "head weights");
    work.grad_heads = floats(split_grad_heads, "gradient");
    work.batch_statistics = context->saved_data["batch_statistics"].toBool();
    work.parameters = parameters;
    work.grad_y = mutable_floats(grad_y, "gradient");
    work.grad_gain = mutable_floats(grad_gain, "gradient");
    work.grad_bias = mutable_floats(grad_bias, "gradient");
    work.grad_conv_bias = mutable_floats(grad_conv_bias, "gradient");
    work.grad_head_weights = mutable_floats(grad_head_weight, "gradient");
    const auto shared = context->saved_data.find("sum");
    torch::Tensor sums;
    if (shared != context->saved_data.end()) {
      sums = torch::empty({shape.channels, 2}, torch::kFloat64);
      work.sums = sums.data_ptr<double>();
    }
    decoder_kernels().heads_backward(shape, work);
    if (sums.defined()) {
      (*c10::static_intrusive_pointer_cast<SumHolder>(shared->second.toCapsule())->sum)(sums);
      decoder_kernels().normalisation_backward(shape, work, sums.data_ptr<double>(), context->saved_data["count"].toDouble());
    }

    Variables out_grads(9);
    if (context->saved_data["planes"].toBool()) {
      const PooledArray<float> scratch(static_cast<std::size_t>(shape.channels * kConvInputs * kProductTaps));
      out_grads[0] = torch::empty({shape.images, kConvInputs, shape.height, shape.width});
      decoder_kernels().conv_input_gradient(shape, floats(conv_weight, "weights"), work.grad_y, scratch.data(),
                                            mutable_floats(out_grads[0], "gradient"));
    }
    if (!parameters) return out_grads;
    out_grads[1] = torch::empty_like(conv_weight);
    decoder_kernels().conv_weight_gradient(shape, work.grad_y, split_input(shape, x).data(),
                                           mutable_floats(out_grads[1], "gradient"));
    out_grads[2] = grad_conv_bias;
    out_grads[3] = grad_gain;
    out_grads[4] = grad_bias;
    out_grads[5] = grad_head_weight;
    out_grads[6] = grad_heads.sum(torch::IntArrayRef{0, 2, 3});
    return out_grads;
  }
};

}  // namespace

SharedBatch::SharedBatch(SumOverProcesses sum) : outer_(shared_batch) {
  if (sum) shared_batch = std::make_shared<const SumOverProcesses>(std::move(sum));
}
SharedBatch::~SharedBatch() { shared_batch = outer_; }

torch::Tensor decoder_branch(const torch::Tensor& x, const torch::Tensor& conv_weight, const torch::Tensor& conv_bias,
                             torch::nn::BatchNorm2dImpl& norm, const torch::Tensor& head_weight,
                             const torch::Tensor& head_bias, std::int64_t sigmoid_heads) {
  const std::int64_t channels = conv_weight.size(0), heads = head_weight.size(0);
  tensor::expect_shape(x, {-1, kConvInputs, -1, -1}, "planes");
  tensor::expect_shape(conv_weight, {channels, kConvInputs, kConvSize, kConvSize}, "convolution weights");
  tensor::expect_shape(head_weight, {heads, channels}, "head weights");
  LAV_CHECK(channels % 4 == 0 && heads <= kMostHeads && sigmoid_heads <= heads, "sizes that the kernels do not know");
  const auto wants_gradient = [](const torch::Tensor& t) { return t.requires_grad(); };
  const torch::Tensor inputs[] = {x, conv_weight, conv_bias, norm.weight, norm.bias, head_weight, head_bias};
  const bool graph = torch::GradMode::is_enabled() && std::any_of(std::begin(inputs), std::end(inputs), wants_gradient);
  if (!graph && !norm.is_training())
    return branch_without_graph(x.contiguous(), conv_weight, conv_bias, norm, head_weight.contiguous(), head_bias.contiguous(),
                                sigmoid_heads);
  return BranchFunction::apply(x.contiguous(), conv_weight.contiguous(), conv_bias.contiguous(), norm.weight, norm.bias,
                               head_weight.contiguous(), head_bias.contiguous(), &norm, sigmoid_heads);
}

}  // namespace layeravatar::avatar
