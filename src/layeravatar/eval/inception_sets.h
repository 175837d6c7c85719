// Pictures as StyleGAN's Inception network takes them, and what the release keeps of the real ones (spec/model.md sections 11.1 to 11.3).
#pragma once
#include <torch/types.h>

#include <filesystem>

#include "layeravatar/splat/render.h"

namespace layeravatar::eval {

/// An image [3, H, W] of 0..1 as uint8: clamped and rounded to k / 255, of which the release's way to bytes, trunc(127.5 (2 k / 255 - 1) + 128), makes k.
torch::Tensor byte_picture(const torch::Tensor& image);
/// The release's file of six panels side by side, [3, H, 6 W] uint8: full, body, top, hair, shoes, bottom.
torch::Tensor panel_strip(const splat::RenderOutputs& outputs);

struct RealStatistics {
  torch::Tensor features;    // [n, D] float32; undefined where the file has none
  torch::Tensor mean;        // [D] float64
  torch::Tensor covariance;  // [D, D] float64
};

/// The release's pickle: a dict of feats_np, mean, cov. Throws Error(kInput) naming the file and what is missing or of a wrong shape.
RealStatistics read_statistics_pickle(const std::filesystem::path& file);

}  // namespace layeravatar::eval
