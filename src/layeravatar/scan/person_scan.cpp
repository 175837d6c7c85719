#include "layeravatar/scan/person_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/obj.h"
#include "layeravatar/io/pickle_write.h"
#include "layeravatar/people/pose_library.h"

namespace layeravatar::scan {
namespace {

namespace fs = std::filesystem;

constexpr int kMargin = 8;  // texels around a chart: a texel of the release's last level
constexpr std::size_t kSpread = 12;  // texels that the shade goes on beyond its triangles
constexpr int kAtlasWidth = 4096, kMaxAtlasHeight = 32768;

using Uv = std::array<float, 2>;

// Texels of a texture, rows from the top; corners of texels at whole numbers.
Uv texel_place(const Uv& uv, const io::Image& texture) {
  return {uv[0] * static_cast<float>(texture.width), (1 - uv[1]) * static_cast<float>(texture.height)};
}

struct Chart {
  std::vector<std::size_t> triangles;
  std::int32_t material = 0;
  int x = 0, y = 0, width = 0, height = 0;  // the cut of the texture; x and y may lie outside
  int at_x = 0, at_y = 0;                   // its place in the atlas
};

double signed_area(const Uv& a, const Uv& b, const Uv& c) {
  return static_cast<double>(b[0] - a[0]) * (c[1] - a[1]) - static_cast<double>(b[1] - a[1]) * (c[0] - a[0]);
}

// Triangles that share corners (vertex and uv) and turn the same way in the texture, which may hold mirrored copies.
std::vector<Chart> charts_of(const people::TexturedMesh& mesh) {
  std::vector<std::size_t> parent(mesh.triangles.size());
  std::iota(parent.begin(), parent.end(), std::size_t{0});
  const auto root = [&](std::size_t t) {
    while (parent[t] != t) t = parent[t] = parent[parent[t]];
    return t;
  };
  std::map<std::tuple<std::int32_t, std::int32_t, bool>, std::size_t> owner;
  for (std::size_t t = 0; t < mesh.triangles.size(); ++t) {
    const auto& ids = mesh.uv_triangles[t];
    const auto uv = [&](std::size_t k) { return mesh.uvs[static_cast<std::size_t>(ids[k])]; };
    const bool mirrored = signed_area(uv(0), uv(1), uv(2)) < 0;
    for (std::size_t k = 0; k < 3; ++k) {
      const auto [at, fresh] = owner.try_emplace({mesh.triangles[t][k], ids[k], mirrored}, t);
      if (!fresh) parent[root(t)] = root(at->second);
    }
  }
  std::map<std::size_t, std::size_t> number;
  std::vector<Chart> out;
  for (std::size_t t = 0; t < mesh.triangles.size(); ++t) {
    const auto [at, fresh] = number.try_emplace(root(t), out.size());
    if (fresh) out.emplace_back();
    out[at->second].triangles.push_back(t);
    out[at->second].material = mesh.materials[t];
  }
  return out;
}

int down_to_margin(float v) { return static_cast<int>(std::floor(v / kMargin)) * kMargin; }

void measure(Chart& chart, const people::TexturedMesh& mesh) {
  const io::Image& texture = mesh.material_list[static_cast<std::size_t>(chart.material)].texture;
  float low[2] = {1e9F, 1e9F}, high[2] = {-1e9F, -1e9F};
  for (const std::size_t t : chart.triangles)
    for (const std::int32_t id : mesh.uv_triangles[t]) {
      const Uv p = texel_place(mesh.uvs[static_cast<std::size_t>(id)], texture);
      for (std::size_t k = 0; k < 2; ++k) low[k] = std::min(low[k], p[k]), high[k] = std::max(high[k], p[k]);
    }
  // Whole texels of the coarse levels, so that they average what the texture's own do.
  chart.x = down_to_margin(low[0] - kMargin), chart.y = down_to_margin(low[1] - kMargin);
  chart.width = down_to_margin(high[0] + 2 * kMargin) - chart.x, chart.height = down_to_margin(high[1] + 2 * kMargin) - chart.y;
}

// Rows of charts, the highest first. Returns the height.
int pack(std::vector<Chart>& charts) {
  std::vector<std::size_t> order(charts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return charts[a].height > charts[b].height; });
  int x = 0, y = 0, row = 0;
  for (const std::size_t i : order) {
    Chart& c = charts[i];
    LAV_CHECK(c.width <= kAtlasWidth, "a chart wider than the picture");
    if (x + c.width > kAtlasWidth) x = 0, y += row, row = 0;
    c.at_x = x, c.at_y = y;
    x += c.width, row = std::max(row, c.height);
  }
  LAV_CHECK(y + row <= kMaxAtlasHeight, "the charts do not fit one picture");
  return y + row;
}

// The shade of each texel of a chart's cut: of the triangles at texel centres, near them of the nearest such texel, and -1
// farther away.
std::vector<float> shade_of(const Chart& chart, const people::TexturedMesh& mesh) {
  const io::Image& texture = mesh.material_list[static_cast<std::size_t>(chart.material)].texture;
  const auto width = static_cast<std::size_t>(chart.width);
  std::vector<float> out(width * static_cast<std::size_t>(chart.height), -1.0F);
  std::vector<std::size_t> front;
  for (const std::size_t t : chart.triangles) {
    Uv p[3];
    float shade[3];
    for (std::size_t k = 0; k < 3; ++k) {
      p[k] = texel_place(mesh.uvs[static_cast<std::size_t>(mesh.uv_triangles[t][k])], texture);
      p[k] = {p[k][0] - static_cast<float>(chart.x) - 0.5F, p[k][1] - static_cast<float>(chart.y) - 0.5F};
      shade[k] = mesh.shade[static_cast<std::size_t>(mesh.triangles[t][k])];
    }
    const double area = signed_area(p[0], p[1], p[2]);
    const auto set = [&](int x, int y, float value) {
      const std::size_t at = static_cast<std::size_t>(y) * width + static_cast<std::size_t>(x);
      if (out[at] < 0) front.push_back(at);
      out[at] = value;
    };
    if (std::abs(area) > 1e-9) {
      const int x0 = static_cast<int>(std::ceil(std::min({p[0][0], p[1][0], p[2][0]}))), x1 = static_cast<int>(std::floor(std::max({p[0][0], p[1][0], p[2][0]})));
      const int y0 = static_cast<int>(std::ceil(std::min({p[0][1], p[1][1], p[2][1]}))), y1 = static_cast<int>(std::floor(std::max({p[0][1], p[1][1], p[2][1]})));
      for (int y = y0; y <= y1; ++y)
        for (int x = x0; x <= x1; ++x) {
          const Uv here{static_cast<float>(x), static_cast<float>(y)};
          const double b0 = signed_area(here, p[1], p[2]) / area, b1 = signed_area(p[0], here, p[2]) / area, b2 = 1 - b0 - b1;
          if (b0 >= 0 && b1 >= 0 && b2 >= 0) set(x, y, static_cast<float>(b0 * shade[0] + b1 * shade[1] + b2 * shade[2]));
        }
    }
    for (std::size_t k = 0; k < 3; ++k) {  // triangles smaller than a texel
      const int x = static_cast<int>(std::lround(p[k][0])), y = static_cast<int>(std::lround(p[k][1]));
      if (out[static_cast<std::size_t>(y) * width + static_cast<std::size_t>(x)] < 0) set(x, y, shade[k]);
    }
  }
  std::size_t ring = front.size();
  for (std::size_t next = 0, steps = 0; next < front.size(); ++next) {
    if (next == ring) {
      if (++steps == kSpread) break;
      ring = front.size();
    }
    const std::size_t x = front[next] % width, y = front[next] / width;
    const auto spread = [&](bool inside, std::size_t at) {
      if (!inside || out[at] >= 0) return;
      out[at] = out[front[next]];
      front.push_back(at);
    };
    spread(x > 0, front[next] - 1);
    spread(x + 1 < width, front[next] + 1);
    spread(y > 0, front[next] - width);
    spread(y + 1 < static_cast<std::size_t>(chart.height), front[next] + width);
  }
  return out;
}

void paint(io::Image& atlas, const Chart& chart, const people::TexturedMesh& mesh) {
  const io::Image& texture = mesh.material_list[static_cast<std::size_t>(chart.material)].texture;
  const std::vector<float> shade = shade_of(chart, mesh);
  const auto channels = static_cast<std::size_t>(texture.channels), to_channels = static_cast<std::size_t>(atlas.channels);
  for (int y = 0; y < chart.height; ++y)
    for (int x = 0; x < chart.width; ++x) {
      const float light = shade[static_cast<std::size_t>(y) * static_cast<std::size_t>(chart.width) + static_cast<std::size_t>(x)];
      if (light < 0) continue;
      const int from_x = std::clamp(chart.x + x, 0, texture.width - 1), from_y = std::clamp(chart.y + y, 0, texture.height - 1);
      const std::uint8_t* from = texture.pixels.data() + channels * (static_cast<std::size_t>(from_y) * static_cast<std::size_t>(texture.width) + static_cast<std::size_t>(from_x));
      std::uint8_t* to = atlas.pixels.data() + to_channels * (static_cast<std::size_t>(chart.at_y + y) * static_cast<std::size_t>(atlas.width) + static_cast<std::size_t>(chart.at_x + x));
      for (std::size_t k = 0; k < 3; ++k) to[k] = static_cast<std::uint8_t>(std::clamp(std::lround(static_cast<float>(from[channels == 1 ? 0 : k]) * light), 0L, 255L));
      if (to_channels == 4) to[3] = channels == 4 ? from[3] : 255;
    }
}

io::Array row(std::span<const float> values) { return io::make_array<float>({1, static_cast<std::int64_t>(values.size())}, values); }

// Keys of both kinds of fits.
std::vector<std::pair<std::string, std::span<const float>>> parts_of(const body::PoseParams& p) {
  return {{"betas", p.betas}, {"global_orient", p.global_orient}, {"body_pose", p.body_pose}, {"left_hand_pose", p.left_hand},
          {"right_hand_pose", p.right_hand}, {"jaw_pose", p.jaw}, {"leye_pose", p.leye}, {"reye_pose", p.reye}, {"expression", p.expression}};
}

struct Placed {
  std::vector<Point> vertices;
  std::string fit;
};

// As a scanner would deliver it: a person of about one unit, somewhere in front of it.
Placed in_thuman(const people::DressedPerson& person) {
  constexpr double kScale = 0.45;
  constexpr std::array<double, 3> kTranslation = {0.05, 0.4, -0.1};
  Placed out;
  for (const Point& p : person.mesh.vertices) {
    Point q{};
    for (std::size_t k = 0; k < 3; ++k) q[k] = static_cast<float>(kScale * (static_cast<double>(p[k]) - person.params.transl[k]) + kTranslation[k]);
    out.vertices.push_back(q);
  }
  io::ArrayMap fit;
  for (const auto& [name, values] : parts_of(person.params)) fit[name] = row(values);
  fit["scale"] = io::make_array<double>({1}, std::array<double, 1>{kScale});
  fit["translation"] = io::make_array<double>({3}, kTranslation);
  out.fit = io::format_pickle_arrays(fit);
  return out;
}

Placed in_custom(const people::DressedPerson& person, const body::BodyModel* model) {
  if (person.params.global_orient != std::array<float, 3>{}) throw Error(ErrorKind::kConfig, "people that are turned have no place in the layout of custom");
  Placed out{person.mesh.vertices, {}};
  // What normalise() adds, and the translation that it returns.
  body::SmplxFit fit;
  fit.betas = person.params.betas;
  fit.expression = person.params.expression;
  std::vector<Point> none;
  const auto centre = normalise(none, ScanSet::kCustomHumans, fit, model);
  for (Point& p : out.vertices) p[1] -= 0.1F;
  nlohmann::ordered_json json;
  for (const auto& [name, values] : parts_of(person.params)) json[name] = std::vector<float>(values.begin(), values.end());
  std::array<double, 3> transl{};
  for (std::size_t k = 0; k < 3; ++k) transl[k] = person.params.transl[k] - centre[k];
  json["transl"] = transl;
  out.fit = json.dump() + "\n";
  return out;
}

}  // namespace

ScanMesh scan_of(const people::TexturedMesh& mesh) {
  LAV_CHECK(mesh.shade.size() == mesh.vertices.size() && mesh.uv_triangles.size() == mesh.triangles.size(), "a whole mesh");
  std::vector<Chart> charts = charts_of(mesh);
  for (Chart& c : charts) measure(c, mesh);
  const bool alpha = std::any_of(mesh.material_list.begin(), mesh.material_list.end(), [](const auto& m) { return m.texture.channels == 4; });
  ScanMesh out;
  io::Image atlas{kAtlasWidth, pack(charts), alpha ? 4 : 3, {}};
  atlas.pixels.assign(static_cast<std::size_t>(atlas.width) * static_cast<std::size_t>(atlas.height) * static_cast<std::size_t>(atlas.channels), 0);
  out.uv_triangles.resize(mesh.triangles.size());
  for (const Chart& c : charts) {
    paint(atlas, c, mesh);
    const io::Image& texture = mesh.material_list[static_cast<std::size_t>(c.material)].texture;
    std::map<std::int32_t, std::int32_t> number;
    for (const std::size_t t : c.triangles)
      for (std::size_t k = 0; k < 3; ++k) {
        const std::int32_t id = mesh.uv_triangles[t][k];
        const auto [at, fresh] = number.try_emplace(id, static_cast<std::int32_t>(out.uvs.size()));
        out.uv_triangles[t][k] = at->second;
        if (!fresh) continue;
        const Uv p = texel_place(mesh.uvs[static_cast<std::size_t>(id)], texture);
        out.uvs.push_back({(p[0] - static_cast<float>(c.x) + static_cast<float>(c.at_x)) / static_cast<float>(atlas.width),
                           1 - (p[1] - static_cast<float>(c.y) + static_cast<float>(c.at_y)) / static_cast<float>(atlas.height)});
      }
  }
  out.vertices = mesh.vertices;
  out.triangles = mesh.triangles;
  out.materials.assign(mesh.triangles.size(), 0);
  out.material_list.push_back({"material0", std::move(atlas)});
  return out;
}

ScanPaths write_person_scan(const fs::path& root, const std::string& id, const people::DressedPerson& person, ScanSet set, const body::BodyModel* model) {
  const bool custom = set == ScanSet::kCustomHumans;
  if (!custom && set != ScanSet::kThuman20) throw Error(ErrorKind::kConfig, fmt::format("set = {}: people are written as thuman2.0 or custom", name_of(set)));
  const std::string stem = custom ? "mesh-f" + (id.size() >= 5 ? id.substr(id.size() - 5) : id) : id;
  const ScanPaths paths{root / (custom ? "mesh" : "THuman2.0_Release") / id, root / (custom ? "smplx" : "THUman20_Smpl-X") / id};
  if (fs::exists(paths.folder)) throw Error(ErrorKind::kOutput, paths.folder.string() + ": exists already");
  const Placed placed = custom ? in_custom(person, model) : in_thuman(person);
  const ScanMesh scan = scan_of(person.mesh);
  make_folder(paths.fit);
  for (const char* end : {"", "_refine"}) write_file(paths.fit / (custom ? stem + end + ".json" : std::string("smplx_param") + end + ".pkl"), placed.fit);
  AtomicFolder folder(paths.folder);
  io::ObjMesh obj{placed.vertices, scan.uvs, scan.triangles, scan.uv_triangles, scan.materials, {{"material0", custom ? stem + ".png" : "material0.png"}}, {}};
  const std::string library = custom ? stem + ".mtl" : "material0.mtl";
  folder.write(stem + ".obj", io::format_obj(obj, library));
  folder.write(library, io::format_mtl(obj.material_list));
  folder.write(obj.material_list[0].texture, io::format_png(scan.material_list[0].texture, 1));
  folder.commit();
  return paths;
}

void make_people_scans(people::Wardrobe& wardrobe, const fs::path& root, const PeopleScansOptions& options, const std::function<void(int, int)>& progress) {
  if (options.count < 1) throw Error(ErrorKind::kConfig, fmt::format("count = {}, must be > 0", options.count));
  if (options.set != ScanSet::kThuman20 && options.set != ScanSet::kCustomHumans)
    throw Error(ErrorKind::kConfig, fmt::format("set = {}: people are written as thuman2.0 or custom", name_of(options.set)));
  for (int i = 0; i < options.count; ++i) {
    const std::uint64_t seed = options.seed + static_cast<std::uint64_t>(i);
    const bool custom = options.set == ScanSet::kCustomHumans;
    const std::string id = fmt::format("{:07}", seed);
    if (!fs::exists(root / (custom ? "mesh" : "THuman2.0_Release") / id)) {
      const auto person = wardrobe.dress(people::sample_look(seed, wardrobe.package()), people::sample_pose(seed));
      write_person_scan(root, id, person, options.set, &wardrobe.body().model);
    }
    if (progress) progress(i + 1, options.count);
  }
}

}  // namespace layeravatar::scan
