#include "layeravatar/people/garment.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/people/three_json.h"

namespace layeravatar::people {
namespace {
using namespace three_json;

constexpr float kLowerHeight = 0.55F;  // of the body: below is a bottom
constexpr float kSplitSpan = 0.7F;     // a piece longer than this holds a top and a bottom

const std::array<std::array<std::int32_t, 2>, 3> kTorso{{{5399, 11998}, {791, 881}, {962, 5320}}};
const std::array<std::array<std::int32_t, 2>, 3> kFoot{{{12839, 12860}, {12828, 12888}, {11609, 12442}}};
const OffsetScale kFemale{kTorso, {1.3980F, 2.2048F, 1.8461F}};
const OffsetScale kMale{kTorso, {1.4340F, 2.4098F, 2.0001F}};
const OffsetScale kNeutral{kTorso, {1.4800F, 2.3298F, 1.9221F}};
const OffsetScale kShoes{kFoot, {0.7045F, 0.5875F, 2.5390F}};

std::map<std::string, OffsetScale> all_scales() {
  std::map<std::string, OffsetScale> out;
  for (const char* name : {"female_casualsuit01", "female_casualsuit02", "female_elegantsuit01", "female_sportsuit01",
                           "bob01", "bob02", "Braid01", "long01", "ponytail01", "short03"})
    out.emplace(name, kFemale);
  for (const char* name : {"male_casualsuit01", "male_casualsuit02", "male_casualsuit03", "male_casualsuit04",
                           "male_casualsuit05", "male_casualsuit06", "male_elegantsuit01", "short02"})
    out.emplace(name, kMale);
  for (const char* name : {"short04", "fedora", "fedora_cocked", "Eyelashes01"}) out.emplace(name, kNeutral);
  out.emplace("short01", OffsetScale{kTorso, {1.6682F, 2.8351F, 2.3542F}});
  for (const char* name : {"afro01", "Low-Poly"}) out.emplace(name, OffsetScale{kTorso, {1.7412F, 2.7409F, 2.2613F}});
  for (int i = 1; i <= 6; ++i) out.emplace(fmt::format("shoes{:02d}", i), kShoes);
  for (int i = 1; i <= 12; ++i) out.emplace(fmt::format("eyebrow{:03d}", i), OffsetScale{kTorso, {1.4160F, 2.3073F, 1.9231F}});
  return out;
}

template <class T, std::size_t N>
std::vector<std::array<T, N>> rows(const json& value, const char* key, const std::string& file) {
  if (!value.is_array()) reject(file, fmt::format("'{}' is missing", key));
  std::vector<std::array<T, N>> out;
  out.reserve(value.size());
  for (const auto& row : value) {
    const auto list = numbers<T>(row, key, file, 1);
    if (list.size() != N) reject(file, fmt::format("'{}': expected {} numbers a row, found {}", key, N, list.size()));
    std::array<T, N> entry;
    std::copy(list.begin(), list.end(), entry.begin());
    out.push_back(entry);
  }
  return out;
}

/// Groups of quads that share a corner id, numbered from 0 in order of first quad.
std::vector<std::size_t> connected(const std::vector<std::array<std::int32_t, 4>>& quads, std::size_t corners) {
  std::vector<std::size_t> root(corners);
  std::iota(root.begin(), root.end(), 0);
  const auto find = [&](std::size_t i) {
    while (root[i] != i) i = root[i] = root[root[i]];
    return i;
  };
  for (const auto& quad : quads)
    for (const auto id : quad) root[find(static_cast<std::size_t>(id))] = find(static_cast<std::size_t>(quad[0]));
  std::map<std::size_t, std::size_t> number;
  std::vector<std::size_t> out;
  for (const auto& quad : quads)
    out.push_back(number.emplace(find(static_cast<std::size_t>(quad[0])), number.size()).first->second);
  return out;
}

struct Extent {
  double sum = 0, count = 0;
  float low = 1e9F, high = -1e9F;
};
}  // namespace

OffsetScale offset_scale(const std::string& asset) {
  static const auto kScales = all_scales();
  const auto at = kScales.find(asset);
  if (at == kScales.end())
    throw Error(ErrorKind::kInput, asset + ": not one of the proven CC0 assets; expected one of spec/cc0_people.md 1.5");
  return at->second;
}

Garment parse_garment(const std::string& json_text, const std::string& name, const std::string& file,
                      std::int64_t base_vertices) {
  const json root = parse_json(json_text, file);
  const json& metadata = member(root, "metadata");
  Garment g;
  g.name = name;
  g.base_vertices = rows<std::int32_t, 3>(member(metadata, "ref_vIdxs"), "ref_vIdxs", file);
  g.base_weights = rows<float, 3>(member(metadata, "weights"), "weights", file);
  g.offsets = rows<float, 3>(member(metadata, "offsets"), "offsets", file);
  const std::size_t count = g.base_vertices.size();
  if (g.base_weights.size() != count || g.offsets.size() != count)
    reject(file, fmt::format("'weights' and 'offsets': expected {} rows, found {} and {}", count, g.base_weights.size(),
                             g.offsets.size()));
  for (std::size_t v = 0; v < count; ++v) {
    for (const auto id : g.base_vertices[v]) check_index(id, static_cast<std::size_t>(base_vertices), "ref_vIdxs", file);
    const auto& w = g.base_weights[v];
    if (std::abs(w[0] + w[1] + w[2] - 1) > 1e-2F) reject(file, fmt::format("'weights': row {} does not sum to 1", v));
  }
  g.uvs = first_uv_set(root, file);
  const json& materials = member(root, "materials");
  if (!materials.is_array() || materials.empty()) reject(file, "'materials' is missing");
  for (const auto& material : materials)
    if (const auto& map = member(material, "mapDiffuse"); map.is_string()) g.diffuse.push_back(map.get<std::string>());
  Quads quads = read_quads(root, count, g.uvs.size(), materials.size(), file);
  g.quads = std::move(quads.vertices);
  g.quad_uvs = std::move(quads.uvs);
  g.hides = numbers<std::uint8_t>(member(metadata, "deleteVerts"), "deleteVerts", file, 1);
  if (g.hides.size() != static_cast<std::size_t>(base_vertices))
    reject(file, fmt::format("'deleteVerts': expected {} numbers, found {}", base_vertices, g.hides.size()));
  if (const auto& depth = member(metadata, "z_depth"); depth.is_number()) g.z_depth = depth.get<double>();
  return g;
}

Garment read_garment(const std::filesystem::path& folder, std::int64_t base_vertices) {
  const std::string name = folder.filename().string();
  const auto file = folder / (name + ".json");
  return parse_garment(read_file(file), name, file.string(), base_vertices);
}

std::vector<Point> fit(const Garment& garment, const OffsetScale& scale, const std::vector<Point>& base) {
  Point factor;
  for (std::size_t k = 0; k < 3; ++k) {
    const auto [a, b] = scale.vertices[k];
    LAV_CHECK(static_cast<std::size_t>(std::max(a, b)) < base.size(), "scale vertices lie outside the base mesh");
    factor[k] = std::abs(base[static_cast<std::size_t>(a)][k] - base[static_cast<std::size_t>(b)][k]) /
                scale.denominator[k];
  }
  std::vector<Point> out(garment.base_vertices.size());
  for (std::size_t v = 0; v < out.size(); ++v)
    for (std::size_t k = 0; k < 3; ++k) {
      out[v][k] = factor[k] * garment.offsets[v][k];
      for (std::size_t i = 0; i < 3; ++i)
        out[v][k] += garment.base_weights[v][i] * base[static_cast<std::size_t>(garment.base_vertices[v][i])][k];
    }
  return out;
}

std::vector<Label> label_suit(const Garment& suit, const std::vector<Point>& rest, float low, float high) {
  LAV_CHECK(rest.size() == suit.base_vertices.size() && high > low, "fitted vertices of this suit are needed");
  // Mean height over the distinct corners of each piece, as a fraction of the body's.
  const auto extents = [&](const std::vector<std::size_t>& piece_of) {
    std::map<std::size_t, std::set<std::int32_t>> corners;
    for (std::size_t q = 0; q < suit.quads.size(); ++q)
      corners[piece_of[q]].insert(suit.quads[q].begin(), suit.quads[q].end());
    std::map<std::size_t, Extent> out;
    for (const auto& [piece, ids] : corners)
      for (const auto id : ids) {
        const float y = (rest[static_cast<std::size_t>(id)][1] - low) / (high - low);
        auto& e = out[piece];
        e.sum += y;
        e.count += 1;
        e.low = std::min(e.low, y);
        e.high = std::max(e.high, y);
      }
    return out;
  };
  auto piece_of = connected(suit.quads, rest.size());
  const auto islands = connected(suit.quad_uvs, suit.uvs.size());
  const auto whole = extents(piece_of);
  for (std::size_t q = 0; q < piece_of.size(); ++q)
    if (const auto& e = whole.at(piece_of[q]); e.high - e.low > kSplitSpan) piece_of[q] = suit.quads.size() + islands[q];
  const auto pieces = extents(piece_of);
  std::vector<Label> labels;
  for (const auto piece : piece_of) {
    const auto& e = pieces.at(piece);
    labels.push_back(e.sum / e.count < kLowerHeight ? Label::kBottom : Label::kTop);
  }
  return labels;
}

Visibility resolve_visibility(const std::vector<const Garment*>& layers, std::int64_t base_vertices) {
  Visibility out;
  out.quads.resize(layers.size());
  out.hidden_base.assign(static_cast<std::size_t>(base_vertices), 0);
  std::vector<std::size_t> order(layers.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return layers[a]->z_depth > layers[b]->z_depth; });
  for (const auto layer : order) {
    const Garment& g = *layers[layer];
    const auto visible = [&](std::int32_t vertex) {
      const auto& refs = g.base_vertices[static_cast<std::size_t>(vertex)];
      return std::any_of(refs.begin(), refs.end(),
                         [&](std::int32_t id) { return out.hidden_base[static_cast<std::size_t>(id)] == 0; });
    };
    for (const auto& quad : g.quads) out.quads[layer].push_back(std::any_of(quad.begin(), quad.end(), visible) ? 1 : 0);
    for (std::size_t i = 0; i < out.hidden_base.size(); ++i)
      if (g.hides[i] != 0) out.hidden_base[i] = 1;
  }
  return out;
}

}  // namespace layeravatar::people
