// One label for each place of a scan from its pictures' labels: votes of all views, smoothed on the mesh, rendered back.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "layeravatar/geometry/camera.h"

namespace layeravatar::prepare {

struct Surface {
  std::vector<std::array<float, 3>> vertices;  // metres, the frame of the views
  std::vector<std::array<std::int32_t, 3>> triangles;
  std::function<bool(std::size_t triangle, const std::array<float, 3>& barycentric)> hole;  // empty: none; called by several threads
};

struct LabelledView {
  geometry::Camera camera;
  std::vector<std::uint8_t> labels;  // [height * width] 0..5; 0 says nothing
};

struct FuseOptions {
  int smoothing = 2;           // rounds in which each vertex takes half of its neighbours' mean
  int fill = 64;               // rounds in which vertices that no view saw take their neighbours' votes
  float keep = 0.0F;           // 0..1: share of the picture's own label in the answer of its pixel

  /// Throws Error(kConfig) naming field, value and allowed range.
  void check() const;
};

/// The views' labels after voting and smoothing: in each pixel the label with the largest interpolated vote, 0 where no surface is seen
/// or no view knew it. The result does not depend on the number of threads.
/// Throws Error(kInput) for a picture that does not fit its camera.
std::vector<std::vector<std::uint8_t>> fuse_labels(const Surface& surface, std::span<const LabelledView> views, const FuseOptions& options = {});

}  // namespace layeravatar::prepare
