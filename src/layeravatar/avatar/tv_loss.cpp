#include "layeravatar/avatar/tv_loss.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "layeravatar/avatar/attributes.h"
#include "layeravatar/avatar/kernels/tv_kernel.h"
#include "layeravatar/core/error.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {

// Squares of the channel weights 1 (opacity), 2 (offset), 0 (rgb), 0 (radius), 2 (rotation).
constexpr float kWeights[kAttributeChannels] = {1, 4, 4, 4, 0, 0, 0, 0, 0, 0, 4, 4, 4};
constexpr std::int64_t kStrips = 3;

TvArgs args_of(const torch::Tensor& map) {
  return {tensor::floats(map, "attribute map"), kWeights, map.size(0), kAttributeChannels, map.size(2), kStrips,
          map.size(3) / kStrips};
}

struct TvFunction : torch::autograd::Function<TvFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& map) {
    context->save_for_backward({map});
    std::vector<double> row_sums(static_cast<std::size_t>(map.size(0) * kAttributeChannels * map.size(2)));
    const double sum = total_variation_cpu(args_of(map), row_sums.data());
    return at::scalar_tensor(sum / static_cast<double>(map.numel()), at::kFloat);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad) {
    const torch::Tensor map = context->get_saved_variables()[0];
    torch::Tensor out = at::empty_like(map);
    total_variation_backward_cpu(args_of(map), grad[0].item<float>() / static_cast<float>(map.numel()),
                                 tensor::mutable_floats(out, "gradient"));
    return {out};
  }
};

}  // namespace

torch::Tensor tv_loss(const torch::Tensor& map) {
  tensor::expect_shape(map, {-1, kAttributeChannels, -1, -1}, "attribute map");
  LAV_CHECK(map.size(3) % kStrips == 0, "attribute map: expected three planes side by side");
  return TvFunction::apply(map.contiguous());
}

torch::Tensor total_variation(const torch::Tensor& planes, double power) {
  tensor::expect_shape(planes, {-1, -1, -1, -1}, "planes");
  LAV_CHECK(power >= 1, "a power of at least 1");
  constexpr double kLeast = 1e-24;  // the root has no slope at zero
  const auto square = [&](std::int64_t axis, const std::vector<std::int64_t>& pad) { return at::constant_pad_nd(at::diff(planes, 1, axis), pad).square(); };
  return (square(3, {0, 1}) + square(2, {0, 0, 0, 1})).clamp_min(kLeast).pow(power / 2).mean();
}

}  // namespace layeravatar::avatar
