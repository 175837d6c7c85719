#include "layeravatar/templates/surface_template.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/body/pose_params.h"
#include "layeravatar/core/error.h"
#include "layeravatar/templates/uv_packer.h"

namespace layeravatar::templates {

const std::vector<std::string> kRegionOrder = {"eyes", "face", "ears", "scalp", "head", "neck", "hands", "forearms",
                                               "upper_arms", "feet", "lower_legs", "upper_legs", "hips", "torso"};

namespace {

using body::kJoints;
using body::kShapeColumns;
using Vec2 = std::array<double, 2>;

// A dense vertex of one layer as a mean of surface vertices: corner weights stay exact halves and quarters.
struct DenseVertex {
  std::vector<std::pair<std::int32_t, float>> parts;
};

struct Face {
  std::array<std::int32_t, 3> v;   // dense ids
  std::array<std::int32_t, 3> uv;  // dense uv ids
  std::int32_t source;             // surface triangle
};

// Dense vertices of a layer with midpoints by edge; texture corners alike.
class Layer {
 public:
  explicit Layer(const SurfaceInput& input) : in_(input) {}

  /// Parts of a layer share vertices but not texels.
  void begin_part() {
    corner_of_.clear();
    corner_middle_.clear();
  }
  std::int32_t vertex(std::int32_t surface_id) {
    const auto [it, fresh] = vertex_of_.try_emplace(surface_id, static_cast<std::int32_t>(vertices.size()));
    if (fresh) vertices.push_back({{{surface_id, 1.0F}}});
    return it->second;
  }
  std::int32_t corner(std::int32_t uv_id) {
    const auto [it, fresh] = corner_of_.try_emplace(uv_id, static_cast<std::int32_t>(corners.size()));
    if (fresh) corners.push_back({in_.uvs[static_cast<std::size_t>(2 * uv_id)], in_.uvs[static_cast<std::size_t>(2 * uv_id + 1)]});
    return it->second;
  }
  std::int32_t vertex_between(std::int32_t a, std::int32_t b) {
    const auto [it, fresh] = vertex_middle_.try_emplace(key(a, b), static_cast<std::int32_t>(vertices.size()));
    if (fresh) {
      std::map<std::int32_t, float> sum;
      for (const std::int32_t end : {a, b})
        for (const auto& [id, w] : vertices[static_cast<std::size_t>(end)].parts) sum[id] += 0.5F * w;
      vertices.push_back({{sum.begin(), sum.end()}});
    }
    return it->second;
  }
  std::int32_t corner_between(std::int32_t a, std::int32_t b) {
    const auto [it, fresh] = corner_middle_.try_emplace(key(a, b), static_cast<std::int32_t>(corners.size()));
    if (fresh) {
      const Vec2 p = corners[static_cast<std::size_t>(a)], q = corners[static_cast<std::size_t>(b)];
      corners.push_back({0.5 * (p[0] + q[0]), 0.5 * (p[1] + q[1])});
    }
    return it->second;
  }
  [[nodiscard]] std::array<float, 3> position(std::int32_t id) const {
    std::array<float, 3> out{};
    for (const auto& [surface, w] : vertices[static_cast<std::size_t>(id)].parts)
      for (std::size_t k = 0; k < 3; ++k) out[k] += w * in_.vertices[3 * static_cast<std::size_t>(surface) + k];
    return out;
  }

  std::vector<DenseVertex> vertices;
  std::vector<Vec2> corners;

 private:
  static std::int64_t key(std::int32_t a, std::int32_t b) {
    return (static_cast<std::int64_t>(std::min(a, b)) << 32) | static_cast<std::uint32_t>(std::max(a, b));
  }
  const SurfaceInput& in_;
  std::unordered_map<std::int32_t, std::int32_t> vertex_of_, corner_of_;
  std::unordered_map<std::int64_t, std::int32_t> vertex_middle_, corner_middle_;
};

double area_of(const std::array<float, 3>& a, const std::array<float, 3>& b, const std::array<float, 3>& c) {
  const double e[3] = {b[0] - a[0], b[1] - a[1], b[2] - a[2]}, f[3] = {c[0] - a[0], c[1] - a[1], c[2] - a[2]};
  const double x = e[1] * f[2] - e[2] * f[1], y = e[2] * f[0] - e[0] * f[2], z = e[0] * f[1] - e[1] * f[0];
  return 0.5 * std::sqrt(x * x + y * y + z * z);
}

// One-to-four, children in the order of section 5.3.
void divide(Layer& layer, const Face& face, double limit, std::vector<Face>& out) {
  if (area_of(layer.position(face.v[0]), layer.position(face.v[1]), layer.position(face.v[2])) <= limit) {
    out.push_back(face);
    return;
  }
  std::int32_t m[3], t[3];
  for (std::size_t k = 0; k < 3; ++k) {
    m[k] = layer.vertex_between(face.v[k], face.v[(k + 1) % 3]);
    t[k] = layer.corner_between(face.uv[k], face.uv[(k + 1) % 3]);
  }
  divide(layer, {{face.v[0], m[0], m[2]}, {face.uv[0], t[0], t[2]}, face.source}, limit, out);
  divide(layer, {{m[0], face.v[1], m[1]}, {t[0], face.uv[1], t[1]}, face.source}, limit, out);
  divide(layer, {{m[2], m[1], face.v[2]}, {t[2], t[1], face.uv[2]}, face.source}, limit, out);
  divide(layer, {{m[0], m[1], m[2]}, {t[0], t[1], t[2]}, face.source}, limit, out);
}

struct Builder {
  const SurfaceInput& in;
  const SurfaceRules& rules;
  std::vector<std::uint8_t> region_of;                    // [V] index into kRegionOrder, 255: none
  std::map<std::string, std::vector<std::uint8_t>> inside;  // [V] by region
  LayeredTemplate out;
  std::int64_t dense_before = 0;

  [[nodiscard]] bool touches(std::int32_t triangle, const std::string& region) const {
    const auto it = inside.find(region);
    if (it == inside.end()) return false;
    for (std::size_t k = 0; k < 3; ++k)
      if (it->second[static_cast<std::size_t>(in.triangles[3 * static_cast<std::size_t>(triangle) + k])] != 0) return true;
    return false;
  }
  [[nodiscard]] std::string region_name(std::int32_t triangle) const {
    std::uint8_t best = 255;
    for (std::size_t k = 0; k < 3; ++k)
      best = std::min(best, region_of[static_cast<std::size_t>(in.triangles[3 * static_cast<std::size_t>(triangle) + k])]);
    return best == 255 ? std::string() : kRegionOrder[best];
  }
  [[nodiscard]] std::array<float, 3> centroid(std::int32_t triangle) const {
    std::array<float, 3> c{};
    for (std::size_t k = 0; k < 3; ++k)
      for (std::size_t e = 0; e < 3; ++e)
        c[e] += in.vertices[3 * static_cast<std::size_t>(in.triangles[3 * static_cast<std::size_t>(triangle) + k]) + e] / 3;
    return c;
  }

  // Faces of a part, divided to its spacing.
  std::vector<Face> faces_of(const SurfacePart& part, Layer& layer) const {
    layer.begin_part();
    std::vector<Face> out_faces;
    const auto count = static_cast<std::int32_t>(in.triangles.size() / 3);
    std::vector<std::uint8_t> small(static_cast<std::size_t>(count), 0);
    for (std::int32_t f = 0; f < count; ++f) {
      if (in.visible[static_cast<std::size_t>(f)] == 0) continue;
      if (!part.regions.empty() && std::none_of(part.regions.begin(), part.regions.end(), [&](const auto& r) { return touches(f, r); })) continue;
      if (part.keep && !part.keep(centroid(f))) continue;
      Face face{};
      face.source = f;
      std::array<float, 3> p[3];
      for (std::size_t k = 0; k < 3; ++k) {
        face.v[k] = layer.vertex(in.triangles[3 * static_cast<std::size_t>(f) + k]);
        face.uv[k] = layer.corner(in.uv_triangles[3 * static_cast<std::size_t>(f) + k]);
        p[k] = layer.position(face.v[k]);
      }
      const std::string region = region_name(f);
      const bool thin = std::find(rules.thinned.begin(), rules.thinned.end(), region) != rules.thinned.end();
      small[static_cast<std::size_t>(f)] = thin && area_of(p[0], p[1], p[2]) < 0.5 * rules.thin_spacing * rules.thin_spacing ? 1 : 0;
      // Quads were cut into the triangles 2 q and 2 q + 1.
      if (f % 2 == 1 && small[static_cast<std::size_t>(f)] != 0 && small[static_cast<std::size_t>(f - 1)] != 0) continue;
      const double spacing = part.spacing(region);
      divide(layer, face, 2 * spacing * spacing, out_faces);
    }
    return out_faces;
  }

  // Packs the texture islands of the layer's faces into the unit square, in place.
  void pack(Layer& layer, const std::vector<std::vector<Face>>& parts, const std::vector<SurfacePart>& rules_of) const {
    std::vector<std::int32_t> root(layer.corners.size());
    std::iota(root.begin(), root.end(), 0);
    const auto find = [&](std::int32_t i) {
      while (root[static_cast<std::size_t>(i)] != i) i = root[static_cast<std::size_t>(i)] = root[static_cast<std::size_t>(root[static_cast<std::size_t>(i)])];
      return i;
    };
    for (const auto& faces : parts)
      for (const Face& f : faces)
        for (std::size_t k = 1; k < 3; ++k) root[static_cast<std::size_t>(find(f.uv[k]))] = find(f.uv[0]);
    struct Island {
      double u0 = 1e9, u1 = -1e9, v0 = 1e9, v1 = -1e9;
      std::map<std::string, int> regions;
    };
    std::map<std::int32_t, Island> islands;
    for (const auto& faces : parts)
      for (const Face& f : faces) {
        Island& island = islands[find(f.uv[0])];
        ++island.regions[region_name(f.source)];
        for (const std::int32_t id : f.uv) {
          const Vec2& c = layer.corners[static_cast<std::size_t>(id)];
          island.u0 = std::min(island.u0, c[0]), island.u1 = std::max(island.u1, c[0]);
          island.v0 = std::min(island.v0, c[1]), island.v1 = std::max(island.v1, c[1]);
        }
      }
    std::vector<std::int32_t> order;
    std::map<std::int32_t, double> importance;
    for (const auto& [id, island] : islands) {
      order.push_back(id);
      const auto most = std::max_element(island.regions.begin(), island.regions.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
      importance[id] = rules_of[0].importance ? rules_of[0].importance(most->first) : 1.0;
    }
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      const auto tall = [&](std::int32_t i) { return (islands[i].v1 - islands[i].v0) * importance[i]; };
      return tall(a) > tall(b);
    });
    std::vector<Chart> charts;
    for (const std::int32_t id : order)
      charts.push_back({(islands[id].u1 - islands[id].u0) * importance[id], (islands[id].v1 - islands[id].v0) * importance[id]});
    pack_charts(charts, rules.chart_margin);
    std::map<std::int32_t, Chart> chart_of;
    for (std::size_t i = 0; i < order.size(); ++i) chart_of[order[i]] = charts[i];
    for (std::size_t c = 0; c < layer.corners.size(); ++c) {
      const auto it = chart_of.find(find(static_cast<std::int32_t>(c)));
      if (it == chart_of.end()) continue;  // a corner that only a thinned face used
      const Island& island = islands[it->first];
      const double scale = it->second.scale * importance[it->first];
      layer.corners[c] = {it->second.x + (layer.corners[c][0] - island.u0) * scale, it->second.y + (layer.corners[c][1] - island.v0) * scale};
    }
  }

  void add_layer(int index, const std::vector<SurfacePart>& parts) {
    Layer layer(in);
    std::vector<std::vector<Face>> faces;
    for (const SurfacePart& part : parts) faces.push_back(faces_of(part, layer));
    pack(layer, faces, parts);
    for (std::size_t p = 0; p < parts.size(); ++p) {
      for (const Face& face : faces[p]) add_gaussian(layer, face, index, parts[p].label);
      out.blocks[index == 0 ? 0U : index == 1 ? 1U : 2U + p] += static_cast<std::int64_t>(faces[p].size());
    }
    for (const DenseVertex& v : layer.vertices)
      for (std::size_t e = 0; e < 3 * kShapeColumns; ++e) {
        float sum = 0;
        for (const auto& [id, w] : v.parts) sum += w * in.shape_dirs[static_cast<std::size_t>(id) * 3 * kShapeColumns + e];
        out.shape_dirs.push_back(sum);
      }
    dense_before += static_cast<std::int64_t>(layer.vertices.size());
  }

  void add_gaussian(const Layer& layer, const Face& face, int index, int label) {
    std::array<float, 3> p[3];
    Vec2 t[3];
    for (std::size_t k = 0; k < 3; ++k) {
      p[k] = layer.position(face.v[k]);
      t[k] = layer.corners[static_cast<std::size_t>(face.uv[k])];
      out.faces.push_back(static_cast<std::int32_t>(dense_before + face.v[k]));
    }
    for (std::size_t k = 0; k < 3; ++k) out.positions.push_back((p[0][k] + p[1][k] + p[2][k]) / 3);
    const auto u = static_cast<float>((t[0][0] + t[1][0] + t[2][0]) / 3), v = static_cast<float>((t[0][1] + t[1][1] + t[2][1]) / 3);
    out.uvs.push_back(u / 3 + static_cast<float>(index / 3.0));
    out.uvs.push_back(v);
    const auto frame = tangent_frame(p, t);
    out.frames.insert(out.frames.end(), frame.begin(), frame.end());
    out.labels.push_back(label);
    if (index != 0) return;
    for (int j = 0; j < kJoints; ++j) {
      float sum = 0;
      for (std::size_t k = 0; k < 3; ++k)
        for (const auto& [id, w] : layer.vertices[static_cast<std::size_t>(face.v[k])].parts)
          sum += w * in.weights[static_cast<std::size_t>(id) * kJoints + static_cast<std::size_t>(j)] / 3;
      out.body_weights.push_back(sum);
    }
    out.face_mask.push_back(touches(face.source, "face") ? 1 : 0);
    out.hands_mask.push_back(touches(face.source, "hands") ? 1 : 0);
    out.outside_mask.push_back(touches(face.source, "eyes") ? 1 : 0);
    out.nose_mask.push_back(touches(face.source, "nose") ? 1 : 0);
  }

  // Section 5.5; columns tangent, bitangent, normal.
  static std::array<float, 9> tangent_frame(const std::array<float, 3>* p, const Vec2* t) {
    using Vec3 = std::array<double, 3>;
    const auto unit = [](Vec3 v) {
      const double n = std::max(std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]), 1e-12);
      return Vec3{v[0] / n, v[1] / n, v[2] / n};
    };
    const auto cross = [](const Vec3& a, const Vec3& b) {
      return Vec3{a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
    };
    Vec3 e1, e2;
    for (std::size_t k = 0; k < 3; ++k) e1[k] = p[1][k] - p[0][k], e2[k] = p[2][k] - p[0][k];
    const double d1x = t[1][0] - t[0][0], d1y = t[1][1] - t[0][1], d2x = t[2][0] - t[0][0], d2y = t[2][1] - t[0][1];
    const double g = 1 / (d1x * d2y - d1y * d2x + 1e-12);
    Vec3 tangent;
    for (std::size_t k = 0; k < 3; ++k) tangent[k] = g * (e1[k] * d2y - e2[k] * d1y);
    tangent = unit(tangent);
    const Vec3 normal = unit(cross(e1, e2)), bitangent = unit(cross(normal, tangent));
    std::array<float, 9> out;
    for (std::size_t k = 0; k < 3; ++k)
      out[3 * k] = static_cast<float>(tangent[k]), out[3 * k + 1] = static_cast<float>(bitangent[k]), out[3 * k + 2] = static_cast<float>(normal[k]);
    return out;
  }
};

}  // namespace

LayeredTemplate build_from_surface(const SurfaceInput& input, const SurfaceRules& rules) {
  const std::size_t v = input.vertices.size() / 3, f = input.triangles.size() / 3;
  LAV_CHECK(input.uv_triangles.size() == 3 * f && input.visible.size() == f && input.weights.size() == v * kJoints &&
                input.shape_dirs.size() == v * 3 * kShapeColumns,
            "the arrays of the surface differ in length");
  LAV_CHECK(rules.body.size() == 1 && rules.bottom_top.size() == 2, "one body part, and bottom before top");
  Builder builder{input, rules, std::vector<std::uint8_t>(v, 255), {}, {}, 0};
  for (const auto& [name, ids] : input.regions) {
    auto& mask = builder.inside[name];
    mask.assign(v, 0);
    for (const std::int32_t id : ids) mask.at(static_cast<std::size_t>(id)) = 1;
  }
  for (std::size_t r = 0; r < kRegionOrder.size(); ++r)
    if (const auto it = builder.inside.find(kRegionOrder[r]); it != builder.inside.end())
      for (std::size_t i = 0; i < v; ++i)
        if (it->second[i] != 0) builder.region_of[i] = std::min(builder.region_of[i], static_cast<std::uint8_t>(r));
  builder.add_layer(0, rules.body);
  builder.add_layer(1, rules.hair_shoes);
  builder.add_layer(2, rules.bottom_top);
  return std::move(builder.out);
}

}  // namespace layeravatar::templates
