// A random clothed adult: what it wears, and its mesh with one label per triangle (spec/cc0_people.md section 4).
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/people/garment.h"
#include "layeravatar/people/macro_model.h"

namespace layeravatar::people {

/// Asset names of the CC0 allow-list. Top and bottom name the suit that they are taken from; sexes may be mixed.
struct PersonChoice {
  MacroParams shape;
  std::string hair, top, bottom, shoes;
};

/// The same seed gives the same person on every platform. Stature is drawn as N(0.5, 0.1) (Trap C).
PersonChoice sample_person(std::uint64_t seed);

/// Triangles on one vertex array; each part keeps its own texture space.
struct LabelledMesh {
  struct Part {
    std::string asset;  // "body" or an asset's name
    std::size_t first_triangle = 0, triangle_count = 0;
  };
  std::vector<Point> vertices;                           // dm, rest pose
  std::vector<std::array<float, 2>> uvs;                 // v up
  std::vector<std::array<std::int32_t, 3>> triangles;    // vertex ids
  std::vector<std::array<std::int32_t, 3>> uv_triangles; // uv ids
  std::vector<Label> labels;                             // [triangles]
  std::vector<Part> parts;
};

/// The quads of a suit with one label, and the hidden base vertices that lie nearest to them on `base`: a garment
/// that is mixed with another suit's hides the body only under itself.
Garment take_part(const Garment& suit, const std::vector<Label>& labels, Label wanted, const std::vector<Point>& fitted,
                  const std::vector<Point>& base);

/// Dresses one body. `package` is the unpacked npm package; throws Error(kInput) for a name off the allow-list.
LabelledMesh build_person(const HumanAssets& assets, const std::filesystem::path& package, const PersonChoice& choice);

}  // namespace layeravatar::people
