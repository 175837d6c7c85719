#include "layeravatar/tensor/pooled.h"

#include <torch/torch.h>

#include <functional>
#include <numeric>

#include "layeravatar/core/pooled_memory.h"

namespace layeravatar::tensor {

torch::Tensor pooled_empty(torch::IntArrayRef shape) {
  const std::int64_t count = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  std::shared_ptr<void> memory = pooled_memory(static_cast<std::size_t>(count) * sizeof(float));
  void* const data = memory.get();
  return torch::from_blob(data, shape, [memory = std::move(memory)](void*) {}, torch::kFloat32);
}

}  // namespace layeravatar::tensor
