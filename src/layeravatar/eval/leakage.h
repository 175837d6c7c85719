// How far a swapped component changes the others.
#pragma once
#include <torch/types.h>

#include <functional>

#include "layeravatar/avatar/avatar_file.h"
#include "layeravatar/produce/studio.h"

namespace layeravatar::eval {

struct Leakage {
  double psnr = 0;   // before and after a swap, on pixels of the other components; mean over pictures, 0 without any
  int pictures = 0;
};

/// Of `count` people that `person` gives. Dresses person i with the top, bottom, hair and shoes of person i + n/2, one at a time, for at most `pairs` people
/// evenly out of the first half. Front and back in the default viewing pose, of the pack's picture size and the base's
/// shape. A picture with fewer than 100 pixels of other components is left out.
Leakage evaluate_leakage(const produce::Studio& studio, std::size_t count, const std::function<avatar::Avatar(std::size_t)>& person, int pairs);

/// [H, W] bool: neither label image [H, W] uint8 says background or `swapped`.
torch::Tensor untouched_pixels(const torch::Tensor& before, const torch::Tensor& after, int swapped);

}  // namespace layeravatar::eval
