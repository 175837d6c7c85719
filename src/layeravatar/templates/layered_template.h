// The layered template: one Gaussian per face of three sub-meshes of the body (spec/body_and_data.md section 5).
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "layeravatar/io/array.h"

namespace layeravatar::templates {

inline constexpr int kLayers = 3;  // body, hair and shoes, bottom and top: three squares side by side

/// N Gaussians in four blocks: body, hair and shoes, bottom, top. Canonical frame: T-pose, metres,
/// body::kCanonicalOffset.
struct LayeredTemplate {
  std::array<std::int64_t, 4> blocks{};  // counts of the four blocks; their sum is N
  std::vector<float> positions;          // [N, 3] face centroids, before the shift of the outer layers
  std::vector<float> frames;             // [N, 3, 3] row-major; the columns are tangent, bitangent, normal
  std::vector<float> uvs;                // [N, 2] u in [layer / 3, (layer + 1) / 3], v in [0, 1]
  std::vector<std::int32_t> labels;      // [N] 1 body, 2 top, 3 hair, 4 shoes, 5 bottom, 0 none
  std::vector<std::int32_t> faces;       // [N, 3] ids of dense vertices
  std::vector<float> shape_dirs;         // [M, 3, 20] at dense vertices: 10 betas, 10 expressions
  std::vector<float> pose_dirs;          // [486, 3 M] column 3 m + k; empty means zeros
  std::vector<float> body_weights;       // [N_b, 55]
  std::vector<std::uint8_t> face_mask, hands_mask, outside_mask, nose_mask;  // [N_b] 1 = inside

  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(labels.size()); }
  [[nodiscard]] std::int64_t body_count() const { return blocks[0]; }
  [[nodiscard]] std::int64_t dense_count() const { return static_cast<std::int64_t>(shape_dirs.size() / 60); }

  /// Positions with the outer layers 1 cm off the skin, along the third column of their frame (section 5.8).
  [[nodiscard]] std::vector<float> shifted_positions() const;
  /// face | hands | outside: body points whose skinning weights are those of the mesh. [N_b]
  [[nodiscard]] std::vector<std::uint8_t> weights_mask() const;
  /// (face | outside) without the nose: body points whose offsets are held back. [N_b]
  [[nodiscard]] std::vector<std::uint8_t> offset_mask() const;
};

/// Under the release's file names without ".npy" (section 5.7), and `blocks`.
io::ArrayMap to_arrays(const LayeredTemplate& t);

/// Checks sizes, indices, labels and finiteness. Where `blocks` is absent it follows from the labels: body first, then
/// all that is neither bottom nor top, then bottom, then top. Throws Error(kInput): "<file>: array 'k': ...".
LayeredTemplate from_arrays(const io::ArrayMap& arrays, const std::string& file);

}  // namespace layeravatar::templates
