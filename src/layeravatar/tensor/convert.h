// The seam between plain arrays and LibTorch tensors.
#pragma once
#include <torch/types.h>

#include <initializer_list>
#include <span>
#include <string>

#include "layeravatar/io/array.h"

namespace layeravatar::tensor {

/// A copy with the same shape and element type (f16, bf16, f32, f64, u8, i8..i64, bool). Unsigned types wider than u8,
/// which LibTorch lacks, become int64.
torch::Tensor to_tensor(const io::Array& array);

/// The same without a copy where the array only looks into shared memory and LibTorch has its type: the tensor keeps the owner
/// of that memory, and may write to it.
torch::Tensor share_tensor(const io::Array& array);

/// A copy on the host, contiguous.
io::Array to_array(const torch::Tensor& tensor);

/// The same without a copy of what is on the host and contiguous: it shows what is written to the tensor later.
io::Array share_array(const torch::Tensor& tensor);

/// float32 copy of `values` with the given shape.
torch::Tensor from_floats(std::span<const float> values, torch::IntArrayRef shape);

/// Throws Error(kInternal) "<name>: shape [2, 3], expected [*, 3]" unless the shape fits; -1 fits any size.
void expect_shape(const torch::Tensor& tensor, std::initializer_list<std::int64_t> shape, const std::string& name);

/// Data of a contiguous float32 CPU tensor; Error(kInternal) names it otherwise.
const float* floats(const torch::Tensor& tensor, const std::string& name);
float* mutable_floats(torch::Tensor& tensor, const std::string& name);

}  // namespace layeravatar::tensor
