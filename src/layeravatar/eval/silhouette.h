// Whether generated avatars are in one piece and without holes.
#pragma once
#include <torch/types.h>

#include <vector>

#include "layeravatar/avatar/avatar_file.h"
#include "layeravatar/produce/studio.h"

namespace layeravatar::eval {

struct Silhouettes {
  double one_piece_share = 0;     // of the pictures
  std::int64_t largest_hole = 0;  // over all pictures: side of a square, pixels
};

/// Each avatar of its own shape in the default viewing pose, 12 pictures of 256 pixels from around.
Silhouettes evaluate_silhouettes(const produce::Studio& studio, const std::vector<avatar::Avatar>& avatars);

struct Silhouette {
  std::int64_t pieces = 0;  // of 4 pixels or more
  std::int64_t hole = 0;    // side of the largest square that fits into the holes, pixels
};

/// From a picture's alpha [H, W], where 1/2 is covered, and the alpha of its inner body drawn opaque. What is not
/// covered in front of the inner body (0.9) is a hole; gaps between the limbs are none.
Silhouette silhouette_of(const torch::Tensor& alpha, const torch::Tensor& inner_alpha);

/// Pixels in each 8-connected piece of a mask [H, W], in the order of the pieces' first pixels.
std::vector<std::int64_t> piece_sizes(const torch::Tensor& mask);

/// Side of the largest upright square inside a mask [H, W], pixels.
std::int64_t largest_square(const torch::Tensor& mask);

}  // namespace layeravatar::eval
