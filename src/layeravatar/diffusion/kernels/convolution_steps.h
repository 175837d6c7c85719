// What packing and running a convolution share.
// Winograd's minimal filtering F(m x m, 3 x 3): Y = A' [(G g G') * (B' d B)] A with the points 0, +-a, +-b and infinity (m = 4) or 0, +-1
// and infinity (m = 2). Error of F(4 x 4) in float32 is least near a = 0.6, b = 1.5 (the usual 1 and 2 lose 2 bits more).
#pragma once
#include "layeravatar/diffusion/kernels/unet_layers.h"

namespace layeravatar::diffusion {

inline constexpr double kPointA = 0.625, kPointB = 1.5;
inline constexpr int kWinogradBlocks = 4;  // blocks of input channels that are transformed at a time

/// Blocks of output channels that a matrix product of float32 takes at a time on this processor, at most kPieceBlocks: a piece's weights follow each other
/// as its product reads them.
int piece_blocks();

/// From one place of all tiles to the next: one cache line more than they need, so that a tile's places lie in different sets.
inline std::ptrdiff_t place_stride(int blocks, std::ptrdiff_t block_size) { return blocks * block_size + kBlock; }

/// One unit of work: a chunk of an image, and some of the output's pieces.
struct ConvolutionWork {
  const Convolution& conv;
  const Convolution::Run& run;
  int image, chunk, first_piece, last_piece;
  float* scratch;
};

inline constexpr int kTileRows = 16;  // of AMX's tiles; a row holds kTileRows float32 or twice as many bfloat16

/// One or two tiles of rows times one or two of columns. A row of the left operand has 2 * kTileRows bfloat16 at offsets[k] after
/// its start, left_row bytes from row to row; the right operand's tiles lie one after the other for each k, pairs of its rows
/// side by side; rows of the results follow each other.
struct TileProduct {
  const std::uint16_t* left[2];
  std::ptrdiff_t left_row;
  const std::ptrdiff_t* offsets;
  int depth, lefts, rights;
  const std::uint16_t* right;
  float* result[2][2];
};
/// A thread calls it between taking and releasing the tiles.
void multiply_tiles(const TileProduct& product);
void take_tiles();
void release_tiles();

}  // namespace layeravatar::diffusion
