// One label for each place of a scan from its pictures' labels: votes of all views, smoothed on the mesh, rendered back.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "layeravatar/geometry/camera.h"

namespace layeravatar::prepare {

struct LabelledView {
  geometry::Camera camera;
  std::vector<std::uint8_t> labels;  // [height * width] 0..5; 0 says nothing
};

struct FuseOptions {
  int smoothing = 4;           // rounds in which each vertex takes half of its neighbours' mean
  int fill = 64;               // rounds in which vertices that no view saw take their neighbours' votes
  float keep = 0.0F;           // 0..1: share of the picture's own label in the answer of its pixel

  /// Throws Error(kConfig) naming field, value and allowed range.
  void check() const;
};

/// Votes per vertex [V] of the labels 1..5: each pixel gives its label to the corners of the triangle that it sees, by the barycentric
/// weights times the cosine between face and ray, so that grazing views count little. Normalised to a sum of 1; zeros where nobody
/// voted. Throws Error(kInput) for a picture that does not fit its camera.
using Votes = std::vector<std::array<float, 5>>;
Votes vote(std::span<const std::array<float, 3>> vertices, std::span<const std::array<std::int32_t, 3>> triangles,
           std::span<const LabelledView> views);

/// The views' labels after voting and smoothing: in each pixel the label with the largest interpolated vote, 0 where no surface is seen
/// or no view knew it. The result does not depend on the number of threads.
std::vector<std::vector<std::uint8_t>> fuse_labels(std::span<const std::array<float, 3>> vertices,
                                                   std::span<const std::array<std::int32_t, 3>> triangles,
                                                   std::span<const LabelledView> views, const FuseOptions& options = {});

}  // namespace layeravatar::prepare
