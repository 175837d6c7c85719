// Canonical Gaussians to posed means and covariances, and back (spec/body_and_data.md sections 6.4 and 7).
#pragma once
#include <array>
#include <cstdint>

namespace layeravatar::deform {

/// Everything constant in one pose. Matrices are rows of a 3 x 4 affine map, 12 floats.
struct PoseArgs {
  std::int64_t count;          // N
  std::int64_t body_count;     // N_b
  const float* positions;      // [N, 3] canonical, outer layers shifted
  const float* frames;         // [N, 3, 3]
  const float* corrections;    // [N, 3] shape and pose offsets
  const float* node_maps;      // [16, 64, 64, 12] blended bone maps at the weight volume's nodes
  const float* fixed_maps;     // [N_b, 12] blended bone maps of the mesh's own weights
  const std::uint8_t* fixed;   // [N_b] 1: the fixed map holds
  std::array<float, 3> canonical;  // translation of the canonical pose
  std::array<float, 3> centre; // of the weight volume
  float half_size;             // of the weight volume along x and y; z is four times shorter
};

/// Posed means and the upper-left 3 x 3 of each Gaussian's map.  offsets [N, 3], means [N, 3], maps [N, 12]
void pose_means_cpu(const PoseArgs& args, const float* offsets, float* means, float* maps);

/// covariances [N, 6] of R = map * frame * Rodrigues(rotation), scale = (1 + radius) (e, e, 0.01 e) with e = base[N].
void covariances_cpu(const PoseArgs& args, const float* maps, const float* radius, const float* rotation,
                     const float* base, float* covariances);

/// Gradients of both; the base size is a constant. Overwrites grad_offsets, grad_radius, grad_rotation [N, 3].
void pose_backward_cpu(const PoseArgs& args, const float* offsets, const float* radius, const float* rotation,
                       const float* base, const float* grad_means, const float* grad_covariances, float* grad_offsets,
                       float* grad_radius, float* grad_rotation);

}  // namespace layeravatar::deform
