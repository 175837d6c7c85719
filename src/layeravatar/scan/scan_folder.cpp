#include "layeravatar/scan/scan_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "layeravatar/core/error.h"

namespace layeravatar::scan {
namespace {

namespace fs = std::filesystem;

constexpr int kFirstOfThuman21 = 526;
constexpr double kReach = 3.0, kNear = 0.03;

std::string frame_of(const std::string& id) { return id.size() >= 5 ? id.substr(id.size() - 5) : id; }

fs::path mesh_in(const fs::path& folder, const std::string& id) {
  for (const char* ending : {".obj", ".glb"})
    for (const std::string& stem : {id, "mesh-f" + frame_of(id)})
      if (fs::exists(folder / (stem + ending))) return folder / (stem + ending);
  std::vector<fs::path> all;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".obj" || entry.path().extension() == ".glb") all.push_back(entry.path());
  return all.size() == 1 ? all[0] : fs::path();
}

std::array<double, 3> pelvis(const body::BodyModel* model, const body::SmplxFit& fit, ScanSet set) {
  if (model == nullptr) throw Error(ErrorKind::kConfig, fmt::format("scans of {} need --body: their fits turn about its pelvis", name_of(set)));
  body::PoseParams params;
  params.betas = fit.betas;
  params.expression = fit.expression;
  const body::PosedBody posed = body::pose(*model, params);
  return {posed.rest_joints[0], posed.rest_joints[1], posed.rest_joints[2]};
}

}  // namespace

ScanSet scan_set_of(const std::string& name) {
  for (const ScanSet set : {ScanSet::kThuman20, ScanSet::kThuman21, ScanSet::kCustomHumans, ScanSet::kPlain})
    if (name == name_of(set)) return set;
  throw Error(ErrorKind::kConfig, fmt::format("set = {}: expected thuman2.0, thuman2.1, custom or plain", name));
}

std::string name_of(ScanSet set) {
  switch (set) {
    case ScanSet::kThuman20: return "thuman2.0";
    case ScanSet::kThuman21: return "thuman2.1";
    case ScanSet::kCustomHumans: return "custom";
    case ScanSet::kPlain: break;
  }
  return "plain";
}

std::optional<body::FitSource> fit_source_of(ScanSet set) {
  switch (set) {
    case ScanSet::kThuman20: return body::FitSource::kThuman20;
    case ScanSet::kThuman21: return body::FitSource::kThuman21;
    case ScanSet::kCustomHumans: return body::FitSource::kCustomHumans;
    case ScanSet::kPlain: break;
  }
  return std::nullopt;
}

bool belongs(ScanSet set, const std::string& id) {
  if (id.starts_with('.') || id.ends_with(".partial")) return false;
  if (set != ScanSet::kThuman21) return true;
  const bool number = id.size() <= 9 && std::all_of(id.begin(), id.end(), [](char c) { return c >= '0' && c <= '9'; });
  return number && std::stoi(id) >= kFirstOfThuman21;
}

fs::path fit_file(const fs::path& scans, ScanSet set, const fs::path& named, bool refined, const std::string& id) {
  if (set == ScanSet::kPlain) return {};
  const fs::path root = fs::absolute(scans / "").parent_path().parent_path();
  const fs::path fits = !named.empty() ? named : root / (set == ScanSet::kThuman20 ? "THUman20_Smpl-X" : "smplx");
  const std::string end = refined ? "_refine" : "";
  if (set == ScanSet::kCustomHumans) return fits / id / ("mesh-f" + frame_of(id) + end + ".json");
  return fits / id / ("smplx_param" + end + ".pkl");
}

ScanFiles scan_files(const fs::path& scans, ScanSet set, const fs::path& fits, bool refined, const std::string& id) {
  return {id, scans / id, mesh_in(scans / id, id), fit_file(scans, set, fits, refined, id)};
}

std::vector<ScanFiles> find_scans(const fs::path& scans, ScanSet set, const fs::path& fits, bool refined) {
  std::vector<ScanFiles> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(scans, error)) {
    const std::string id = entry.path().filename().string();
    if (entry.is_directory() && belongs(set, id)) out.push_back(scan_files(scans, set, fits, refined, id));
  }
  if (error) throw Error(ErrorKind::kInput, fmt::format("{}: cannot open: {}", scans.string(), error.message()));
  if (out.empty()) throw Error(ErrorKind::kInput, fmt::format("{}: expected a folder for each scan of {}, found none", scans.string(), name_of(set)));
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return out;
}

std::array<double, 3> normalise(std::vector<Point>& vertices, ScanSet set, const body::SmplxFit& fit, const body::BodyModel* model) {
  const std::array<double, 3> offset = {body::kCanonicalOffset[0], body::kCanonicalOffset[1], body::kCanonicalOffset[2]};
  std::array<double, 3> centre = offset, origin{}, pivot{};
  double scale = 1;
  std::array<float, 9> rotation = {1, 0, 0, 0, 1, 0, 0, 0, 1};  // its transpose is applied
  if (set == ScanSet::kThuman20 || set == ScanSet::kThuman21) {
    if (!fit.translation) throw Error(ErrorKind::kInput, "'translation' is missing");
    if (!fit.scale) throw Error(ErrorKind::kInput, "'scale' is missing");
    origin = *fit.translation, scale = *fit.scale;
    if (!(scale > 0)) throw Error(ErrorKind::kInput, fmt::format("'scale' is {}; expected a positive number", scale));
  }
  if (set == ScanSet::kThuman21) {
    pivot = pelvis(model, fit, set);
    rotation = body::rodrigues(fit.global_orient);
  }
  std::array<double, 3> shift = offset;
  if (set == ScanSet::kCustomHumans) {
    shift = {0, 0.1, 0};
    const auto j = pelvis(model, fit, set);
    for (std::size_t k = 0; k < 3; ++k) centre[k] = shift[k] - j[k];
  }
  if (set == ScanSet::kPlain) shift = {};
  double farthest = 0;
  for (Point& p : vertices) {
    double q[3];
    for (std::size_t k = 0; k < 3; ++k) q[k] = (p[k] - origin[k]) / scale - pivot[k];
    for (std::size_t k = 0; k < 3; ++k) {
      const double turned = set == ScanSet::kThuman21 ? rotation[k] * q[0] + rotation[3 + k] * q[1] + rotation[6 + k] * q[2] : q[k];
      const double moved = turned + pivot[k] + shift[k];
      farthest = std::max(farthest, std::abs(moved));
      p[k] = static_cast<float>(moved);
    }
  }
  if (!(farthest <= kReach))
    throw Error(ErrorKind::kInput, fmt::format("the scan reaches {:.3g} m from the origin when normalised; expected at most {} m", farthest, kReach));
  return centre;
}

NormalisedScan read_normalised(const ScanFiles& scan, ScanSet set, const body::BodyModel* model) {
  if (scan.mesh.empty()) throw Error(ErrorKind::kInput, scan.folder.string() + ": expected one mesh, .obj or .glb");
  NormalisedScan out;
  if (const auto source = fit_source_of(set)) out.fit = body::read_fit(scan.fit, *source);
  out.mesh = read_scan(scan.mesh);
  try {
    out.centre = normalise(out.mesh.vertices, set, out.fit, model);
  } catch (const Error& e) {
    throw Error(e.kind(), fmt::format("{}: {}", scan.fit.empty() ? scan.mesh.string() : scan.fit.string(), e.what()));
  }
  return out;
}

double share_near(const ScanMesh& mesh, const body::PosedBody& posed) {
  // Points on the surface, at most a centimetre and a half apart, in cells of the distance.
  std::unordered_map<std::uint64_t, std::vector<Point>> cells;
  const auto cell = [](double x) { return static_cast<std::int64_t>(std::floor(x / kNear)); };
  const auto key = [](std::int64_t x, std::int64_t y, std::int64_t z) {
    constexpr std::uint64_t kMask = (1U << 20U) - 1;
    return (static_cast<std::uint64_t>(x) & kMask) << 40U | (static_cast<std::uint64_t>(y) & kMask) << 20U | (static_cast<std::uint64_t>(z) & kMask);
  };
  const auto add = [&](const Point& p) {
    auto& here = cells[key(cell(p[0]), cell(p[1]), cell(p[2]))];
    if (here.size() < 64) here.push_back(p);
  };
  for (const Triangle& t : mesh.triangles) {
    const Point &a = mesh.vertices[static_cast<std::size_t>(t[0])], &b = mesh.vertices[static_cast<std::size_t>(t[1])],
                &c = mesh.vertices[static_cast<std::size_t>(t[2])];
    const auto length = [](const Point& p, const Point& q) { return std::hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]); };
    const int n = std::clamp(static_cast<int>(std::max({length(a, b), length(b, c), length(c, a)}) / 0.015F) + 1, 1, 64);
    for (int i = 0; i <= n; ++i)
      for (int j = 0; j <= n - i; ++j) {
        const float u = static_cast<float>(i) / static_cast<float>(n), v = static_cast<float>(j) / static_cast<float>(n);
        Point p{};
        for (std::size_t k = 0; k < 3; ++k) p[k] = (1 - u - v) * a[k] + u * b[k] + v * c[k];
        add(p);
      }
  }
  const std::size_t count = posed.vertices.size() / 3, step = std::max<std::size_t>(1, count / 3000);
  std::size_t near = 0, seen = 0;
  for (std::size_t i = 0; i < count; i += step, ++seen) {
    const Point p{posed.vertices[3 * i], posed.vertices[3 * i + 1], posed.vertices[3 * i + 2]};
    bool found = false;
    for (std::int64_t d = 0; d < 27 && !found; ++d) {
      const auto at = cells.find(key(cell(p[0]) + d % 3 - 1, cell(p[1]) + d / 3 % 3 - 1, cell(p[2]) + d / 9 - 1));
      if (at == cells.end()) continue;
      for (const Point& q : at->second) found = found || std::hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]) <= kNear;
    }
    near += found ? 1 : 0;
  }
  return seen == 0 ? 1 : static_cast<double>(near) / static_cast<double>(seen);
}

}  // namespace layeravatar::scan
