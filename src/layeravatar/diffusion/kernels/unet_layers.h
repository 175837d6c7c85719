// The layers of the U-Net's forward pass on channels in blocks, without gradients. Plain C++, no LibTorch.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "layeravatar/core/large_pages.h"

namespace layeravatar::diffusion {

inline constexpr int kBlock = 16;         // channels that lie side by side
inline constexpr int kPieceBlocks = 4;    // most blocks of output channels of one matrix product
inline constexpr int kRowsMultiple = 24;  // of a matrix product's rows

inline int blocks_of(int channels) { return (channels + kBlock - 1) / kBlock; }

/// Zeros, on a cache line, in large pages that those made one after another share. Copies are not made.
class Floats {
 public:
  Floats() = default;
  explicit Floats(std::size_t count) : size_(count) {
    const std::shared_ptr<void> memory = zeroed_memory(count * sizeof(float));
    data_ = std::shared_ptr<float[]>(memory, static_cast<float*>(memory.get()));
  }
  Floats(Floats&&) = default;
  Floats& operator=(Floats&&) = default;
  [[nodiscard]] float* data() const { return data_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::shared_ptr<float[]> data_;
  std::size_t size_ = 0;
};

/// [image][blocks][rows * columns][kBlock]. Channels that fill up a block are zero. Behind the last pixel lie
/// kRowsMultiple more that may be read.
struct FeatureMap {
  float* data = nullptr;
  int blocks = 0, rows = 0, columns = 0;
  [[nodiscard]] std::ptrdiff_t pixels() const { return std::ptrdiff_t{rows} * columns; }
  [[nodiscard]] std::ptrdiff_t image_size() const { return blocks * pixels() * kBlock; }
  /// Floats for `images` of them.
  [[nodiscard]] std::size_t size(int images) const { return static_cast<std::size_t>(images * image_size() + kRowsMultiple * kBlock); }
};

/// What a convolution learns of each output channel in one run, in chunks of pixels: sums and sums of squares around the
/// chunk's first value. values [image][chunk][3: first, sum, squares][channels], pixels [chunk].
struct Moments {
  std::vector<float> values;
  std::vector<int> pixels;
  int channels = 0;
};

/// Input of a layer: `map`, or with scale and shift [image][channels of map, filled up] scale * map + shift.
struct LayerInput {
  FeatureMap map;
  const float *scale = nullptr, *shift = nullptr;
};

/// Whether this processor multiplies tiles of bfloat16 (AMX), and the system lets us.
bool has_tiles();

/// A prepacked convolution with zero padding, as matrix products. In float32 directly, or by Winograd's minimal filtering
/// F(m x m, 3 x 3) with m = 2 or 4, by shape alone; F(4 x 4) needs a quarter of the products and four times the weights' memory.
class Convolution {
 public:
  /// weights [out, in, kernel, kernel], bias [out]; kernel 1 or 3, `stride` 1 or 2. rows and columns of the input. in_channel[i] is
  /// the channel of `weights` that stands at place i of the inputs' blocks one after the other, -1 for none; out_channel likewise.
  /// doubled: every pixel of the input counts twice in both directions, and rows and columns are those of the doubled image.
  struct Shape {
    int kernel = 3, stride = 1, rows = 0, columns = 0;
    bool doubled = false;
    bool bfloat16 = false;  // operands rounded to it, sums in float32; needs has_tiles()
    std::vector<int> in_channel, out_channel;
    int in_channels = 0;  // of `weights`
  };
  Convolution() = default;
  /// To be packed before it runs; `weights` stay until then.
  Convolution(Shape shape, const float* weights, const float* bias);
  /// On the calling thread: several convolutions may pack at a time.
  void pack();

  /// out = convolution of the inputs' channels one after the other [+ residual, which may be `out` itself].
  /// silu: of the scaled and shifted input. moments, unless null, are those of `out`.
  struct Run {
    std::vector<LayerInput> inputs;
    bool silu = false;
    FeatureMap out;
    const float* residual = nullptr;  // in the order of `out`
    Moments* moments = nullptr;
    int images = 1;
  };
  /// The bits do not depend on the number of threads. `scratch` grows as needed and is kept.
  void run(const Run& run, std::vector<Floats>& scratch) const;

  [[nodiscard]] int out_rows() const { return (shape_.rows + shape_.stride - 1) / shape_.stride; }
  [[nodiscard]] int out_columns() const { return (shape_.columns + shape_.stride - 1) / shape_.stride; }
  [[nodiscard]] std::size_t memory() const { return (weights_.size() + bias_.size()) * sizeof(float); }
  /// Multiply-adds in the matrix products of one image, Winograd's transforms left out.
  [[nodiscard]] double products() const;

  // What the kernels read.
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] int in_blocks() const { return static_cast<int>(shape_.in_channel.size()) / kBlock; }
  [[nodiscard]] int out_blocks() const { return static_cast<int>(shape_.out_channel.size()) / kBlock; }
  /// First block of each piece of the output channels, and the end.
  [[nodiscard]] const std::vector<int>& pieces() const { return pieces_; }
  [[nodiscard]] const float* weights() const { return weights_.data(); }
  [[nodiscard]] const float* bias() const { return bias_.data(); }
  /// m of F(m x m, 3 x 3), or 0 without.
  [[nodiscard]] int winograd() const { return winograd_; }
  /// A unit of work: rows and columns of Winograd's tiles, or of output pixels. All pixels are one row of a 1 x 1 convolution.
  struct Chunk {
    int rows, columns;              // of tiles or pixels
    int all_rows, all_columns;      // of the image
    int strip_rows, strip_columns;  // of the input that they need
    int products;                   // rows of a matrix product, filled up
  };
  [[nodiscard]] const Chunk& chunk() const { return chunk_; }
  /// Where the input's blocks of a matrix product lie.
  [[nodiscard]] const std::vector<std::ptrdiff_t>& offsets() const { return offsets_; }

 private:
  void choose_chunk();
  void pack_direct();
  void pack_winograd();
  void pack_tiles();

  Shape shape_;
  const float* source_ = nullptr;  // null once packed
  int winograd_ = 0;
  Chunk chunk_{};
  std::vector<int> pieces_;
  std::vector<std::ptrdiff_t> offsets_;
  Floats weights_, bias_;
};

/// Groups of every norm: 32, or the largest number below that divides the channels.
inline int norm_groups(int channels) {
  int groups = channels < 32 ? channels : 32;
  while (channels % groups != 0) --groups;
  return groups;
}

/// Group normalisation as factors: scale and shift [image][channels, filled up] for each of `parts`, whose channels together
/// are normalised in `groups`:  scale x + shift = gain (weight n + bias) + offset,  n = (x - mean) / sqrt(variance + 1e-5).
///   weight, bias [channels]; gain, offset [image][channels] or both null
struct NormPart {
  const Moments* moments;
  int channels;
  float *scale, *shift;
};
void normalise(const std::vector<NormPart>& parts, int images, int groups, const float* weight, const float* bias, const float* gain,
               const float* offset);

/// softmax(q^T k / sqrt(head_channels)) v of each head. qkv: blocks of q, then k, then v of the first head, then the others';
/// out: blocks of the first head, then the others'.
void attend(const FeatureMap& qkv, const FeatureMap& out, int images, int heads, int head_channels, Floats& keys, std::vector<Floats>& scratch);

/// y[image][o] = bias[o] + sum over i of weights[o][i] x[image][i]
void linear(const float* x, int images, int in, int out, const float* weights, const float* bias, float* y);

/// [images, channels, rows * columns] -> the blocks `first` and following of a map, and back from block 0.
void to_blocks(const float* planes, int images, int channels, const FeatureMap& map, int first);
void from_blocks(const FeatureMap& map, int images, int channels, float* planes);

}  // namespace layeravatar::diffusion
