// The denoising U-Net of any size (DenoisingUnetMod, spec/model.md section 3 and 16).
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "layeravatar/diffusion/mixture_prior.h"
#include "layeravatar/diffusion/precision.h"

namespace layeravatar::diffusion {

struct UNetConfig {
  std::array<int, 2> image_size{128, 384};                   // rows, columns
  int in_channels = 12;                                      // and out
  int base_channels = 128;                                   // the time embedding has 4 times as many
  std::vector<double> channel_factors{0.5, 1, 2, 2, 4, 4};   // level channels = int(base * factor)
  int resblocks = 2;                                         // per level
  int heads = 4;
  int prior_rank = 0;                                        // of the mixture prior; 0: none, as in the release
  bool prior_attributes = false;                             // the prior knows attributes of people
  std::vector<int> attention_res{16, 8, 4};                  // attention where 2^level = min(image_size) / r

  /// Throws Error(kConfig) naming field, value and range.
  void check() const;
};

/// [B] steps -> [B, 2 * half]: cosines, then sines of t * 10000^(-k / half), k = 0 .. half - 1, in float32 arithmetic.
torch::Tensor sinusoidal_embedding(const torch::Tensor& t, std::int64_t half);

/// Parameters of a new network: drawn as the release does, or memory that nobody has written, for whoever gives it others next.
enum class Fill { kInitial, kNone };

/// Parameters carry the names of section 3.3 without the prefix. The initial output is exactly zero (section 3.5). With a
/// prior of rank K > 0, buffers "prior.*": its estimate of x0 comes as further input channels, and the output is its
/// estimate of v plus the network's, in units of the prior's deviation: without training, the network is the mixture's denoiser.
class UNet : public torch::nn::Module {
 public:
  explicit UNet(const UNetConfig& config, Fill fill = Fill::kInitial);
  /// x [B, C, h, w], t [B] integer steps -> [B, C, h, w]. `classes`: what a condition leaves of the prior's mixture, which the network sees through its estimate.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& t, const Classes* classes = nullptr);
  /// What every block sees of the step: [B] -> [B, 4 * base_channels], without a final activation.
  torch::Tensor embed_time(const torch::Tensor& t);
  /// Called by `forward` with the name and output of every block, "in_blocks.0" and so on, "mid_blocks", "out_blocks.0"; empty: nobody looks.
  using Observer = std::function<void(const std::string& block, const torch::Tensor& output)>;
  void observe(Observer observer) { observer_ = std::move(observer); }
  void set_precision(Precision precision) { precision_ = precision; }
  [[nodiscard]] Precision precision() const { return precision_; }
  /// The output from what `network` makes of x and the prior's estimate of x0, which is undefined without a prior.
  [[nodiscard]] torch::Tensor with_prior(const torch::Tensor& x, const torch::Tensor& t,
                                         const std::function<torch::Tensor(const torch::Tensor& estimate)>& network,
                                         const Classes* classes = nullptr) const;
  [[nodiscard]] const UNetConfig& config() const { return config_; }
  /// Null without one.
  [[nodiscard]] std::shared_ptr<MixturePrior> prior() const { return prior_; }

 private:
  [[nodiscard]] torch::Tensor run_network(const torch::Tensor& x, const torch::Tensor& t, const torch::Tensor& estimate);

  UNetConfig config_;
  Observer observer_;
  Precision precision_ = Precision::kFloat32;
  torch::nn::ModuleList in_blocks_, mid_blocks_, out_blocks_;
  std::shared_ptr<torch::nn::Module> time_embedding_, out_;
  std::shared_ptr<MixturePrior> prior_;
};

}  // namespace layeravatar::diffusion
