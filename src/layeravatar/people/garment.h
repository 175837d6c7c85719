// Garments, hair and shoes that are fitted to a morphed body (spec/cc0_people.md sections 1.4 and 4).
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/people/human_assets.h"

namespace layeravatar::people {

/// Labels of this project (spec/body_and_data.md section 1).
enum class Label : std::int32_t { kNone = 0, kBody = 1, kTop = 2, kHair = 3, kShoes = 4, kBottom = 5 };

/// Per axis: the two base vertices whose distance scales the offsets, and the distance on the authoring body, dm.
struct OffsetScale {
  std::array<std::array<std::int32_t, 2>, 3> vertices;
  std::array<float, 3> denominator;
};

/// Trap D: the scales that the npm conversion lost, by asset name (female_casualsuit01, short02, shoes03, ...).
/// Throws Error(kInput) for a name outside the CC0 allow-list, male_worksuit01 included.
OffsetScale offset_scale(const std::string& asset);

struct Garment {
  std::string name;
  std::vector<std::array<std::int32_t, 3>> base_vertices;  // [V] ids on the base mesh
  std::vector<Point> base_weights;                         // [V] sum 1, may be negative
  std::vector<Point> offsets;                              // [V] dm
  std::vector<std::array<float, 2>> uvs;
  std::vector<std::array<std::int32_t, 4>> quads, quad_uvs;
  std::vector<std::uint8_t> hides;                         // [base vertices] 1: the body is hidden there
  double z_depth = 0;                                      // higher is farther outside
  std::vector<std::string> diffuse;                        // texture variants, relative to the asset's folder
};

/// Reads <folder>/<name>.json; `base_vertices` bounds its references.
Garment read_garment(const std::filesystem::path& folder, std::int64_t base_vertices);
Garment parse_garment(const std::string& json_text, const std::string& name, const std::string& file,
                      std::int64_t base_vertices);

/// Vertices on the body `base`: sum_k w_k v[ref_k] + scale * offset.
std::vector<Point> fit(const Garment& garment, const OffsetScale& scale, const std::vector<Point>& base);

/// One label per quad of a suit: vertex-connected pieces are bottom below 55 % of the body's height, else top; a
/// piece that spans more than 70 % of it is split by texture islands. `rest` are fitted vertices, `low` and `high`
/// the sole and crown of that body.
std::vector<Label> label_suit(const Garment& suit, const std::vector<Point>& rest, float low, float high);

/// Which quads of each layer stay visible. `layers` in any order; the body itself is hidden by the returned mask of
/// base vertices (1: hidden). A quad is drawn if any of its vertices is visible.
struct Visibility {
  std::vector<std::vector<std::uint8_t>> quads;  // [layers][quads], 1: draw
  std::vector<std::uint8_t> hidden_base;         // [base vertices]
};
Visibility resolve_visibility(const std::vector<const Garment*>& layers, std::int64_t base_vertices);

}  // namespace layeravatar::people
