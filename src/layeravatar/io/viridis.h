// The colour map of the release's false-colour pictures.
#pragma once
#include <span>

#include "layeravatar/io/png.h"

namespace layeravatar::io {

/// An RGBA picture, alpha 255, of `values` [height, width], finite: entry trunc(256 (v - low) / (high - low)) of 256, in float32,
/// as matplotlib 3.6 takes it; values outside get the first or last. Where high = low everything gets the lowest colour.
Image viridis_picture(std::span<const float> values, int width, int height, float low, float high);

}  // namespace layeravatar::io
