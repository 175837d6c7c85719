#include "layeravatar/people/dressed_person.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/core/error.h"
#include "layeravatar/geometry/ray_caster.h"
#include "layeravatar/people/layering.h"
#include "layeravatar/people/skin.h"

namespace layeravatar::people {
namespace {

using body::kJoints;
constexpr int kTexture = 512;  // texels of the skins, both ways

enum class Surface : std::uint8_t { kSolid, kHair, kFlat };

// Means over the neighbours. A vertex that lies under cloth sees nothing, yet its triangles may reach into the open: it
// takes its open neighbours' value, else the border of a garment would throw a hard, jagged shadow.
void soften(std::vector<float>& open, const std::vector<std::array<std::int32_t, 3>>& triangles) {
  constexpr float kBuried = 0.08F;
  for (int pass = 0; pass < 3; ++pass) {
    std::vector<float> sum(open.size(), 0.0F), count(open.size(), 0.0F);
    for (const auto& t : triangles)
      for (std::size_t k = 0; k < 3; ++k)
        for (const std::size_t other : {(k + 1) % 3, (k + 2) % 3}) {
          const float value = open[static_cast<std::size_t>(t[other])];
          if (value < kBuried) continue;
          sum[static_cast<std::size_t>(t[k])] += value;
          count[static_cast<std::size_t>(t[k])] += 1;
        }
    for (std::size_t v = 0; v < open.size(); ++v)
      if (count[v] > 0) open[v] = open[v] < kBuried ? sum[v] / count[v] : 0.5F * open[v] + 0.5F * sum[v] / count[v];
  }
}

// Sky light and a soft key light from the front, above and to the left, times the openness of the surroundings. Baked
// in the rest pose: never depends on camera or pose.
std::vector<float> baked_light(const std::vector<Point>& rest,
                               const std::vector<std::array<std::int32_t, 3>>& triangles,
                               const std::vector<Surface>& surfaces, const Point& head) {
  constexpr int kRays = 48;
  constexpr float kReach = 5.0F, kLift = 0.02F;  // decimetres
  auto normals = geometry::vertex_normals(rest, triangles);
  for (std::size_t v = 0; v < rest.size(); ++v) {
    if (surfaces[v] != Surface::kHair) continue;
    // Hair cards point anywhere: they are lit like the round shape that they stand for.
    Point& n = normals[v];
    n = {rest[v][0] - head[0], std::max(rest[v][1] - head[1], 0.0F), rest[v][2] - head[2]};
    const float length = std::max(std::hypot(n[0], n[1], n[2]), 1e-6F);
    for (float& x : n) x /= length;
  }
  auto open = geometry::openness(geometry::RayCaster(rest, triangles), rest, normals, kRays, kReach, kLift);
  soften(open, triangles);
  std::vector<float> out(rest.size());
  for (std::size_t v = 0; v < rest.size(); ++v) {
    const Point& n = normals[v];
    const float key = 0.5F + 0.5F * (0.33F * n[0] + 0.52F * n[1] + 0.79F * n[2]);
    const float light = 0.80F + 0.28F * key * key + 0.05F * n[1];
    switch (surfaces[v]) {
      case Surface::kSolid:
        out[v] = light * (0.62F + 0.38F * std::sqrt(open[v]));
        break;
      case Surface::kHair:
        out[v] = light * (0.78F + 0.22F * open[v]);
        break;  // cards hide each other
      case Surface::kFlat:
        out[v] = 0.98F;
        break;
    }
    out[v] = std::clamp(out[v], 0.55F, 1.05F);
  }
  return out;
}

std::vector<float> garment_weights(const Garment& garment, const Cc0Body& body) {
  std::vector<float> out(garment.base_vertices.size() * kJoints, 0.0F);
  for (std::size_t v = 0; v < garment.base_vertices.size(); ++v) {
    float* row = out.data() + v * kJoints;
    for (std::size_t k = 0; k < 3; ++k) {
      const float* base = body.base_weights.data() + static_cast<std::size_t>(garment.base_vertices[v][k]) * kJoints;
      for (std::size_t j = 0; j < kJoints; ++j) row[j] += garment.base_weights[v][k] * base[j];
    }
    float sum = 0;
    for (std::size_t j = 0; j < kJoints; ++j) sum += row[j] = std::max(row[j], 0.0F);
    if (sum <= 0) row[0] = sum = 1;
    for (std::size_t j = 0; j < kJoints; ++j) row[j] /= sum;
  }
  return out;
}

// Where the inner garment covers the body, the outer one moves away from it, so that the inner does not poke through.
void loosen(const Garment& outer, const Garment& inner, std::vector<Point>& rest) {
  constexpr float kRoom = 0.12F;  // decimetres
  const auto normals = geometry::vertex_normals(rest, triangles_of(outer.quads));
  for (std::size_t v = 0; v < rest.size(); ++v) {
    const auto& refs = outer.base_vertices[v];
    if (std::any_of(refs.begin(), refs.end(),
                    [&](std::int32_t id) { return inner.hides[static_cast<std::size_t>(id)] != 0; }))
      for (std::size_t k = 0; k < 3; ++k) rest[v][k] += kRoom * normals[v][k];
  }
}

Surface surface_of(const Material& material) {
  if (material.name == "eyes" || material.name == "eyebrows") return Surface::kFlat;
  return material.name == "hair" ? Surface::kHair : Surface::kSolid;
}

bool all_of(const std::array<std::int32_t, 4>& quad, const std::vector<std::uint8_t>& set) {
  return std::all_of(quad.begin(), quad.end(), [&](std::int32_t id) { return set[static_cast<std::size_t>(id)] != 0; });
}

}  // namespace

Wardrobe::Wardrobe(std::filesystem::path package, HumanAssets assets, Cc0Body body)
    : package_(std::move(package)),
      assets_(std::move(assets)),
      body_(std::move(body)),
      underwear_(underwear_coverage(assets_.base, body_, kTexture)) {}

const Garment& Wardrobe::garment(const std::string& group, const std::string& name) {
  const std::string key = group + "/" + name;
  auto it = garments_.find(key);
  if (it == garments_.end())
    it = garments_
             .emplace(key, read_garment(package_ / "public/data/proxies" / group / name,
                                        static_cast<std::int64_t>(assets_.base.vertices.size())))
             .first;
  return it->second;
}

const io::Image& Wardrobe::texture(const std::string& path) {
  auto it = textures_.find(path);
  if (it == textures_.end()) it = textures_.emplace(path, io::read_png(package_ / "public/data" / path)).first;
  return it->second;
}

DressedPerson Wardrobe::dress(const PersonLook& look, body::PoseParams pose) {
  pose.betas = betas_of(body_, assets_, look.choice.shape);
  const std::vector<Point> rest_base = rest_vertices(body_, pose.betas);
  const auto base_count = static_cast<std::int64_t>(rest_base.size());
  float low = std::numeric_limits<float>::max(), high = -low;
  for (const auto id : group_vertices(assets_.base, "body")) {
    low = std::min(low, rest_base[static_cast<std::size_t>(id)][1]);
    high = std::max(high, rest_base[static_cast<std::size_t>(id)][1]);
  }
  struct Layer {
    Garment garment;
    std::vector<Point> rest;
    Label label;
    Material material;
  };
  std::vector<Layer> layers;
  const auto wear = [&](const char* role, const std::string& group, const std::string& name, Label label,
                        const std::string& texture_path, const Recolour& colour, double depth) {
    const OffsetScale scale = offset_scale(name);
    Garment g = garment(group, name);
    auto rest = fit(g, scale, rest_base);
    if (label == Label::kTop || label == Label::kBottom)
      g = take_part(g, label_suit(g, rest, low, high), label, rest, rest_base);
    g.z_depth = depth;
    layers.push_back({std::move(g), std::move(rest), label, {role, recolour(texture(texture_path), colour)}});
  };
  const auto diffuse = [&](const std::string& group, const std::string& name) {
    const auto& files = garment(group, name).diffuse;
    if (files.empty()) throw Error(ErrorKind::kInput, name + ": no diffuse texture");
    return "proxies/" + group + "/" + name + "/" + files[0];
  };
  const auto& c = look.choice;
  // Tops hang over bottoms, trousers over shoes.
  wear("top", "clothes", c.top, Label::kTop, diffuse("clothes", c.top), look.top, 60);
  wear("bottom", "clothes", c.bottom, Label::kBottom, diffuse("clothes", c.bottom), look.bottom, 50);
  wear("shoes", "clothes", c.shoes, Label::kShoes, diffuse("clothes", c.shoes), look.shoes, 40);
  wear("hair", "hair", c.hair, Label::kHair, diffuse("hair", c.hair), look.hair, 70);
  Recolour brows = look.hair;
  for (double& x : brows.tint) x *= 0.7;
  wear("eyebrows", "eyebrows", look.eyebrows, Label::kBody, diffuse("eyebrows", look.eyebrows), brows, 80);
  wear("eyes", "eyes", "Low-Poly", Label::kBody, "proxies/eyes/Low-Poly/textures/" + look.eyes + ".png", look.iris, 1);
  io::Image& eye = layers.back().material.texture;
  if (eye.channels == 4)  // the cornea's transparency is not wanted
    for (std::size_t i = 3; i < eye.pixels.size(); i += 4) eye.pixels[i] = 255;

  // Centimetres count here: lengths in decimetres.
  constexpr float kRoom = 0.05F, kStickingOut = 0.12F, kReach = 0.6F, kMargin = 0.35F;
  Layer &top = layers[0], &bottom = layers[1], &shoes = layers[2];
  loosen(top.garment, bottom.garment, top.rest);
  std::vector<const Garment*> garments;
  for (const Layer& layer : layers) garments.push_back(&layer.garment);
  Visibility visible = resolve_visibility(garments, base_count);

  const Cloth top_cloth(top.rest, top.garment.quads);
  const auto bottom_normals = geometry::vertex_normals(bottom.rest, triangles_of(bottom.garment.quads));
  settle(bottom.rest, bottom_normals, top_cloth, kRoom, kStickingOut);
  const auto under_top = well_covered(bottom.rest, bottom_normals, {&top_cloth}, kReach, kMargin);
  for (std::size_t q = 0; q < bottom.garment.quads.size(); ++q)
    if (all_of(bottom.garment.quads[q], under_top)) visible.quads[1][q] = 0;

  const Cloth bottom_cloth(bottom.rest, bottom.garment.quads), shoe_cloth(shoes.rest, shoes.garment.quads);
  Quads skin_quads;
  for (std::size_t q = 0; q < assets_.base.quads.size(); ++q)
    if (assets_.base.groups[static_cast<std::size_t>(assets_.base.quad_group[q])] == "body")
      skin_quads.push_back(assets_.base.quads[q]);
  std::vector<Point> skin(rest_base.begin(), rest_base.begin() + kBodyVertices);
  const auto skin_normals = geometry::vertex_normals(skin, triangles_of(skin_quads));
  const auto under_cloth = well_covered(skin, skin_normals, {&top_cloth, &bottom_cloth, &shoe_cloth}, kReach, kMargin);
  for (std::size_t v = 0; v < under_cloth.size(); ++v)
    if (under_cloth[v] != 0) visible.hidden_base[v] = 1;
  for (const Cloth* cloth : {&top_cloth, &bottom_cloth, &shoe_cloth})
    settle(skin, skin_normals, *cloth, kRoom, kStickingOut);

  DressedPerson out;
  TexturedMesh& mesh = out.mesh;
  std::vector<Point> rest;
  std::vector<float> weights;
  std::vector<Surface> surfaces;
  const auto append = [&](const std::vector<Point>& vertices, const std::vector<float>& rows,
                          const std::vector<std::array<float, 2>>& uvs,
                          const std::vector<std::array<std::int32_t, 4>>& quads,
                          const std::vector<std::array<std::int32_t, 4>>& quad_uvs, Label label, Material material,
                          Surface surface, const auto& keep) {
    // Only the vertices that some visible quad uses.
    std::vector<std::int32_t> number(vertices.size(), -1);
    const auto uv0 = static_cast<std::int32_t>(mesh.uvs.size());
    mesh.uvs.insert(mesh.uvs.end(), uvs.begin(), uvs.end());
    const auto index = [&](std::int32_t id) {
      auto& n = number[static_cast<std::size_t>(id)];
      if (n < 0) {
        n = static_cast<std::int32_t>(rest.size());
        rest.push_back(vertices[static_cast<std::size_t>(id)]);
        weights.insert(weights.end(), rows.begin() + static_cast<std::int64_t>(id) * kJoints,
                       rows.begin() + static_cast<std::int64_t>(id + 1) * kJoints);
        surfaces.push_back(surface);
      }
      return n;
    };
    for (std::size_t q = 0; q < quads.size(); ++q) {
      if (!keep(q)) continue;
      for (const std::size_t k : {1, 2}) {
        mesh.triangles.push_back({index(quads[q][0]), index(quads[q][k]), index(quads[q][k + 1])});
        mesh.uv_triangles.push_back({uv0 + quad_uvs[q][0], uv0 + quad_uvs[q][k], uv0 + quad_uvs[q][k + 1]});
        mesh.labels.push_back(label);
        mesh.materials.push_back(static_cast<std::int32_t>(mesh.material_list.size()));
      }
    }
    mesh.material_list.push_back(std::move(material));
  };
  const BaseMesh& base = assets_.base;
  append(skin, body_.base_weights, base.uvs, base.quads, base.quad_uvs, Label::kBody,
         {"skin", paint_skin(texture(look.skin), look.skin_tone, underwear_, look.underwear)}, Surface::kSolid,
         [&](std::size_t q) {
           return base.groups[static_cast<std::size_t>(base.quad_group[q])] == "body" &&
                  !all_of(base.quads[q], visible.hidden_base);
         });
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    append(layer.rest, garment_weights(layer.garment, body_), layer.garment.uvs, layer.garment.quads,
           layer.garment.quad_uvs, layer.label, layer.material, surface_of(layer.material),
           [&](std::size_t q) { return visible.quads[i][q] != 0; });
  }
  mesh.shade = baked_light(rest, mesh.triangles, surfaces, joint_position(base, rest_base, "head____head"));
  mesh.vertices = pose_points(body_, rest, weights, pose);
  low = std::numeric_limits<float>::max(), high = -low;
  for (const Point& p : mesh.vertices) low = std::min(low, p[1]), high = std::max(high, p[1]);
  const float shift = -0.5F * (low + high);
  pose.transl[1] += shift;
  for (Point& p : mesh.vertices) p[1] += shift;
  out.params = pose;
  return out;
}

}  // namespace layeravatar::people
