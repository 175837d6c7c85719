// Group normalisation, modulation and SiLU as one differentiable step.
#pragma once
#include <torch/types.h>

namespace layeravatar::diffusion {

/// silu(scale * group_norm(x) + shift) without an own affine part in the norm.
///   x             [B, C, h, w]  on the CPU; float32, or bfloat16 (sums and statistics are float32 or wider, the result
///                 is bfloat16 with the channels last in memory)
///   scale, shift  [B, C]        float32
///   groups        divides C; eps 1e-5
/// Differentiable once in x, scale and shift; the bits do not depend on the number of threads.
/// Throws Error(kInternal) when a shape or type is wrong.
torch::Tensor norm_silu(const torch::Tensor& x, const torch::Tensor& scale, const torch::Tensor& shift,
                        std::int64_t groups);

}  // namespace layeravatar::diffusion
