// 3D Gaussian Splatting point clouds (.ply), as viewers of 3DGS read them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>

namespace layeravatar::io {

/// N Gaussians; spans of 3N, 3N, N, 3N and 4N floats.
struct SplatCloud {
  std::span<const float> means;      // metres
  std::span<const float> colours;    // linear 0..1, view-independent
  std::span<const float> opacities;  // 0..1
  std::span<const float> scales;     // standard deviations along the own axes, metres
  std::span<const float> rotations;  // unit quaternions w x y z
};

/// Binary little-endian with the properties x y z nx ny nz f_dc_0..2 opacity scale_0..2 rot_0..3: colours as
/// (c - 0.5) / 0.28209479, opacities as logits (clamped to [1e-6, 1 - 1e-6]), scales as logarithms (at least 1e-9 m).
/// Throws Error(kInternal) when the sizes differ, Error(kOutput) when the file cannot be written.
void write_splat_ply(const std::filesystem::path& path, const SplatCloud& cloud);

}  // namespace layeravatar::io
