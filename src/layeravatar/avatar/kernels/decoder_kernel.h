// One branch of the decoder: 7x7 convolution of six channels, normalisation, SiLU, 1x1 heads, and all of it backwards. Plain C++; compiled for three instruction sets, of which the best that the machine has is taken.
#pragma once
#include <cstdint>

namespace layeravatar::avatar {

inline constexpr std::int64_t kConvInputs = 6, kConvSize = 7, kConvBorder = 3, kMostHeads = 16;
/// The convolution is a fast FIR algorithm, in rows and in columns. With the padded line x, its even numbers E[m] = x[2 m] and odd ones O[m] = x[2 m + 1],
/// the taps h0[j] = h[2 j] (four) and h1[j] = h[2 j + 1] (three), and * for sum over j of taps[j] line[m + j]:
///   S = (h0 + h1) * O,  A = h0 * (E - O),  B = h1 * (E[m + 1] - O)
///   y[2 m] = h0 * E + h1 * O = S + A,  y[2 m + 1] = h0 * O + h1 * E[m + 1] = S + B
/// so 11 multiplications take the place of 14, and of both directions 121 that of 196. In y[2 m] the terms h0[3] O[m + 3] of S and A cancel, but for rounding. Down
/// the columns they are left out: S has three taps, A ends in h0[3] E[m + 3] and B in h0[3] O[m + 3]. Then the convolution of zeros is exactly zero whatever lies
/// beyond its 7 x 7 numbers: planes that no head reads have no gradient. Product 3 r + c has kind r in rows and c in columns, 0 for S, 1 for A and 2 for B; its taps
/// begin at kFirstTap. Product planes are [O, E - O, E[m + 1] - O, E] in rows, [O, E - O, E[m + 1] - O] in columns.
inline constexpr std::int64_t kProducts = 9, kProductTaps = 121, kProductPlanes = 12;
inline constexpr std::int64_t kFirstTap[kProducts + 1] = {0, 12, 24, 33, 49, 65, 77, 93, 109, kProductTaps};
/// Numbers behind the end of split planes: the last row's border of zeros, written with the planes, and more that is read though nothing depends on it.
inline constexpr std::int64_t kReadBeyond = 128;

/// S images of h x w pixels, C channels after the convolution (a multiple of 4), K heads.
/// Split planes are four phases [row parity, column parity, half height, pitch], whose rows begin kEdge numbers in.
struct BranchShape {
  std::int64_t images, channels, heads, height, width;
  static constexpr std::int64_t kEdge = 16;

  [[nodiscard]] std::int64_t pixels() const { return height * width; }
  [[nodiscard]] std::int64_t half_height() const { return (height + 1) / 2; }
  [[nodiscard]] std::int64_t half_width() const { return (width + 1) / 2; }
  /// Rows and columns of a phase.
  [[nodiscard]] std::int64_t rows(std::int64_t parity) const { return (height + 1 - parity) / 2; }
  [[nodiscard]] std::int64_t columns(std::int64_t parity) const { return (width + 1 - parity) / 2; }
  [[nodiscard]] std::int64_t pitch() const { return (half_width() + 15) / 16 * 16 + kEdge; }
  [[nodiscard]] std::int64_t phase() const { return half_height() * pitch(); }
  [[nodiscard]] std::int64_t split_plane() const { return 4 * phase(); }
  /// What a product reads of one input.
  [[nodiscard]] std::int64_t product_plane() const { return (half_height() + 3) * pitch(); }
};

/// Taps as split_taps makes them, [C / 4, 9 products, 6, rows, columns, 4], biases [C].
struct ConvWeights {
  const float* taps;
  const float* bias;
};

/// The whole branch where nothing needs y: the normalisation is folded into the convolution.
struct BranchForward {
  const float* x;              // [S, 6, 12, product plane]
  ConvWeights conv;            // folded
  const float* head_weights;   // [K, C]
  const float* head_bias;      // [K]
  std::int64_t sigmoid_heads;  // the first so many end in a sigmoid
  float* out;                  // [S, K, h, w]
};

/// The normalisation of channel c is z = scale[c] y + shift[c].
struct HeadsForward {
  const float* y;              // [S, C, split plane] of the convolution
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
  const float* grad_heads;    // [S, 4 phases, half height, K, pitch] with respect to what goes into the sigmoids, zero outside the image
  bool batch_statistics;      // mean and inverse depend on y
  bool parameters;            // fill what follows grad_y
  float* grad_y;              // [S, C, split plane] and kReadBeyond more, zeroed outside the image
  float* grad_gain;           // [C] of the normalisation
  float* grad_bias;           // [C]
  float* grad_conv_bias;      // [C] exactly zero with batch statistics
  float* grad_head_weights;   // [K, C]
  double* sums = nullptr;     // [C, 2] of grad_z and grad_z (y - mean); where wanted, grad_y holds grad_z until normalisation_backward
};

/// Every result is the same for any number of threads.
struct DecoderKernels {
  /// Planes x [S, 6, h, w] into what the products read, [S, 6, 12, product plane], and weights [C, 6, 7, 7] into their taps.
  void (*split_input)(const BranchShape&, const float* x, float* split);
  void (*split_taps)(const BranchShape&, const float* weights, float* taps);
  /// Heads [S, K, h, w] into phases whose rows lie beside each other, [S, 4, half height, K, pitch], zero outside the image.
  void (*split_heads)(const BranchShape&, const float* heads, float* split);
  /// y [S, C, split plane] of the convolution of split x.
  void (*conv_forward)(const BranchShape&, const float* x, const ConvWeights&, float* y);
  void (*branch_forward)(const BranchShape&, const BranchForward&);
  /// Mean and population variance per channel of y [S, C, split plane].
  void (*statistics)(const BranchShape&, const float* y, float* mean, float* variance);
  /// out = activation(sum over c of head_weights silu(z_c) + head_bias).
  void (*heads_forward)(const BranchShape&, const HeadsForward&);
  void (*heads_backward)(const BranchShape&, const HeadsBackward&);
  /// Its end where sums were wanted, with those [C, 2] of all `count` values that the statistics were taken from.
  void (*normalisation_backward)(const BranchShape&, const HeadsBackward&, const double* sums, double count);
  /// grad_x [S, 6, h, w] of the convolution with weights [C, 6, 7, 7]; `scratch` holds [C, 6, kProductTaps] numbers.
  void (*conv_input_gradient)(const BranchShape&, const float* weights, const float* grad_y, float* scratch,
                              float* grad_x);
  /// grad_weights [C, 6, 7, 7] from split x.
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
