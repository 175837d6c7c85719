// Half of the decoder: 7x7 convolution, batch normalisation, SiLU and 1x1 heads as one operation.
#pragma once
#include <torch/nn/modules/batchnorm.h>
#include <torch/types.h>

#include <functional>
#include <memory>

namespace layeravatar::avatar {

/// Sums float64 values over the processes that hold parts of one batch, in place.
using SumOverProcesses = std::function<void(const torch::Tensor&)>;

/// While one lives, branches of this thread that normalise by the batch take it over all processes, forwards and, then or later, backwards: gradients
/// are those of the sum of all processes' losses. Every process calls the same branches in the same order; each may hold another number of images, none
/// of them zero. An empty function changes nothing.
class SharedBatch {
 public:
  explicit SharedBatch(SumOverProcesses sum);
  ~SharedBatch();
  SharedBatch(const SharedBatch&) = delete;
  SharedBatch& operator=(const SharedBatch&) = delete;

 private:
  std::shared_ptr<const SumOverProcesses> outer_;
};

/// x [S, 6, h, w] -> [S, K, h, w]; the first `sigmoid_heads` of the K heads end in a sigmoid.
///
///   conv_weight  [C, 6, 7, 7], conv_bias [C], C a multiple of 4
///   norm         over C channels; in training mode the batch's statistics normalise and the running ones move
///   head_weight  [K, C], head_bias [K], K at most 16
///
/// Differentiable once in everything. The convolution's bias gets exactly zero where the batch's statistics normalise.
torch::Tensor decoder_branch(const torch::Tensor& x, const torch::Tensor& conv_weight, const torch::Tensor& conv_bias,
                             torch::nn::BatchNorm2dImpl& norm, const torch::Tensor& head_weight,
                             const torch::Tensor& head_bias, std::int64_t sigmoid_heads);

}  // namespace layeravatar::avatar
