// Tensors in memory that is kept between calls (core/pooled_memory.h).
#pragma once
#include <torch/types.h>

namespace layeravatar::tensor {

/// float32 on the host, not set. Its memory serves later calls once the last tensor on it is gone.
torch::Tensor pooled_empty(torch::IntArrayRef shape);

}  // namespace layeravatar::tensor
