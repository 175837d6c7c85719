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

struct NormSilu : torch::autograd::Function<NormSilu> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& scale, const Tensor& shift,
                        std::int64_t groups) {
    Tensor y = torch::empty_like(x), mean = torch::empty({x.size(0), groups}),
           inverse = torch::empty({x.size(0), groups});
    norm_silu_forward(shape_of(x, groups), kEps, tensor::floats(x, "x"), tensor::floats(scale, "scale"),
                      tensor::floats(shift, "shift"), tensor::mutable_floats(y, "y"),
                      tensor::mutable_floats(mean, "mean"), tensor::mutable_floats(inverse, "inverse"));
    context->save_for_backward({x, scale, shift, mean, inverse});
    context->saved_data["groups"] = groups;
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const Tensor grad_y = grads[0].contiguous();
    Tensor grad_x = torch::empty_like(saved[0]), grad_scale = torch::empty_like(saved[1]),
           grad_shift = torch::empty_like(saved[2]);
    norm_silu_backward(
        shape_of(saved[0], context->saved_data["groups"].toInt()), tensor::floats(grad_y, "grad_y"),
        tensor::floats(saved[0], "x"), tensor::floats(saved[1], "scale"), tensor::floats(saved[2], "shift"),
        tensor::floats(saved[3], "mean"), tensor::floats(saved[4], "inverse"), tensor::mutable_floats(grad_x, "grad_x"),
        tensor::mutable_floats(grad_scale, "grad_scale"), tensor::mutable_floats(grad_shift, "grad_shift"));
    return {grad_x, grad_scale, grad_shift, Tensor()};
  }
};

}  // namespace

Tensor norm_silu(const Tensor& x, const Tensor& scale, const Tensor& shift, std::int64_t groups) {
  tensor::expect_shape(x, {-1, -1, -1, -1}, "x");
  tensor::expect_shape(scale, {x.size(0), x.size(1)}, "scale");
  tensor::expect_shape(shift, {x.size(0), x.size(1)}, "shift");
  LAV_CHECK(groups > 0 && x.size(1) % groups == 0, "groups must divide the channels");
  return NormSilu::apply(x.contiguous(), scale.contiguous(), shift.contiguous(), groups);
}

}  // namespace layeravatar::diffusion
