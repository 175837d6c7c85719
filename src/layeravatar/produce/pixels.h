// Pictures for people: eight bits from floats.
#pragma once
#include <torch/types.h>

#include <vector>

#include "layeravatar/io/png.h"

namespace layeravatar::produce {

/// Pictures side by side, each [C, H, W] float32 with the same C and H: components on 0..1, eight bits by rounding, halves to even.
/// C is 1 or 3; `opaque` adds an alpha channel of 255 to colours.
io::Image picture_row(const std::vector<torch::Tensor>& pictures, bool opaque = false);
/// One picture [3, H, W].
io::Image picture(const torch::Tensor& rgb);

}  // namespace layeravatar::produce
