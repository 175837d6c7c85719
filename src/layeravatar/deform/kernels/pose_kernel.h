// Canonical Gaussians to posed means and covariances, and back (spec/body_and_data.md sections 6.4 and 7).
#pragma once
#include <array>
#include <cstdint>

namespace layeravatar::deform {

inline constexpr std::int64_t kMapSize = 16;  // floats of a map in memory: 12 and four zeros, one cache line

/// Everything constant in one pose. Maps are the rows of 3 x 4 affine matrices.
struct PoseArgs {
  std::int64_t count;          // N
  std::int64_t body_count;     // N_b
  const float* positions;      // [N, 3] canonical, outer layers shifted
  const float* frames;         // [N, 3, 3]
  const float* corrections;    // [N, 3] shape and pose offsets
  const float* node_maps;      // [16, 64, 64, kMapSize] blended bone maps at the weight volume's nodes
  const float* fixed_maps;     // [N_b, kMapSize] blended bone maps of the mesh's own weights
  const std::uint8_t* fixed;   // [N_b] 1: the fixed map holds
  std::array<float, 3> canonical;  // translation of the canonical pose
  std::array<float, 3> centre; // of the weight volume
  float half_size;             // of the weight volume along x and y; z is four times shorter
};

/// What no pose changes about an avatar. Numbers stand in groups of kPoseGroup Gaussians, one line of the group for
/// each: 8 weights of the nodes, 3 coordinates of the point out of the canonical pose, 9 of frame * Rodrigues(rotation),
/// 3 factors (1 + radius) (1, 1, 0.01).
inline constexpr std::int64_t kPoseGroup = 16, kBoundLines = 23, kMapLines = 12;
inline std::int64_t pose_groups(std::int64_t count) { return (count + kPoseGroup - 1) / kPoseGroup; }
struct BoundArrays {
  std::int32_t* nodes;  // [N] the first of the eight nodes; -1: the fixed map holds
  float* lines;         // [groups, kBoundLines, kPoseGroup]
};
void bind_cpu(const PoseArgs& args, const float* offsets, const float* radius, const float* rotation, const BoundArrays& out);

/// Posed means [N, 3] and each Gaussian's map, maps [groups, kMapLines, kPoseGroup].
void pose_means_cpu(const PoseArgs& args, const BoundArrays& bound, float* means, float* maps);

/// covariances [N, 6] of R = map * frame * Rodrigues(rotation), scale = (1 + radius) (e, e, 0.01 e) with e = base[N].
void covariances_cpu(const PoseArgs& args, const BoundArrays& bound, const float* maps, const float* base,
                     float* covariances);

/// out[c] = sum_r factors[r] * matrix[r, c]; rows of factor 0 are not read.
void combine_rows_cpu(const float* factors, std::int64_t rows, const float* matrix, std::int64_t columns, float* out);

/// Gradients of both; the base size is a constant. Overwrites grad_offsets, grad_radius, grad_rotation [N, 3].
void pose_backward_cpu(const PoseArgs& args, const float* offsets, const float* radius, const float* rotation,
                       const float* base, const float* grad_means, const float* grad_covariances, float* grad_offsets,
                       float* grad_radius, float* grad_rotation);

}  // namespace layeravatar::deform
