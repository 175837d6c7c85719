#include "layeravatar/templates/official_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>

#include "layeravatar/core/error.h"
#include "layeravatar/templates/face_rules.h"
#include "layeravatar/templates/subdivision.h"

namespace layeravatar::templates {
namespace {

constexpr const char* kFiles[kLayers] = {"body.obj", "hair_shoes.obj", "up_and_low.obj"};
constexpr const char* kLayerNames[4] = {"layer 0", "layer 1", "layer 2 (low)", "layer 2 (up)"};
constexpr std::int64_t kMostGaussians = 1 << 20;  // a dense vertex takes 6 kB of pose directions
constexpr double kFrameTolerance = 1e-3;          // metres between body.obj and the canonical body
constexpr double kFlatTexture = 1e-12;            // twice the area of a texture triangle that gives no direction

using Flags = std::vector<std::uint8_t>;  // [V] 1 = in the set
using Names = std::initializer_list<const char*>;

struct Regions {
  Flags coarse, face, hands, outside, nose, hair, shoes;
};

/// Vertices in a or b; those in a but not in b.
Flags unite(Flags a, const Flags& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] |= b[i];
  return a;
}
Flags without(Flags a, const Flags& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = a[i] != 0 && b[i] == 0 ? 1 : 0;
  return a;
}

Regions find_regions(const OfficialSources& sources, std::size_t vertices) {
  const auto parts = [&](Names names) {
    Flags out(vertices);
    for (const char* name : names)
      for (const std::int64_t id : sources.parts.at(name)) out.at(static_cast<std::size_t>(id)) = 1;
    return out;
  };
  const auto add_mask = [&](Flags& out, const std::vector<std::int64_t>& ids) {
    for (const std::int64_t id : ids)
      out.at(static_cast<std::size_t>(sources.smplx_of_flame.at(static_cast<std::size_t>(id)))) = 1;
  };
  const auto masks = [&](Names names) {
    Flags out(vertices);
    for (const char* name : names) add_mask(out, sources.flame_masks.at(name));
    return out;
  };
  Flags mouth(vertices), head(vertices), masked(vertices);
  const auto& triangles = sources.body.triangles;
  for (std::size_t f = triangles.size() - kMouthFaces; f < triangles.size(); ++f)
    for (const std::int32_t id : triangles[f]) mouth[static_cast<std::size_t>(id)] = 1;
  for (const std::int64_t id : sources.smplx_of_flame) head.at(static_cast<std::size_t>(id)) = 1;
  for (const auto& [name, ids] : sources.flame_masks) add_mask(masked, ids);

  const Flags front = without(masks({"face"}), masks({"forehead"}));
  const Flags eyes = parts({"leftEye", "rightEye"}), torso = parts({"spine", "spine1", "spine2"});
  const Flags feet = parts({"leftFoot", "rightFoot", "leftToeBase", "rightToeBase"});
  Regions out;
  out.hands = parts({"leftHand", "rightHand", "leftHandIndex1", "rightHandIndex1"});
  out.face = unite(front, eyes);
  out.outside = without(head, masked);
  out.nose = masks({"nose"});
  out.hair = unite(unite(masks({"scalp", "forehead"}), torso), parts({"neck"}));
  out.shoes = unite(feet, parts({"leftLeg", "rightLeg"}));
  out.coarse = without(front, mouth);
  for (const Flags& more : {masks({"left_ear", "right_ear", "scalp"}), eyes, out.hands, torso, parts({"hips"}), feet})
    out.coarse = unite(out.coarse, more);
  return out;
}

bool touches(const Flags& set, const Triangle& face) {
  return std::any_of(face.begin(), face.end(), [&](std::int32_t v) { return set[static_cast<std::size_t>(v)] != 0; });
}

std::vector<float> flat(const std::vector<std::array<float, 3>>& points) {
  std::vector<float> out;
  for (const auto& p : points) out.insert(out.end(), p.begin(), p.end());
  return out;
}

struct Layer {
  std::vector<float> points, uvs;  // dense, [m, 3] and [., 2]
  std::vector<Triangle> faces, uv_faces;
  std::vector<std::int32_t> origin;                    // face of the mesh that each face comes from
  std::vector<std::array<std::int32_t, 2>> body_ends;  // [m] body vertices whose mean gives the attributes
};

/// `points` of the mesh's vertices, `body_vertex` that each takes its attributes from, 1 in `divided` for faces to
/// divide.
Layer make_layer(const io::ObjMesh& mesh, const std::vector<float>& points,
                 const std::vector<std::int32_t>& body_vertex, const Flags& divided) {
  Layer out;
  std::vector<float> uvs;
  for (const auto& t : mesh.uvs) uvs.insert(uvs.end(), t.begin(), t.end());
  std::vector<Triangle> faces, uv_faces;
  for (std::size_t f = 0; f < mesh.triangles.size(); ++f) {
    if (divided[f] == 0) continue;
    faces.push_back(mesh.triangles[f]);
    uv_faces.push_back(mesh.uv_triangles[f]);
    out.origin.insert(out.origin.end(), 4, static_cast<std::int32_t>(f));
  }
  Subdivision division = subdivide(points, 3, faces), uv_division = subdivide(uvs, 2, uv_faces);
  out.points = with_midpoints(points, 3, division);
  out.uvs = with_midpoints(uvs, 2, uv_division);
  out.faces = std::move(division.faces);
  out.uv_faces = std::move(uv_division.faces);
  for (std::size_t f = 0; f < mesh.triangles.size(); ++f) {
    if (divided[f] != 0) continue;
    out.faces.push_back(mesh.triangles[f]);
    out.uv_faces.push_back(mesh.uv_triangles[f]);
    out.origin.push_back(static_cast<std::int32_t>(f));
  }
  for (const std::int32_t v : body_vertex) out.body_ends.push_back({v, v});
  for (const auto& [a, b] : division.ends)
    out.body_ends.push_back({body_vertex[static_cast<std::size_t>(a)], body_vertex[static_cast<std::size_t>(b)]});
  return out;
}

/// The nearest vertex of body.obj, the lowest id where several are.
std::vector<std::int32_t> nearest_vertices(const io::ObjMesh& mesh, const io::ObjMesh& body) {
  std::vector<std::int32_t> out;
  for (const auto& p : mesh.vertices) {
    float best = std::numeric_limits<float>::infinity();
    std::size_t at = 0;
    for (std::size_t v = 0; v < body.vertices.size(); ++v) {
      const auto& q = body.vertices[v];
      const float x = p[0] - q[0], y = p[1] - q[1], z = p[2] - q[2];
      const float square = x * x + y * y + z * z;
      if (square < best) best = square, at = v;
    }
    out.push_back(static_cast<std::int32_t>(at));
  }
  return out;
}

/// Appends the layer's Gaussians. Returns how many have a texture triangle without area. Throws Error(kInput) where a
/// sum of three coordinates overflows.
std::int64_t append_faces(LayeredTemplate& t, const Layer& layer, int index, std::int32_t first_vertex) {
  std::int64_t degenerate = 0;
  const float shift = static_cast<float>(index / 3.0);
  for (std::size_t f = 0; f < layer.faces.size(); ++f) {
    std::array<std::array<float, 3>, 3> points;
    std::array<std::array<double, 2>, 3> uvs;
    std::array<float, 2> uv{};
    for (std::size_t c = 0; c < 3; ++c) {
      const float* p = layer.points.data() + 3 * layer.faces[f][c];
      const float* q = layer.uvs.data() + 2 * layer.uv_faces[f][c];
      points[c] = {p[0], p[1], p[2]};
      uvs[c] = {q[0], q[1]};
      for (std::size_t k = 0; k < 2; ++k) uv[k] += q[k];
      t.faces.push_back(first_vertex + layer.faces[f][c]);
    }
    for (std::size_t k = 0; k < 3; ++k) t.positions.push_back((points[0][k] + points[1][k] + points[2][k]) / 3.0F);
    const auto frame = tangent_frame(points, uvs);
    t.frames.insert(t.frames.end(), frame.begin(), frame.end());
    t.uvs.push_back(uv[0] / 3.0F / 3.0F + shift);
    t.uvs.push_back(uv[1] / 3.0F);
    for (const float x : {t.positions.end()[-3], t.positions.end()[-2], t.positions.end()[-1], uv[0], uv[1]})
      if (!std::isfinite(x))
        throw Error(ErrorKind::kInput, fmt::format("{}: coordinates are too large", kFiles[index]));
    const double area =
        (uvs[1][0] - uvs[0][0]) * (uvs[2][1] - uvs[0][1]) - (uvs[1][1] - uvs[0][1]) * (uvs[2][0] - uvs[0][0]);
    if (std::abs(area) < kFlatTexture) ++degenerate;
  }
  return degenerate;
}

/// Means of rows [V, width] of the body's values at both ends of each dense vertex.
std::vector<float> mean_rows(const std::vector<float>& values, std::size_t width,
                             const std::vector<std::array<std::int32_t, 2>>& ends) {
  std::vector<float> out;
  out.reserve(width * ends.size());
  for (const auto& [a, b] : ends)
    for (std::size_t k = 0; k < width; ++k)
      out.push_back(
          (values[static_cast<std::size_t>(a) * width + k] + values[static_cast<std::size_t>(b) * width + k]) / 2);
  return out;
}

std::vector<float> mean_pose_dirs(const body::BodyModel& model, const std::vector<std::array<std::int32_t, 2>>& ends) {
  if (model.posedirs.empty()) return {};
  const std::size_t row = model.v_template.size();
  std::vector<float> out;
  out.reserve(model.posedirs.size() / row * 3 * ends.size());
  for (std::size_t begin = 0; begin < model.posedirs.size(); begin += row)
    for (const auto& [a, b] : ends)
      for (std::size_t k = 0; k < 3; ++k)
        out.push_back((model.posedirs[begin + 3 * static_cast<std::size_t>(a) + k] +
                       model.posedirs[begin + 3 * static_cast<std::size_t>(b) + k]) /
                      2);
  return out;
}

std::vector<float> mean_face_weights(const body::BodyModel& model, const Layer& layer) {
  const std::vector<float> dense = mean_rows(model.weights, body::kJoints, layer.body_ends);
  std::vector<float> out;
  for (const auto& [a, b, c] : layer.faces)
    for (std::size_t j = 0; j < body::kJoints; ++j)
      out.push_back((dense[static_cast<std::size_t>(a) * body::kJoints + j] +
                     dense[static_cast<std::size_t>(b) * body::kJoints + j] +
                     dense[static_cast<std::size_t>(c) * body::kJoints + j]) /
                    3.0F);
  return out;
}

void label_body(LayeredTemplate& t, const io::ObjMesh& mesh, const Layer& layer, const Regions& regions) {
  for (const std::int32_t f : layer.origin) {
    const Triangle& face = mesh.triangles[static_cast<std::size_t>(f)];
    t.labels.push_back(1);
    t.face_mask.push_back(touches(regions.face, face) ? 1 : 0);
    t.hands_mask.push_back(touches(regions.hands, face) ? 1 : 0);
    t.outside_mask.push_back(touches(regions.outside, face) ? 1 : 0);
    t.nose_mask.push_back(touches(regions.nose, face) ? 1 : 0);
  }
}

/// By the body vertices nearest to the corners; shoes win. Returns how many are neither.
std::int64_t label_hair_shoes(LayeredTemplate& t, const io::ObjMesh& mesh, const Layer& layer,
                              const std::vector<std::int32_t>& nearest, const Regions& regions) {
  std::int64_t neither = 0;
  for (const std::int32_t f : layer.origin) {
    Triangle face = mesh.triangles[static_cast<std::size_t>(f)];
    for (std::int32_t& v : face) v = nearest[static_cast<std::size_t>(v)];
    t.labels.push_back(touches(regions.shoes, face) ? 4 : touches(regions.hair, face) ? 3 : 0);
    if (t.labels.back() == 0) ++neither;
  }
  return neither;
}

/// Between the mesh's vertices and `points`, metres.
double largest_distance(const io::ObjMesh& mesh, const std::vector<float>& points) {
  double out = 0;
  for (std::size_t v = 0; v < mesh.vertices.size(); ++v) {
    double square = 0;
    for (std::size_t k = 0; k < 3; ++k)
      square += std::pow(static_cast<double>(mesh.vertices[v][k]) - points[3 * v + k], 2);
    out = std::max(out, std::sqrt(square));
  }
  return out;
}

void check_sizes(const std::array<std::int64_t, 4>& blocks, const OfficialSizes& sizes) {
  for (std::size_t k = 0; k < 4; ++k) {
    const char* file = kFiles[std::min<std::size_t>(k, 2)];
    if (sizes.gaussians[k] != kAnySize && blocks[k] != sizes.gaussians[k])
      throw Error(ErrorKind::kInput, fmt::format("{}: {}: expected {} Gaussians, found {}", file, kLayerNames[k],
                                                 sizes.gaussians[k], blocks[k]));
    if (blocks[k] > kMostGaussians)
      throw Error(ErrorKind::kInput, fmt::format("{}: {}: expected at most {} Gaussians, found {}", file,
                                                 kLayerNames[k], kMostGaussians, blocks[k]));
  }
}

void check_sources(const body::BodyModel& model, const OfficialSources& sources, const OfficialSizes& sizes) {
  if (model.vertex_count() != sizes.vertices)
    throw Error(ErrorKind::kInput,
                fmt::format("the body model: expected {} vertices, found {}", sizes.vertices, model.vertex_count()));
  check_flame_masks(sources.flame_masks, static_cast<std::int64_t>(sources.smplx_of_flame.size()), "FLAME masks");
  check_body_mesh(sources.body, sizes.vertices, kFiles[0]);
  check_bottom_top_mesh(sources.bottom_top, kFiles[2]);
}

}  // namespace

OfficialTemplate build_official_template(const body::BodyModel& model, const OfficialSources& sources,
                                         const OfficialSizes& sizes) {
  check_sources(model, sources, sizes);
  const auto vertices = static_cast<std::size_t>(model.vertex_count());
  const Regions regions = find_regions(sources, vertices);
  OfficialTemplate out;
  LayeredTemplate& t = out.layers;

  const std::array<const io::ObjMesh*, kLayers> meshes = {&sources.body, &sources.hair_shoes, &sources.bottom_top};
  Flags divided;
  for (const Triangle& face : sources.body.triangles) divided.push_back(touches(regions.coarse, face) ? 0 : 1);
  const auto count = [](const auto& values) { return static_cast<std::int64_t>(values.size()); };
  const auto low = std::find_if(sources.bottom_top.objects.begin(), sources.bottom_top.objects.end(),
                                [](const auto& object) { return object.triangle_count > 0; });
  t.blocks = {count(divided) + 3 * std::count(divided.begin(), divided.end(), 1),
              4 * count(sources.hair_shoes.triangles), 4 * low->triangle_count,
              4 * (count(sources.bottom_top.triangles) - low->triangle_count)};
  check_sizes(t.blocks, sizes);

  std::array<Layer, kLayers> layers;
  std::vector<std::int32_t> identity(vertices);
  for (std::size_t v = 0; v < vertices; ++v) identity[v] = static_cast<std::int32_t>(v);
  const std::vector<float> canonical = body::pose(model, body::canonical_pose()).vertices;
  layers[0] = make_layer(sources.body, canonical, identity, divided);
  const auto nearest = nearest_vertices(sources.hair_shoes, sources.body);
  for (std::size_t k = 1; k < kLayers; ++k)
    layers[k] =
        make_layer(*meshes[k], flat(meshes[k]->vertices), k == 1 ? nearest : nearest_vertices(*meshes[k], sources.body),
                   Flags(meshes[k]->triangles.size(), 1));

  std::vector<std::array<std::int32_t, 2>> ends;
  for (int k = 0; k < kLayers; ++k) {
    const Layer& layer = layers[static_cast<std::size_t>(k)];
    const std::int64_t degenerate = append_faces(t, layer, k, static_cast<std::int32_t>(ends.size()));
    if (degenerate > 0)
      out.warnings.push_back(
          fmt::format("{}: {} Gaussians of layer {} have a texture triangle without area", kFiles[k], degenerate, k));
    ends.insert(ends.end(), layer.body_ends.begin(), layer.body_ends.end());
  }
  t.shape_dirs = mean_rows(model.shapedirs, 3 * body::kShapeColumns, ends);
  t.pose_dirs = mean_pose_dirs(model, ends);
  t.body_weights = mean_face_weights(model, layers[0]);

  label_body(t, sources.body, layers[0], regions);
  const std::int64_t unlabelled = label_hair_shoes(t, sources.hair_shoes, layers[1], nearest, regions);
  t.labels.insert(t.labels.end(), static_cast<std::size_t>(t.blocks[2]), 5);
  t.labels.insert(t.labels.end(), static_cast<std::size_t>(t.blocks[3]), 2);

  if (unlabelled > 0)
    out.warnings.push_back(
        fmt::format("{}: {} Gaussians of layer 1 are neither hair nor shoes", kFiles[1], unlabelled));
  const double away = largest_distance(sources.body, canonical);
  if (away > kFrameTolerance)
    out.warnings.push_back(fmt::format(
        "{}: vertices differ from the canonical body by up to {:.3g} m; is the mesh in another pose or frame?",
        kFiles[0], away));
  return out;
}

}  // namespace layeravatar::templates
