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
  std::vector<float> vertices;            // [V, 3]
  std::vector<std::int32_t> triangles;    // [F, 3]
  std::vector<float> uvs;                 // [T, 2]
  std::vector<std::int32_t> uv_triangles; // [F, 3]
  std::vector<std::uint8_t> visible;      // [F] 0: never seen, gets no Gaussian
  std::vector<float> shape_dirs;          // [V, 3, 20]
  std::vector<float> weights;             // [V, 55]
  std::map<std::string, std::vector<std::int32_t>> regions;  // vertex sets by name
};

/// One sub-mesh: the faces with a corner in one of `regions` whose centroid passes `keep`. A face larger than twice
/// the square of its spacing is divided in four, again and again.
struct SurfacePart {
  int label = 1;
  std::vector<std::string> regions;                              // empty: all faces
  std::function<bool(const std::array<float, 3>&)> keep;         // may be empty
  std::function<float(const std::string&)> spacing;              // metres, by the face's first region in kRegionOrder
  std::function<double(const std::string&)> importance;          // texture scale of the face's chart class; may be empty
};

struct SurfaceRules {
  std::vector<SurfacePart> body;       // one part, label 1
  std::vector<SurfacePart> hair_shoes; // label 3 and 4
  std::vector<SurfacePart> bottom_top; // label 5, then 2
  std::vector<std::string> thinned;    // regions in which of two small triangles of a quad only one stays
  double thin_spacing = 0.004;         // metres: what is small
  double chart_margin = 1.0 / 64;      // of the unit square
};

/// Region names in the order in which they claim a face.
extern const std::vector<std::string> kRegionOrder;

LayeredTemplate build_from_surface(const SurfaceInput& input, const SurfaceRules& rules);

}  // namespace layeravatar::templates
