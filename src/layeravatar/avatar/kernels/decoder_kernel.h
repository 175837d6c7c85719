// One branch of the decoder: 7x7 convolution of six channels, normalisation, SiLU, 1x1 heads, and all of it backwards. Plain C++; compiled for three instruction sets, of which the best that the machine has is taken.
#pragma once
#include <cstdint>

namespace layeravatar::avatar {

inline constexpr std::int64_t kConvInputs = 6, kConvSize = 7, kConvBorder = 3, kMostHeads = 16;

/// S images of h x w pixels, C channels after the convolution (a multiple of 4), K heads.
struct BranchShape {
  std::int64_t images, channels, heads, height, width;

  [[nodiscard]] std::int64_t pixels() const { return height * width; }
  /// Padded planes have three more rows above and below, three columns to the left and zeros up to the pitch.
  [[nodiscard]] std::int64_t padded_rows() const { return height + 2 * kConvBorder; }
  [[nodiscard]] std::int64_t pitch() const { return (width + 47) / 48 * 48 + 16; }
  [[nodiscard]] std::int64_t padded_plane() const { return padded_rows() * pitch(); }
};

/// Weights as the forward kernels read them: [C / 4, 6, 7, 7, 4], biases [C].
struct ConvWeights {
  const float* taps;
  const float* bias;
};

/// The whole branch where nothing needs y: the normalisation is folded into the convolution.
struct BranchForward {
  const float* x;              // [S, 6, padded plane], borders zero
  ConvWeights conv;            // folded
  const float* head_weights;   // [K, C]
  const float* head_bias;      // [K]
  std::int64_t sigmoid_heads;  // the first so many end in a sigmoid
  float* out;                  // [S, K, h, w]
};

/// The normalisation of channel c is z = scale[c] y + shift[c].
struct HeadsForward {
  const float* y;              // [S, C, h, w] of the convolution
  const float* scale;          // [C]
  const float* shift;          // [C]
  const float* head_weights;   // [K, C]
  const float* head_bias;      // [K]
  std::int64_t sigmoid_heads;  // the first so many end in a sigmoid
  float* out;                  // [S, K, h, w]
};

struct HeadsBackward {
  const float* y;
  const float* scale;
  const float* shift;
  const float* mean;          // [C]
  const float* inverse;       // [C] 1 / standard deviation
  const float* head_weights;  // [K, C]
  const float* grad_heads;    // [S, K, h, w] with respect to what goes into the sigmoids
  bool batch_statistics;      // mean and inverse depend on y
  bool parameters;            // fill what follows grad_y
  float* grad_y;              // [S, C, padded plane], borders zeroed
  float* grad_gain;           // [C] of the normalisation
  float* grad_bias;           // [C]
  float* grad_conv_bias;      // [C] exactly zero with batch statistics
  float* grad_head_weights;   // [K, C]
  double* sums = nullptr;     // [C, 2] of grad_z and grad_z (y - mean); where wanted, grad_y holds grad_z until normalisation_backward
};

/// Every result is the same for any number of threads.
struct DecoderKernels {
  /// Planes x [S, 6, h, w] into padded ones, [S, 6, padded plane], borders zeroed.
  void (*pad)(const BranchShape&, const float* x, float* padded);
  /// y [S, C, h, w] of the convolution of padded x, behind whose end 128 more numbers are read here and below.
  void (*conv_forward)(const BranchShape&, const float* x, const ConvWeights&, float* y);
  void (*branch_forward)(const BranchShape&, const BranchForward&);
  /// Mean and population variance per channel of y [S, C, h, w].
  void (*statistics)(const BranchShape&, const float* y, float* mean, float* variance);
  /// out = activation(sum over c of head_weights silu(z_c) + head_bias).
  void (*heads_forward)(const BranchShape&, const HeadsForward&);
  void (*heads_backward)(const BranchShape&, const HeadsBackward&);
  /// Its end where sums were wanted, with those [C, 2] of all `count` values that the statistics were taken from.
  void (*normalisation_backward)(const BranchShape&, const HeadsBackward&, const double* sums, double count);
  /// grad_x [S, 6, h, w] of the convolution with weights [C, 6, 7, 7]; `scratch` holds as many numbers as the weights.
  void (*conv_input_gradient)(const BranchShape&, const float* weights, const float* grad_y, float* scratch,
                              float* grad_x);
  /// grad_weights [C, 6, 7, 7] from x [S, 6, padded plane], borders zero.
  void (*conv_weight_gradient)(const BranchShape&, const float* grad_y, const float* x, float* grad_weights);
};

/// The best of this machine, unless held to others.
const DecoderKernels& decoder_kernels();
/// All that this machine can run, plainest first; for tests and benchmarks.
int decoder_kernels_count();
const DecoderKernels& decoder_kernels_at(int index);
/// Holds decoder_kernels() to a set, for tests and benchmarks.
void use_decoder_kernels(int index);

}  // namespace layeravatar::avatar
