#include "layeravatar/templates/surface_template.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/body/pose_params.h"
#include "layeravatar/core/error.h"
#include "layeravatar/templates/chart_layout.h"
#include "layeravatar/templates/face_rules.h"

namespace layeravatar::templates {

const std::vector<std::string> kRegionOrder = {"eyes",       "face",       "ears",     "scalp",      "head",
                                               "neck",       "hands",      "forearms", "upper_arms", "feet",
                                               "lower_legs", "upper_legs", "hips",     "torso"};

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
  void begin_part() { corner_of_.clear(); }
  std::int32_t vertex(std::int32_t surface_id) {
    const auto [it, fresh] = vertex_of_.try_emplace(surface_id, static_cast<std::int32_t>(vertices.size()));
    if (fresh) vertices.push_back({{{surface_id, 1.0F}}});
    return it->second;
  }
  /// Faces of different cuts share no corner, which takes their charts apart.
  std::int32_t corner(std::int32_t uv_id, int cut) {
    const auto [it, fresh] = corner_of_.try_emplace({uv_id, cut}, static_cast<std::int32_t>(corners.size()));
    if (fresh)
      corners.push_back(
          {in_.uvs[static_cast<std::size_t>(2 * uv_id)], in_.uvs[static_cast<std::size_t>(2 * uv_id + 1)]});
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
  std::unordered_map<std::int32_t, std::int32_t> vertex_of_;
  std::map<std::pair<std::int32_t, int>, std::int32_t> corner_of_;
  std::unordered_map<std::int64_t, std::int32_t> vertex_middle_, corner_middle_;
};

// (a - at) x (b - at)
std::array<float, 3> cross(const std::array<float, 3>& a, const std::array<float, 3>& at,
                           const std::array<float, 3>& b) {
  const float e[3] = {a[0] - at[0], a[1] - at[1], a[2] - at[2]}, f[3] = {b[0] - at[0], b[1] - at[1], b[2] - at[2]};
  return {e[1] * f[2] - e[2] * f[1], e[2] * f[0] - e[0] * f[2], e[0] * f[1] - e[1] * f[0]};
}

double area_of(const std::array<float, 3>& a, const std::array<float, 3>& b, const std::array<float, 3>& c) {
  const std::array<float, 3> n = cross(b, a, c);
  return 0.5 * std::hypot(n[0], n[1], n[2]);
}

// One-to-four, children in the order of section 5.3.
void divide(Layer& layer, const Face& face, double limit, std::vector<Face>& out) {
  if (area_of(layer.position(face.v[0]), layer.position(face.v[1]), layer.position(face.v[2])) <= limit) {
    out.push_back(face);
    return;
  }
  std::array<std::int32_t, 3> m, t;
  for (std::size_t k = 0; k < 3; ++k) {
    m[k] = layer.vertex_between(face.v[k], face.v[(k + 1) % 3]);
    t[k] = layer.corner_between(face.uv[k], face.uv[(k + 1) % 3]);
  }
  const auto points = one_to_four(face.v, m), corners = one_to_four(face.uv, t);
  for (std::size_t child = 0; child < 4; ++child)
    divide(layer, {points[child], corners[child], face.source}, limit, out);
}

struct Builder {
  const SurfaceInput& in;
  const SurfaceRules& rules;
  std::vector<std::uint8_t> region_of;                      // [V] index into kRegionOrder, 255: none
  std::map<std::string, std::vector<std::uint8_t>> inside;  // [V] by region
  SurfaceTemplate out;
  std::int64_t dense_before = 0;

  [[nodiscard]] bool touches(std::int32_t triangle, const std::string& region) const {
    const auto it = inside.find(region);
    if (it == inside.end()) return false;
    for (std::size_t k = 0; k < 3; ++k)
      if (it->second[static_cast<std::size_t>(in.triangles[3 * static_cast<std::size_t>(triangle) + k])] != 0)
        return true;
    return false;
  }
  [[nodiscard]] std::string region_name(std::int32_t triangle) const {
    std::uint8_t best = 255;
    for (std::size_t k = 0; k < 3; ++k)
      best =
          std::min(best, region_of[static_cast<std::size_t>(in.triangles[3 * static_cast<std::size_t>(triangle) + k])]);
    return best == 255 ? std::string() : kRegionOrder[best];
  }
  [[nodiscard]] std::array<float, 3> centroid(std::int32_t triangle) const {
    std::array<float, 3> c{};
    for (std::size_t k = 0; k < 3; ++k)
      for (std::size_t e = 0; e < 3; ++e)
        c[e] +=
            in.vertices[3 * static_cast<std::size_t>(in.triangles[3 * static_cast<std::size_t>(triangle) + k]) + e] / 3;
    return c;
  }

  [[nodiscard]] std::int32_t uv_corner(std::int32_t triangle, std::size_t k) const {
    return in.uv_triangles[3 * static_cast<std::size_t>(triangle) + k];
  }
  [[nodiscard]] double surface_area(std::int32_t triangle) const {
    std::array<std::array<float, 3>, 3> p;
    for (std::size_t k = 0; k < 3; ++k)
      std::copy_n(in.vertices.begin() + 3 * in.triangles[3 * static_cast<std::size_t>(triangle) + k], 3, p[k].begin());
    return area_of(p[0], p[1], p[2]);
  }

  // Undivided faces of a part.
  std::vector<Face> faces_of(const SurfacePart& part, Layer& layer) const {
    layer.begin_part();
    std::vector<std::int32_t> chosen;
    for (std::int32_t f = 0; f < static_cast<std::int32_t>(in.visible.size()); ++f) {
      if (in.visible[static_cast<std::size_t>(f)] == 0) continue;
      if (!part.regions.empty() &&
          std::none_of(part.regions.begin(), part.regions.end(), [&](const auto& r) { return touches(f, r); }))
        continue;
      if (part.keep && !part.keep(centroid(f))) continue;
      chosen.push_back(f);
    }
    std::vector<Face> out_faces;
    for (const auto& [f, cut] : pieces_of(part, chosen)) {
      Face face{};
      face.source = f;
      for (std::size_t k = 0; k < 3; ++k) {
        face.v[k] = layer.vertex(in.triangles[3 * static_cast<std::size_t>(f) + k]);
        face.uv[k] = layer.corner(in.uv_triangles[3 * static_cast<std::size_t>(f) + k], cut);
      }
      out_faces.push_back(face);
    }
    return out_faces;
  }

  // The same surface in faces of the part's spacing.
  [[nodiscard]] std::vector<Face> divided(const SurfacePart& part, Layer& layer, const std::vector<Face>& faces) const {
    std::vector<Face> out_faces;
    for (const Face& face : faces) {
      const double spacing = part.spacing(region_name(face.source));
      divide(layer, face, 2 * spacing * spacing, out_faces);
    }
    return out_faces;
  }

  // Each triangle with its cut. A piece smaller than part.smallest_piece goes with the largest piece of its island of
  // the atlas, and an island that small goes altogether where the part says so.
  [[nodiscard]] std::vector<std::pair<std::int32_t, int>> pieces_of(const SurfacePart& part,
                                                                    const std::vector<std::int32_t>& chosen) const {
    std::vector<std::pair<std::int32_t, int>> chosen_cuts;
    std::map<std::pair<std::int32_t, int>, std::int32_t> id_of;  // texture corners after the cut
    std::vector<std::int32_t> piece, island(in.uvs.size() / 2);
    std::iota(island.begin(), island.end(), 0);
    std::vector<std::array<std::int32_t, 3>> ids;
    for (const std::int32_t f : chosen) {
      chosen_cuts.emplace_back(f, part.cut ? part.cut(region_name(f), centroid(f)) : 0);
      std::array<std::int32_t, 3> own{};
      for (std::size_t k = 0; k < 3; ++k) {
        const auto [it, fresh] =
            id_of.try_emplace({uv_corner(f, k), chosen_cuts.back().second}, static_cast<std::int32_t>(piece.size()));
        if (fresh) piece.push_back(it->second);
        own[k] = it->second;
        piece[static_cast<std::size_t>(root_of(piece, own[k]))] = root_of(piece, own[0]);
        island[static_cast<std::size_t>(root_of(island, uv_corner(f, k)))] = root_of(island, uv_corner(f, 0));
      }
      ids.push_back(own);
    }
    std::map<std::int32_t, double> piece_area, island_area;
    for (std::size_t i = 0; i < chosen_cuts.size(); ++i) {
      piece_area[root_of(piece, ids[i][0])] += surface_area(chosen_cuts[i].first);
      island_area[root_of(island, uv_corner(chosen_cuts[i].first, 0))] += surface_area(chosen_cuts[i].first);
    }
    std::map<std::int32_t, std::pair<double, int>> largest;  // by island: area and cut of a piece
    for (std::size_t i = 0; i < chosen_cuts.size(); ++i) {
      auto& best = largest[root_of(island, uv_corner(chosen_cuts[i].first, 0))];
      best = std::max(best, {piece_area[root_of(piece, ids[i][0])], chosen_cuts[i].second});
    }
    for (std::size_t i = 0; i < chosen_cuts.size(); ++i)
      if (piece_area[root_of(piece, ids[i][0])] < part.smallest_piece)
        chosen_cuts[i].second = largest[root_of(island, uv_corner(chosen_cuts[i].first, 0))].second;
    if (part.drop_small_islands)
      std::erase_if(chosen_cuts, [&](const auto& one) {
        return island_area[root_of(island, uv_corner(one.first, 0))] < part.smallest_piece;
      });
    return chosen_cuts;
  }

  // Texture coordinates of all faces of the layer, before they are divided: so midpoints stay on their edge.
  void lay_out(Layer& layer, const std::vector<std::vector<Face>>& parts,
               const std::vector<SurfacePart>& rules_of) const {
    std::vector<ChartFace> chart_faces;
    for (std::size_t p = 0; p < parts.size(); ++p)
      for (const Face& face : parts[p]) {
        ChartFace chart{face.uv, {}, rules_of[p].importance ? rules_of[p].importance(region_name(face.source)) : 1.0};
        for (std::size_t k = 0; k < 3; ++k) chart.points[k] = layer.position(face.v[k]);
        chart_faces.push_back(chart);
      }
    lay_out_charts(layer.corners, chart_faces, rules.chart_margin);
  }

  // The larger of two faces stays where centroids come closer than the thinning distance on the same side of the body.
  std::vector<Face> thinned(const SurfacePart& part, const Layer& layer, const std::vector<Face>& faces) const {
    if (rules.thinning <= 0) return faces;
    struct Candidate {
      std::array<float, 3> centre, normal;
      double area;
    };
    std::vector<Candidate> all;
    for (const Face& face : faces) {
      const auto a = layer.position(face.v[0]), b = layer.position(face.v[1]), c = layer.position(face.v[2]);
      Candidate one{{}, cross(b, a, c), area_of(a, b, c)};
      for (std::size_t k = 0; k < 3; ++k) one.centre[k] = (a[k] + b[k] + c[k]) / 3;
      all.push_back(one);
    }
    std::vector<std::size_t> order(faces.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t i, std::size_t j) { return all[i].area > all[j].area; });
    const auto reach_of = [&](const Face& face) { return rules.thinning * part.spacing(region_name(face.source)); };
    double cell = 0;
    for (const Face& face : faces) cell = std::max(cell, reach_of(face));
    std::map<std::array<int, 3>, std::vector<std::size_t>> cells;
    std::vector<std::uint8_t> stays(faces.size(), 0);
    for (const std::size_t i : order) {
      const double reach = reach_of(faces[i]);
      std::array<int, 3> at{};
      for (std::size_t k = 0; k < 3; ++k) at[k] = static_cast<int>(std::floor(all[i].centre[k] / cell));
      bool crowded = false;
      for (int n = 0; n < 27 && !crowded; ++n) {
        const auto it = cells.find({at[0] + n % 3 - 1, at[1] + n / 3 % 3 - 1, at[2] + n / 9 - 1});
        if (it == cells.end()) continue;
        crowded = std::any_of(it->second.begin(), it->second.end(), [&](std::size_t j) {
          double distance = 0, facing = 0;
          for (std::size_t k = 0; k < 3; ++k) {
            distance += std::pow(all[i].centre[k] - all[j].centre[k], 2);
            facing += all[i].normal[k] * all[j].normal[k];
          }
          return distance < reach * reach && facing > 0;
        });
      }
      if (crowded) continue;
      stays[i] = 1;
      cells[at].push_back(i);
    }
    std::vector<Face> kept;
    for (std::size_t i = 0; i < faces.size(); ++i)
      if (stays[i] != 0) kept.push_back(faces[i]);
    return kept;
  }

  void add_layer(int index, const std::vector<SurfacePart>& parts) {
    Layer layer(in);
    std::vector<std::vector<Face>> faces;
    for (const SurfacePart& part : parts) faces.push_back(faces_of(part, layer));
    lay_out(layer, faces, parts);
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const std::vector<Face> kept = thinned(parts[p], layer, divided(parts[p], layer, faces[p]));
      for (const Face& face : kept) add_gaussian(layer, face, index, parts[p].label);
      out.layers.blocks[index == 0 ? 0U : index == 1 ? 1U : 2U + p] += static_cast<std::int64_t>(kept.size());
      for (const Face& face : faces[p])
        for (const std::int32_t id : face.uv) {
          const Vec2& c = layer.corners[static_cast<std::size_t>(id)];
          out.charts[static_cast<std::size_t>(index)].corners.push_back(
              {static_cast<float>(c[0]), static_cast<float>(c[1])});
        }
      for (const Face& face : faces[p]) out.charts[static_cast<std::size_t>(index)].source.push_back(face.source);
    }
    for (const DenseVertex& v : layer.vertices)
      for (std::size_t e = 0; e < 3 * kShapeColumns; ++e) {
        float sum = 0;
        for (const auto& [id, w] : v.parts)
          sum += w * in.shape_dirs[static_cast<std::size_t>(id) * 3 * kShapeColumns + e];
        out.layers.shape_dirs.push_back(sum);
      }
    dense_before += static_cast<std::int64_t>(layer.vertices.size());
  }

  void add_gaussian(const Layer& layer, const Face& face, int index, int label) {
    std::array<std::array<float, 3>, 3> p;
    std::array<Vec2, 3> t;
    for (std::size_t k = 0; k < 3; ++k) {
      p[k] = layer.position(face.v[k]);
      t[k] = layer.corners[static_cast<std::size_t>(face.uv[k])];
      out.layers.faces.push_back(static_cast<std::int32_t>(dense_before + face.v[k]));
    }
    for (std::size_t k = 0; k < 3; ++k) out.layers.positions.push_back((p[0][k] + p[1][k] + p[2][k]) / 3);
    const auto u = static_cast<float>((t[0][0] + t[1][0] + t[2][0]) / 3),
               v = static_cast<float>((t[0][1] + t[1][1] + t[2][1]) / 3);
    out.layers.uvs.push_back(u / 3 + static_cast<float>(index / 3.0));
    out.layers.uvs.push_back(v);
    const auto frame = tangent_frame(p, t);
    out.layers.frames.insert(out.layers.frames.end(), frame.begin(), frame.end());
    out.layers.labels.push_back(label);
    out.source.push_back(face.source);
    if (index != 0) return;
    for (int j = 0; j < kJoints; ++j) {
      float sum = 0;
      for (std::size_t k = 0; k < 3; ++k)
        for (const auto& [id, w] : layer.vertices[static_cast<std::size_t>(face.v[k])].parts)
          sum += w * in.weights[static_cast<std::size_t>(id) * kJoints + static_cast<std::size_t>(j)] / 3;
      out.layers.body_weights.push_back(sum);
    }
    out.layers.face_mask.push_back(touches(face.source, "face") ? 1 : 0);
    out.layers.hands_mask.push_back(touches(face.source, "hands") ? 1 : 0);
    out.layers.outside_mask.push_back(touches(face.source, "eyes") ? 1 : 0);
    out.layers.nose_mask.push_back(touches(face.source, "nose") ? 1 : 0);
  }
};

}  // namespace

SurfaceTemplate build_from_surface(const SurfaceInput& input, const SurfaceRules& rules) {
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
