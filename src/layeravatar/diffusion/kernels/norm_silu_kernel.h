// Group normalisation, affine map and SiLU in one pass over the data. Plain C++, no LibTorch.
#pragma once
#include <cstdint>

namespace layeravatar::diffusion {

/// y = silu(z), z = scale[b, c] * (x - mean) / sqrt(variance + eps) + shift[b, c]; mean and variance per image and
/// group of consecutive channels. `pixels` is rows * columns.
struct NormSiluShape {
  std::int64_t batch, channels, pixels, groups;
};

/// x, y [batch, channels, pixels]; scale, shift [batch, channels]; mean, inverse_deviation [batch, groups] are written.
void norm_silu_forward(const NormSiluShape& shape, double eps, const float* x, const float* scale, const float* shift,
                       float* y, float* mean, float* inverse_deviation);

/// Gradients from grad_y; sums run in a fixed order, whatever the number of threads.
void norm_silu_backward(const NormSiluShape& shape, const float* grad_y, const float* x, const float* scale,
                        const float* shift, const float* mean, const float* inverse_deviation, float* grad_x,
                        float* grad_scale, float* grad_shift);

/// The same on bfloat16 (its bits) in the order [batch, pixels, channels]; sums and statistics are wider.
void norm_silu_forward_bf16(const NormSiluShape& shape, double eps, const std::uint16_t* x, const float* scale,
                            const float* shift, std::uint16_t* y, float* mean, float* inverse_deviation);
void norm_silu_backward_bf16(const NormSiluShape& shape, const std::uint16_t* grad_y, const std::uint16_t* x,
                             const float* scale, const float* shift, const float* mean, const float* inverse_deviation,
                             std::uint16_t* grad_x, float* grad_scale, float* grad_shift);

}  // namespace layeravatar::diffusion
