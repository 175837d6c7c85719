#include "layeravatar/people/dressed_person.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/core/error.h"
#include "layeravatar/geometry/ray_caster.h"
#include "layeravatar/people/draw.h"

namespace layeravatar::people {
namespace {

using body::kJoints;
constexpr int kTexture = 512;  // texels of the skins, both ways

constexpr const char* kEyes[] = {"blue_eye", "bluegreen_eye", "brown_eye", "brownlight_eye", "deepblue_eye",
                                 "green_eye", "grey_eye", "ice_eye", "lightblue_eye"};

// Natural hair colours: black, dark brown, brown, chestnut, auburn, blond, light blond, grey, white.
constexpr std::array<std::array<double, 3>, 9> kHairColours = {{{0.07, 0.06, 0.06},
                                                                {0.17, 0.11, 0.08},
                                                                {0.28, 0.18, 0.11},
                                                                {0.36, 0.21, 0.12},
                                                                {0.42, 0.20, 0.10},
                                                                {0.62, 0.47, 0.27},
                                                                {0.74, 0.61, 0.41},
                                                                {0.45, 0.44, 0.43},
                                                                {0.70, 0.69, 0.67}}};

std::array<double, 3> garment_colour(Draw& draw) {
  const double hue = 6 * draw.uniform(0, 1), saturation = draw.uniform(0, 1) < 0.35 ? draw.uniform(0, 0.12) : draw.uniform(0.3, 0.8);
  const double value = draw.uniform(0.15, 0.85);
  std::array<double, 3> out{};
  for (std::size_t k = 0; k < 3; ++k) {
    const double k6 = std::fmod(5 - 2 * static_cast<double>(k) + hue, 6.0);
    out[k] = value * (1 - saturation * std::max(0.0, std::min({k6, 4 - k6, 1.0})));
  }
  return out;
}

Recolour sample_garment_colour(Draw& draw) {
  Recolour out;
  const double kind = draw.uniform(0, 1);
  out.turn = draw.uniform(0.1, 0.9);
  out.saturation = draw.uniform(0.6, 1.4);
  out.value = draw.uniform(0.7, 1.0);
  out.tint = garment_colour(draw);
  out.contrast = draw.uniform(0.6, 1.0);
  out.kind = kind < 0.25 ? Recolour::Kind::kKeep : kind < 0.5 ? Recolour::Kind::kHue : Recolour::Kind::kTint;
  return out;
}

// Textures of one of the package's folders, by name.
std::vector<std::string> png_files(const std::filesystem::path& data, const std::string& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(data / folder, error))
    if (entry.path().extension() == ".png" && entry.path().string().find("special_suit") == std::string::npos)
      out.push_back(folder + "/" + entry.path().filename().string());
  if (out.empty()) throw Error(ErrorKind::kInput, (data / folder).string() + ": no textures found");
  std::sort(out.begin(), out.end());
  return out;
}

// Soft light from above and the front; folds and undersides darker. Never depends on the camera.
std::vector<float> baked_light(const std::vector<Point>& rest, const std::vector<std::array<std::int32_t, 3>>& triangles,
                               const std::vector<std::uint8_t>& is_card) {
  const auto normals = geometry::vertex_normals(rest, triangles);
  const auto open = geometry::openness(geometry::RayCaster(rest, triangles), rest, normals, 40, 4.0F, 0.02F);
  std::vector<float> out(rest.size());
  for (std::size_t v = 0; v < rest.size(); ++v) {
    // Hair cards have no meaningful normals, and cover each other with what the alpha test cuts away.
    const float light = is_card[v] != 0 ? 0.95F : 0.86F + 0.10F * normals[v][1] + 0.08F * normals[v][2];
    const float occlusion = is_card[v] != 0 ? 0.80F + 0.20F * open[v] : 0.55F + 0.45F * std::sqrt(open[v]);
    out[v] = std::min(1.0F, light * occlusion + 0.04F);
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
  std::vector<std::array<std::int32_t, 3>> triangles;
  for (const auto& q : outer.quads)
    for (const std::size_t k : {1, 2}) triangles.push_back({q[0], q[k], q[k + 1]});
  const auto normals = geometry::vertex_normals(rest, triangles);
  for (std::size_t v = 0; v < rest.size(); ++v) {
    const auto& refs = outer.base_vertices[v];
    if (std::any_of(refs.begin(), refs.end(), [&](std::int32_t id) { return inner.hides[static_cast<std::size_t>(id)] != 0; }))
      for (std::size_t k = 0; k < 3; ++k) rest[v][k] += kRoom * normals[v][k];
  }
}

float mean_height(const Cc0Body& body, int joint) {
  float sum = 0;
  const auto& ids = body.joint_base_vertices[static_cast<std::size_t>(joint)];
  for (const auto id : ids) sum += body.rest_mean[3 * static_cast<std::size_t>(id) + 1];
  return sum / static_cast<float>(ids.size());
}

// Coverage of a sleeveless one-piece on the mean body, in the texture space of the skins.
std::vector<float> underwear_coverage(const BaseMesh& base, const Cc0Body& body) {
  const float top = mean_height(body, 12) - 1.1F, bottom = mean_height(body, 1) - 1.3F;
  float shoulder = 0;
  for (const auto id : body.joint_base_vertices[16]) shoulder += body.rest_mean[3 * static_cast<std::size_t>(id)];
  shoulder = shoulder / static_cast<float>(body.joint_base_vertices[16].size()) - 0.15F;
  std::vector<float> inside(static_cast<std::size_t>(kTexture) * kTexture, 0.0F);
  for (std::size_t q = 0; q < base.quads.size(); ++q) {
    if (base.groups[static_cast<std::size_t>(base.quad_group[q])] != "body") continue;
    for (const std::size_t k : {1, 2}) {
      const std::size_t corner[3] = {0, k, k + 1};
      double x[3], y[3];
      std::array<double, 3> p[3];
      for (std::size_t c = 0; c < 3; ++c) {
        const auto& uv = base.uvs[static_cast<std::size_t>(base.quad_uvs[q][corner[c]])];
        x[c] = uv[0] * kTexture - 0.5;
        y[c] = (1 - uv[1]) * kTexture - 0.5;
        const auto v = static_cast<std::size_t>(base.quads[q][corner[c]]);
        p[c] = {body.rest_mean[3 * v], body.rest_mean[3 * v + 1], body.rest_mean[3 * v + 2]};
      }
      const double area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0]);
      if (area == 0) continue;
      // One texel beyond the triangle, so that bilinear taps at chart borders find the same colour.
      const auto low = [](double a, double b, double c) { return std::clamp(static_cast<int>(std::floor(std::min({a, b, c}))) - 1, 0, kTexture - 1); };
      const auto high = [](double a, double b, double c) { return std::clamp(static_cast<int>(std::ceil(std::max({a, b, c}))) + 1, 0, kTexture - 1); };
      for (int ty = low(y[0], y[1], y[2]); ty <= high(y[0], y[1], y[2]); ++ty)
        for (int tx = low(x[0], x[1], x[2]); tx <= high(x[0], x[1], x[2]); ++tx) {
          const double b1 = ((tx - x[0]) * (y[2] - y[0]) - (ty - y[0]) * (x[2] - x[0])) / area;
          const double b2 = ((x[1] - x[0]) * (ty - y[0]) - (y[1] - y[0]) * (tx - x[0])) / area;
          const double b0 = 1 - b1 - b2;
          const double slack = 1.0 / std::sqrt(std::abs(area));
          if (b0 < -slack || b1 < -slack || b2 < -slack) continue;
          const double px = b0 * p[0][0] + b1 * p[1][0] + b2 * p[2][0], py = b0 * p[0][1] + b1 * p[1][1] + b2 * p[2][1];
          // Shoulder straps: the neckline falls towards the middle.
          const double neckline = top - 0.9 * std::max(0.0, 0.75 - std::abs(px));
          if (py < neckline && py > bottom && std::abs(px) < shoulder) inside[static_cast<std::size_t>(ty) * kTexture + static_cast<std::size_t>(tx)] = 1.0F;
        }
    }
  }
  return inside;
}

}  // namespace

PersonLook sample_look(std::uint64_t seed, const std::filesystem::path& package) {
  PersonLook out;
  out.choice = sample_person(seed);
  Draw draw(seed ^ 0xA5A5A5A5DEADBEEFULL);
  const auto& shape = out.choice.shape;
  const char* age = shape.age < 0.64 ? "young" : shape.age < 0.8 ? "middleage" : "old";
  const auto race = static_cast<std::size_t>(std::max_element(shape.race.begin(), shape.race.end()) - shape.race.begin());
  constexpr const char* kRaces[] = {"african", "asian", "caucasian"};
  const std::string skin = fmt::format("skins/{}_{}_{}/textures", age, kRaces[race], shape.gender < 0.5 ? "female" : "male");
  const auto skins = png_files(package / "public/data", skin);
  out.skin = skins[draw.index(skins.size())];
  const bool dark_eyes = race != 2;
  out.eyes = dark_eyes ? (draw.uniform(0, 1) < 0.7 ? "brown_eye" : "brownlight_eye") : draw.pick(kEyes);
  out.eyebrows = fmt::format("eyebrow{:03}", 1 + draw.index(12));
  const double grey = draw.uniform(0.1, 0.9);
  constexpr std::array<std::array<double, 3>, 3> kUnderwear = {{{1, 1, 1}, {0.35, 0.42, 0.55}, {0.55, 0.4, 0.4}}};
  const auto& cloth = kUnderwear[draw.index(kUnderwear.size())];
  for (std::size_t k = 0; k < 3; ++k) out.underwear[k] = static_cast<float>(std::min(1.0, grey * cloth[k]));
  out.top = sample_garment_colour(draw);
  out.bottom = sample_garment_colour(draw);
  out.shoes = sample_garment_colour(draw);
  if (out.shoes.kind == Recolour::Kind::kTint) out.shoes.tint = {0.6 * out.shoes.tint[0], 0.6 * out.shoes.tint[1], 0.6 * out.shoes.tint[2]};
  std::size_t colour = race == 2 ? draw.index(7) : draw.index(race == 1 ? 3 : 2);
  if (shape.age > 0.78 && draw.uniform(0, 1) < 0.6) colour = 7 + draw.index(2);
  out.hair = {Recolour::Kind::kTint, 0, 1, 1, kHairColours[colour], 0.8};
  return out;
}

body::PoseParams sample_pose(std::uint64_t seed) {
  Draw draw(seed ^ 0x0B0D7F0E5EEDULL);
  body::PoseParams p = body::default_viewing_pose();
  const auto turn = [&](int joint, int axis, double deviation, double limit) {
    p.body_pose[static_cast<std::size_t>(3 * (joint - 1) + axis)] += static_cast<float>(draw.normal(0, deviation, -limit, limit));
  };
  const double lift = draw.uniform(-0.35, 0.5);  // both arms together, radians
  p.body_pose[47] += static_cast<float>(lift);
  p.body_pose[50] -= static_cast<float>(lift);
  for (const int side : {0, 1}) {
    const double sign = side == 0 ? 1 : -1;
    turn(16 + side, 2, 0.10, 0.2);
    turn(16 + side, 1, 0.18, 0.4);
    turn(16 + side, 0, 0.12, 0.3);
    // Elbows bend forwards only: about -y on the left, +y on the right.
    p.body_pose[static_cast<std::size_t>(3 * (17 + side) + 1)] -= static_cast<float>(sign * std::abs(draw.normal(0.0, 0.35, -0.9, 0.9)));
    turn(20 + side, 0, 0.10, 0.25);
    turn(20 + side, 2, 0.10, 0.25);
    turn(1 + side, 0, 0.12, 0.3);
    p.body_pose[static_cast<std::size_t>(3 * side + 2)] += static_cast<float>(sign * draw.uniform(-0.01, 0.12));  // legs apart
    p.body_pose[static_cast<std::size_t>(3 * (3 + side))] += static_cast<float>(std::abs(draw.normal(0, 0.12, -0.4, 0.4)));  // knees
    auto& hand = side == 0 ? p.left_hand : p.right_hand;
    const double curl = draw.uniform(0.0, 0.5);
    for (std::size_t finger = 0; finger < 4; ++finger)
      for (std::size_t k = 0; k < 3; ++k) hand[9 * finger + 3 * k + 2] = static_cast<float>(-sign * curl);
  }
  for (const int joint : {3, 6, 9}) {
    turn(joint, 0, 0.05, 0.12);
    turn(joint, 1, 0.08, 0.2);
    turn(joint, 2, 0.04, 0.1);
  }
  turn(12, 1, 0.1, 0.25);
  turn(15, 0, 0.08, 0.2);
  turn(15, 1, 0.12, 0.3);
  p.scale = 1.0F;
  return p;
}

Wardrobe::Wardrobe(std::filesystem::path package, HumanAssets assets, Cc0Body body)
    : package_(std::move(package)), assets_(std::move(assets)), body_(std::move(body)),
      underwear_(underwear_coverage(assets_.base, body_)) {}

const Garment& Wardrobe::garment(const std::string& group, const std::string& name) {
  const std::string key = group + "/" + name;
  auto it = garments_.find(key);
  if (it == garments_.end())
    it = garments_.emplace(key, read_garment(package_ / "public/data/proxies" / group / name,
                                             static_cast<std::int64_t>(assets_.base.vertices.size()))).first;
  return it->second;
}

const io::Image& Wardrobe::texture(const std::string& path) {
  auto it = textures_.find(path);
  if (it == textures_.end()) it = textures_.emplace(path, io::read_png(package_ / "public/data" / path)).first;
  return it->second;
}

io::Image Wardrobe::skin_with_underwear(const io::Image& skin, const std::array<float, 3>& colour) const {
  io::Image out{skin.width, skin.height, 3, {}};
  const auto step = static_cast<std::size_t>(skin.channels);
  for (int y = 0; y < skin.height; ++y)
    for (int x = 0; x < skin.width; ++x) {
      const auto at = static_cast<std::size_t>(y) * static_cast<std::size_t>(skin.width) + static_cast<std::size_t>(x);
      const float cover = underwear_[static_cast<std::size_t>(y * kTexture / skin.height) * kTexture + static_cast<std::size_t>(x * kTexture / skin.width)];
      for (std::size_t k = 0; k < 3; ++k) {
        const float own = skin.pixels[step * at + std::min(k, step - 1)];
        out.pixels.push_back(static_cast<std::uint8_t>(std::lround(own + cover * (255 * colour[k] - own))));
      }
    }
  return out;
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
  const auto wear = [&](const std::string& group, const std::string& name, Label label, const std::string& texture_path,
                        const Recolour& colour, double depth) {
    const OffsetScale scale = offset_scale(name);
    Garment g = garment(group, name);
    auto rest = fit(g, scale, rest_base);
    if (label == Label::kTop || label == Label::kBottom)
      g = take_part(g, label_suit(g, rest, low, high), label, rest, rest_base);
    g.z_depth = depth;
    layers.push_back({std::move(g), std::move(rest), label, {name, recolour(texture(texture_path), colour)}});
  };
  const auto diffuse = [&](const std::string& group, const std::string& name) {
    const auto& files = garment(group, name).diffuse;
    if (files.empty()) throw Error(ErrorKind::kInput, name + ": no diffuse texture");
    return "proxies/" + group + "/" + name + "/" + files[0];
  };
  const auto& c = look.choice;
  // Tops hang over bottoms, trousers over shoes.
  wear("clothes", c.top, Label::kTop, diffuse("clothes", c.top), look.top, 60);
  wear("clothes", c.bottom, Label::kBottom, diffuse("clothes", c.bottom), look.bottom, 50);
  wear("clothes", c.shoes, Label::kShoes, diffuse("clothes", c.shoes), look.shoes, 40);
  wear("hair", c.hair, Label::kHair, diffuse("hair", c.hair), look.hair, 70);
  Recolour brows = look.hair;
  for (double& x : brows.tint) x *= 0.7;
  wear("eyebrows", look.eyebrows, Label::kBody, diffuse("eyebrows", look.eyebrows), brows, 80);
  wear("eyes", "Low-Poly", Label::kBody, "proxies/eyes/Low-Poly/textures/" + look.eyes + ".png", {}, 1);
  layers.back().material.name = "eyes";
  io::Image& eye = layers.back().material.texture;
  if (eye.channels == 4)  // the cornea's transparency is not wanted
    for (std::size_t i = 3; i < eye.pixels.size(); i += 4) eye.pixels[i] = 255;

  loosen(layers[0].garment, layers[1].garment, layers[0].rest);
  std::vector<const Garment*> garments;
  for (const Layer& layer : layers) garments.push_back(&layer.garment);
  const Visibility visible = resolve_visibility(garments, base_count);

  DressedPerson out;
  TexturedMesh& mesh = out.mesh;
  std::vector<Point> rest;
  std::vector<float> weights;
  std::vector<std::uint8_t> is_card;
  const auto append = [&](const std::vector<Point>& vertices, const std::vector<float>& rows,
                          const std::vector<std::array<float, 2>>& uvs, const std::vector<std::array<std::int32_t, 4>>& quads,
                          const std::vector<std::array<std::int32_t, 4>>& quad_uvs, Label label, Material material,
                          bool cards, const auto& keep) {
    // Only the vertices that some visible quad uses.
    std::vector<std::int32_t> number(vertices.size(), -1);
    const auto uv0 = static_cast<std::int32_t>(mesh.uvs.size());
    mesh.uvs.insert(mesh.uvs.end(), uvs.begin(), uvs.end());
    const auto index = [&](std::int32_t id) {
      auto& n = number[static_cast<std::size_t>(id)];
      if (n < 0) {
        n = static_cast<std::int32_t>(rest.size());
        rest.push_back(vertices[static_cast<std::size_t>(id)]);
        weights.insert(weights.end(), rows.begin() + static_cast<std::int64_t>(id) * kJoints, rows.begin() + static_cast<std::int64_t>(id + 1) * kJoints);
        is_card.push_back(cards ? 1 : 0);
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
  append(rest_base, body_.base_weights, base.uvs, base.quads, base.quad_uvs, Label::kBody,
         {"skin", skin_with_underwear(texture(look.skin), look.underwear)}, false, [&](std::size_t q) {
           return base.groups[static_cast<std::size_t>(base.quad_group[q])] == "body" &&
                  std::any_of(base.quads[q].begin(), base.quads[q].end(),
                              [&](std::int32_t id) { return visible.hidden_base[static_cast<std::size_t>(id)] == 0; });
         });
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    append(layer.rest, garment_weights(layer.garment, body_), layer.garment.uvs, layer.garment.quads,
           layer.garment.quad_uvs, layer.label, layer.material, layer.material.texture.channels == 4,
           [&](std::size_t q) { return visible.quads[i][q] != 0; });
  }
  mesh.shade = baked_light(rest, mesh.triangles, is_card);
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
