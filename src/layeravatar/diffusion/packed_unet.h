// The U-Net's forward pass from prepacked weights. No LibTorch: a program packs while it still loads LibTorch.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "layeravatar/diffusion/kernels/unet_layers.h"

namespace layeravatar::diffusion {

/// A parameter in float32, C order.
struct NamedWeight {
  const float* data = nullptr;
  std::vector<std::int64_t> shape;
};
/// Under the names of model.md section 3.3 without the prefix.
using NamedWeights = std::map<std::string, NamedWeight>;

/// Layers, their packed weights and the memory of a pass; see UNetEngine.
class PackedUNet {
 public:
  struct Sizes {
    int rows = 0, columns = 0, channels = 0;  // of x and of the output
    int heads = 0;
    bool estimate = false;  // the prior's estimate of x0 comes as further input channels
    bool bfloat16 = false;  // convolutions but the last one multiply it, where the processor has tiles for that
    bool operator==(const Sizes&) const = default;
  };
  /// Reads the layers from the names; `owner` keeps the weights' memory. Throws Error(kInternal) for a layer that is missing, or whose weights do not
  /// fit the layers before it: nothing is taken on trust, so that the weights may come from a file as they are.
  PackedUNet(const NamedWeights& weights, std::shared_ptr<const void> owner, const Sizes& sizes);
  PackedUNet(const PackedUNet&) = delete;
  PackedUNet& operator=(const PackedUNet&) = delete;

  /// Packs one convolution after the other until all have been begun; several threads may call it, each takes the next one. Does not throw.
  void pack();
  /// Returns when all are packed. Throws what packing one of them failed with, std::bad_alloc.
  void wait_until_packed();

  /// x, estimate (null without) [images, channels, rows, columns], waves [images, wave_count()] the time's sinusoidal embedding -> y, as x.
  /// Somebody has called `pack` before.
  void forward(const float* x, const float* estimate, const float* waves, int images, float* y);
  [[nodiscard]] int wave_count() const { return waves_; }

  [[nodiscard]] const Sizes& sizes() const { return sizes_; }
  /// Bytes of packed weights and of activations.
  [[nodiscard]] std::size_t bytes() const;
  /// Multiply-adds of the convolutions' matrix products in a step of one image, and bytes of their packed weights.
  struct Work {
    double products = 0, weight_bytes = 0;
  };
  [[nodiscard]] Work work() const;

 private:
  class Reader;
  // A map, what is known of its channels, and its norm as factors.
  struct Value {
    FeatureMap map;
    Moments moments;
    int channels = 0;
    std::vector<float> scale, shift;  // [image][channels, filled up]
  };
  struct Norm {
    const float *weight = nullptr, *bias = nullptr;
    int channels = 0;
  };
  struct ResBlock {
    Norm norm, inner;
    const float *embedding_weight = nullptr, *embedding_bias = nullptr;
    Convolution first, second, shortcut;
    bool has_shortcut = false;
  };
  struct Attention {
    Norm norm;
    Convolution qkv, proj;
    int head_channels = 0;
  };
  enum class Read { kPlain, kNormed, kNormedSilu };  // how a convolution sees its input
  struct Part {
    enum class Kind { kResBlock, kAttention, kConvolution } kind;
    std::size_t index;  // in the list of its kind
  };
  struct Block {
    std::vector<Part> parts;
    int channels = 0, rows = 0, columns = 0;  // of its result
  };

  template <class Self, class Visit>
  static void each_convolution(Self& self, const Visit& visit);
  void plan(int count);
  void embed(const float* waves);
  void set_norm(const std::vector<Value*>& values, const Norm& norm, const float* gains = nullptr, const float* offsets = nullptr);
  void run(const Convolution& conv, const std::vector<Value*>& inputs, Read read, Value& to, const float* residual = nullptr, bool moments = true);
  void run(const ResBlock& block, const std::vector<Value*>& inputs, Value& to);
  void run(const Attention& attention, Value& value);
  void run(const Block& block, const std::vector<Value*>& inputs, Value& to);

  Sizes sizes_;
  std::shared_ptr<const void> owner_;
  int images_ = 0, waves_ = 0, time_channels_ = 0;
  const float *time_weight_[2] = {}, *time_bias_[2] = {};
  std::vector<ResBlock> res_blocks_;
  std::vector<Attention> attentions_;
  std::vector<Convolution> convolutions_;
  std::vector<Block> in_, out_;
  Block middle_;
  Norm head_norm_;
  Convolution head_;
  std::vector<Convolution*> order_;  // of packing
  // Not an atomic's wait and notify: theirs meet in a table of which a program and a library that it loads may have one each.
  std::mutex guard_;
  std::condition_variable changed_;
  std::size_t begun_ = 0, packed_ = 0;
  std::exception_ptr failure_;

  // Results of `in_` stay until `out_` has read them; `out_` goes to and fro between two.
  Value input_;
  std::vector<Value> skips_;
  Value turns_[2], inner_, qkv_, attended_, result_;
  std::vector<Floats> memory_, scratch_;
  Floats keys_;
  std::vector<float> embedding_, gain_and_offset_, gain_, offset_;
};

}  // namespace layeravatar::diffusion
