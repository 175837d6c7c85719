// Who lies next to whom in a template: what putting avatars right begins with. No LibTorch.
#pragma once
#include <cstdint>
#include <vector>

#include "layeravatar/templates/layered_template.h"

namespace layeravatar::avatar {

/// Each Gaussian of the outer layers with the nearest one of the body.
struct SkinPairs {
  std::vector<std::int64_t> outer, skin;  // [K] the two of each pair
  std::vector<float> normals;             // [K, 3] of the body's
  std::vector<float> rest;                // [K] distance along the normal, metres
};
/// Without `shoes`, theirs have no pair.
SkinPairs skin_pairs(const templates::LayeredTemplate& layers, bool shoes);

inline constexpr std::int64_t kOfComponent = 8, kOfBody = 4;
/// Of each Gaussian of the outer layers, the 8 nearest of its own component and the 4 nearest of the body.
struct OuterNeighbours {
  std::vector<std::int64_t> outer;       // [K]
  std::vector<std::int64_t> neighbours;  // [K, 12]; a place without a neighbour holds the Gaussian itself
};
OuterNeighbours outer_neighbours(const templates::LayeredTemplate& layers);

/// What produce::Settler needs of a template.
struct NeighbourTables {
  SkinPairs without_shoes;
  OuterNeighbours outer;
};
NeighbourTables neighbour_tables(const templates::LayeredTemplate& layers);

}  // namespace layeravatar::avatar
