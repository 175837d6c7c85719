#include "layeravatar/people/person.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "layeravatar/core/error.h"
#include "layeravatar/people/draw.h"

namespace layeravatar::people {
namespace {
constexpr const char* kSuits[] = {"female_casualsuit01", "female_casualsuit02", "female_elegantsuit01",
                                  "female_sportsuit01",  "male_casualsuit01",   "male_casualsuit02",
                                  "male_casualsuit03",   "male_casualsuit04",   "male_casualsuit05",
                                  "male_casualsuit06",   "male_elegantsuit01"};
constexpr const char* kShoes[] = {"shoes01", "shoes02", "shoes03", "shoes04", "shoes05", "shoes06"};
constexpr const char* kLongHair[] = {"afro01", "bob01", "bob02", "Braid01", "long01", "ponytail01"};
constexpr const char* kShortHair[] = {"afro01", "short01", "short02", "short03", "short04"};

float squared_distance(const Point& a, const Point& b) {
  const float x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
  return x * x + y * y + z * z;
}

/// Appends two triangles a quad, where `draw` allows it.
template <class LabelOf, class Keep>
void append(LabelledMesh& mesh, const std::string& asset, const std::vector<Point>& vertices,
            const std::vector<std::array<float, 2>>& uvs, const std::vector<std::array<std::int32_t, 4>>& quads,
            const std::vector<std::array<std::int32_t, 4>>& quad_uvs, LabelOf label_of, Keep keep) {
  const auto v0 = static_cast<std::int32_t>(mesh.vertices.size()), t0 = static_cast<std::int32_t>(mesh.uvs.size());
  LabelledMesh::Part part{asset, mesh.triangles.size(), 0};
  mesh.vertices.insert(mesh.vertices.end(), vertices.begin(), vertices.end());
  mesh.uvs.insert(mesh.uvs.end(), uvs.begin(), uvs.end());
  for (std::size_t q = 0; q < quads.size(); ++q) {
    if (!keep(q)) continue;
    const auto& v = quads[q];
    const auto& t = quad_uvs[q];
    for (const std::size_t k : {1, 2}) {  // (0,1,2), (0,2,3)
      mesh.triangles.push_back({v0 + v[0], v0 + v[k], v0 + v[k + 1]});
      mesh.uv_triangles.push_back({t0 + t[0], t0 + t[k], t0 + t[k + 1]});
      mesh.labels.push_back(label_of(q));
    }
  }
  part.triangle_count = mesh.triangles.size() - part.first_triangle;
  mesh.parts.push_back(std::move(part));
}
}  // namespace

PersonChoice sample_person(std::uint64_t seed) {
  Draw draw(seed);
  PersonChoice p;
  p.shape.gender = draw.uniform(0, 1) < 0.5 ? draw.uniform(0, 0.2) : draw.uniform(0.8, 1);
  p.shape.age = draw.uniform(0.5, 0.9);
  p.shape.muscle = draw.normal(0.5, 0.15);
  p.shape.weight = draw.normal(0.5, 0.15);
  p.shape.height = draw.normal(0.5, 0.1);
  p.shape.cup = draw.normal(0.5, 0.15);
  p.shape.firmness = draw.normal(0.5, 0.15);
  p.shape.proportions = draw.normal(0.5, 0.15);
  for (double& share : p.shape.race) share = -std::log(1 - draw.uniform(0, 1));
  // What is usual among women and men, with exceptions: outfits and hair say little about the body under them.
  const bool woman = p.shape.gender < 0.5;
  p.hair = (draw.uniform(0, 1) < 0.85) == woman ? draw.pick(kLongHair) : draw.pick(kShortHair);
  p.top = draw.pick(kSuits);
  p.bottom = draw.pick(kSuits);
  if (!woman && p.top == "female_sportsuit01") p.top = "male_casualsuit02";
  if (!woman && p.bottom == "female_elegantsuit01") p.bottom = "male_casualsuit01";
  p.shoes = draw.pick(kShoes);
  return p;
}

Garment take_part(const Garment& suit, const std::vector<Label>& labels, Label wanted, const std::vector<Point>& fitted,
                  const std::vector<Point>& base) {
  LAV_CHECK(labels.size() == suit.quads.size() && fitted.size() == suit.base_vertices.size(), "labels of this suit");
  Garment out = suit;
  out.quads.clear();
  out.quad_uvs.clear();
  std::vector<std::uint8_t> mine(fitted.size(), 0), used(fitted.size(), 0);
  for (std::size_t q = 0; q < labels.size(); ++q) {
    for (const auto id : suit.quads[q]) {
      used[static_cast<std::size_t>(id)] = 1;
      if (labels[q] == wanted) mine[static_cast<std::size_t>(id)] = 1;
    }
    if (labels[q] != wanted) continue;
    out.quads.push_back(suit.quads[q]);
    out.quad_uvs.push_back(suit.quad_uvs[q]);
  }
  for (std::size_t b = 0; b < out.hides.size(); ++b) {
    if (out.hides[b] == 0) continue;
    float best = std::numeric_limits<float>::max();
    for (std::size_t v = 0; v < fitted.size(); ++v) {
      if (used[v] == 0) continue;
      const float d = squared_distance(base[b], fitted[v]);
      if (d >= best) continue;
      best = d;
      out.hides[b] = mine[v];
    }
  }
  return out;
}

LabelledMesh build_person(const HumanAssets& assets, const std::filesystem::path& package, const PersonChoice& choice) {
  const auto body = assets.targets.morph(assets.base, macro_target_weights(choice.shape));
  const auto count = static_cast<std::int64_t>(body.size());
  float low = std::numeric_limits<float>::max(), high = -low;
  for (const auto id : group_vertices(assets.base, "body")) {
    low = std::min(low, body[static_cast<std::size_t>(id)][1]);
    high = std::max(high, body[static_cast<std::size_t>(id)][1]);
  }
  const auto proxies = package / "public/data/proxies";
  struct Layer {
    Garment garment;
    std::vector<Point> fitted;
    Label label;
  };
  std::vector<Layer> layers;
  const auto wear = [&](const char* group, const std::string& name, Label label) {
    const OffsetScale scale = offset_scale(name);  // refuses names off the list before any path is made of them
    Garment g = read_garment(proxies / group / name, count);
    auto fitted = fit(g, scale, body);
    if (label == Label::kTop || label == Label::kBottom)
      g = take_part(g, label_suit(g, fitted, low, high), label, fitted, body);
    layers.push_back({std::move(g), std::move(fitted), label});
  };
  wear("clothes", choice.top, Label::kTop);
  wear("clothes", choice.bottom, Label::kBottom);
  wear("clothes", choice.shoes, Label::kShoes);
  wear("hair", choice.hair, Label::kHair);
  std::vector<const Garment*> garments;
  for (const auto& layer : layers) garments.push_back(&layer.garment);
  const Visibility visible = resolve_visibility(garments, count);

  LabelledMesh mesh;
  append(mesh, "body", body, assets.base.uvs, assets.base.quads, assets.base.quad_uvs,
         [](std::size_t) { return Label::kBody; },
         [&](std::size_t q) {
           const auto& group = assets.base.groups[static_cast<std::size_t>(assets.base.quad_group[q])];
           const auto& quad = assets.base.quads[q];
           return group == "body" && std::any_of(quad.begin(), quad.end(), [&](std::int32_t id) {
                    return visible.hidden_base[static_cast<std::size_t>(id)] == 0;
                  });
         });
  for (std::size_t i = 0; i < layers.size(); ++i)
    append(mesh, layers[i].garment.name, layers[i].fitted, layers[i].garment.uvs, layers[i].garment.quads,
           layers[i].garment.quad_uvs, [&](std::size_t) { return layers[i].label; },
           [&](std::size_t q) { return visible.quads[i][q] != 0; });
  return mesh;
}

}  // namespace layeravatar::people
