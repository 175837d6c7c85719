#include "layeravatar/diffusion/norm_silu.h"

#include <torch/csrc/autograd/custom_function.h>

#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/kernels/norm_silu_kernel.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::diffusion {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kEps = 1e-5;

NormSiluShape shape_of(const Tensor& x, std::int64_t groups) {
  return {x.size(0), x.size(1), x.size(2) * x.size(3), groups};
}

const std::uint16_t* bits(const Tensor& x) { return reinterpret_cast<const std::uint16_t*>(x.data_ptr<at::BFloat16>()); }
std::uint16_t* mutable_bits(Tensor& x) { return reinterpret_cast<std::uint16_t*>(x.data_ptr<at::BFloat16>()); }

// In the memory order that the kernel of its type expects.
Tensor ordered(const Tensor& x) {
  return x.contiguous(x.scalar_type() == torch::kBFloat16 ? torch::MemoryFormat::ChannelsLast : torch::MemoryFormat::Contiguous);
}

struct NormSilu : torch::autograd::Function<NormSilu> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& scale, const Tensor& shift,
                        std::int64_t groups) {
    Tensor y = torch::empty_like(x), mean = torch::empty({x.size(0), groups}),
           inverse = torch::empty({x.size(0), groups});
    const float *factors = tensor::floats(scale, "scale"), *shifts = tensor::floats(shift, "shift");
    float *means = tensor::mutable_floats(mean, "mean"), *inverses = tensor::mutable_floats(inverse, "inverse");
    if (x.scalar_type() == torch::kBFloat16)
      norm_silu_forward_bf16(shape_of(x, groups), kEps, bits(x), factors, shifts, mutable_bits(y), means, inverses);
    else
      norm_silu_forward(shape_of(x, groups), kEps, tensor::floats(x, "x"), factors, shifts,
                        tensor::mutable_floats(y, "y"), means, inverses);
    context->save_for_backward({x, scale, shift, mean, inverse});
    context->saved_data["groups"] = groups;
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor grad_y = ordered(grads[0].to(x.scalar_type()));
    Tensor grad_x = torch::empty_like(x), grad_scale = torch::empty_like(saved[1]), grad_shift = torch::empty_like(saved[2]);
    const NormSiluShape shape = shape_of(x, context->saved_data["groups"].toInt());
    const float *scale = tensor::floats(saved[1], "scale"), *shift = tensor::floats(saved[2], "shift"),
                *mean = tensor::floats(saved[3], "mean"), *inverse = tensor::floats(saved[4], "inverse");
    float *to_scale = tensor::mutable_floats(grad_scale, "grad_scale"),
          *to_shift = tensor::mutable_floats(grad_shift, "grad_shift");
    if (x.scalar_type() == torch::kBFloat16)
      norm_silu_backward_bf16(shape, bits(grad_y), bits(x), scale, shift, mean, inverse, mutable_bits(grad_x), to_scale,
                              to_shift);
    else
      norm_silu_backward(shape, tensor::floats(grad_y, "grad_y"), tensor::floats(x, "x"), scale, shift, mean, inverse,
                         tensor::mutable_floats(grad_x, "grad_x"), to_scale, to_shift);
    return {grad_x, grad_scale, grad_shift, Tensor()};
  }
};

}  // namespace

Tensor norm_silu(const Tensor& x, const Tensor& scale, const Tensor& shift, std::int64_t groups) {
  tensor::expect_shape(x, {-1, -1, -1, -1}, "x");
  tensor::expect_shape(scale, {x.size(0), x.size(1)}, "scale");
  tensor::expect_shape(shift, {x.size(0), x.size(1)}, "shift");
  LAV_CHECK(groups > 0 && x.size(1) % groups == 0, "groups must divide the channels");
  return NormSilu::apply(ordered(x), scale.contiguous(), shift.contiguous(), groups);
}

}  // namespace layeravatar::diffusion
