// A layered template for any body surface: section 5 of spec/body_and_data.md with the topology's literals left out.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "layeravatar/templates/layered_template.h"

namespace layeravatar::templates {

/// A body in the canonical frame (T-pose, metres, body::kCanonicalOffset added) with an atlas without overlaps.
struct SurfaceInput {
  std::vector<float> vertices;                               // [V, 3]
  std::vector<std::int32_t> triangles;                       // [F, 3]
  std::vector<float> uvs;                                    // [T, 2]
  std::vector<std::int32_t> uv_triangles;                    // [F, 3]
  std::vector<std::uint8_t> visible;                         // [F] 0: never seen, gets no Gaussian
  std::vector<float> shape_dirs;                             // [V, 3, 20]
  std::vector<float> weights;                                // [V, 55]
  std::map<std::string, std::vector<std::int32_t>> regions;  // vertex sets by name
};

/// One sub-mesh: the faces with a corner in one of `regions` whose centroid passes `keep`. A face larger than twice
/// the square of its spacing is divided in four, again and again. A face's region is the first of kRegionOrder that one
/// of its corners is in, or "".
struct SurfacePart {
  int label = 1;
  std::vector<std::string> regions{};                       // empty: all faces
  std::function<bool(const std::array<float, 3>&)> keep{};  // by centroid; may be empty
  std::function<float(const std::string&)> spacing{};       // metres, by region
  std::function<double(const std::string&)> importance{};   // wanted texels per metre, relative; may be empty
  /// The atlas is cut between faces of different number, by region and centroid; may be empty.
  std::function<int(const std::string&, const std::array<float, 3>&)> cut{};
  double smallest_piece = 0.003;    // square metres; what is cut off smaller stays with its island
  bool drop_small_islands = false;  // islands smaller than that get no Gaussians
};

struct SurfaceRules {
  std::vector<SurfacePart> body;        // one part, label 1
  std::vector<SurfacePart> hair_shoes;  // label 3 and 4
  std::vector<SurfacePart> bottom_top;  // label 5, then 2
  double thinning = 0.55;               // of two centroids closer than this times the spacing one goes; 0: none
  double chart_margin = 1.0 / 64;       // of the unit square
};

/// Region names in the order in which they claim a face.
extern const std::vector<std::string> kRegionOrder;

/// Texture triangles of a layer, before any is divided or loses its Gaussian.
struct LayerCharts {
  std::vector<std::array<float, 2>> corners;  // [3 n] in the layer's own unit square
  std::vector<std::int32_t> source;           // [n] surface triangle
};

struct SurfaceTemplate {
  LayeredTemplate layers;
  std::vector<std::int32_t> source;  // [N] surface triangle of each Gaussian
  std::array<LayerCharts, kLayers> charts{};
};

/// Throws Error(kInternal) when the arrays differ in length or a layer's charts do not fit its square.
SurfaceTemplate build_from_surface(const SurfaceInput& input, const SurfaceRules& rules);

}  // namespace layeravatar::templates
