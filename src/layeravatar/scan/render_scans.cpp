#include "layeravatar/scan/render_scans.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/geometry/ray_caster.h"
#include "layeravatar/io/npy.h"

namespace layeravatar::scan {
namespace {

namespace fs = std::filesystem;

constexpr int kVersion = 1, kOpennessRays = 64;
constexpr float kOpennessReach = 0.3F, kOpennessLift = 1e-3F;  // metres

// What decides the pictures of a scan, beside its files.
nlohmann::ordered_json record_of(const RenderScansOptions& o) {
  return {{"version", kVersion}, {"set", name_of(o.set)}, {"refined", o.refined}, {"size", o.size}, {"supersample", o.supersample},
          {"depth", o.depth}, {"normals", o.normals}, {"ambient", o.ambient}, {"lit", o.lit}};
}

// Whether the views are there; Error(kConfig) when they were made with other settings. Another program's are not looked into.
bool is_complete(const fs::path& views, const RenderScansOptions& options) {
  const fs::path file = views / "render.json";
  if (!fs::exists(views)) return false;
  if (!fs::exists(file)) return fs::exists(views / "image");
  const auto found = nlohmann::json::parse(read_file(file), nullptr, false);
  const nlohmann::json wanted = record_of(options);
  for (const auto& [key, value] : wanted.items()) {
    const auto there = found.is_object() ? found.value(key, nlohmann::json()) : nlohmann::json();
    if (there != value)
      throw Error(ErrorKind::kConfig, fmt::format("{}: {} = {}, the views that are there have {}; --again renders them anew", views.string(), key,
                                                  value.dump(), there.dump()));
  }
  return true;
}

body::PosedBody pose_fit(const body::BodyModel& model, const body::HandPca& hands, const body::SmplxFit& fit, ScanSet set,
                         const std::array<double, 3>& centre) {
  return body::pose(model, body::unify_fit(fit, *fit_source_of(set), hands, centre));
}

body::HandPca no_hands() {
  return {std::vector<float>(45 * 45), std::vector<float>(45 * 45), {}, {}};
}

struct Body {
  body::SmplxFile file;
  body::HandPca hands = no_hands();
};

std::optional<Body> read_body(const fs::path& path) {
  if (path.empty()) return std::nullopt;
  Body out{body::read_smplx(path), no_hands()};
  try {
    out.hands = body::read_hand_pca(path);
  } catch (const Error&) {
    // The CC0 body has none; its fits have hands of 45 numbers.
  }
  return out;
}

}  // namespace

void RenderScansOptions::check() const {
  if (size < 16 || size > 4096) throw Error(ErrorKind::kConfig, fmt::format("size = {}, must be in 16..4096", size));
  if (supersample < 1 || supersample > 8) throw Error(ErrorKind::kConfig, fmt::format("supersample = {}, must be in 1..8", supersample));
  if (shards < 1 || shard < 1 || shard > shards) throw Error(ErrorKind::kConfig, fmt::format("shard = {}/{}, must be in 1/n..n/n", shard, shards));
}

std::string format_calibration(const geometry::Camera& camera, const std::array<float, 3>& centre) {
  const geometry::Matrix4 world_from_camera = geometry::invert_rigid(camera.camera_from_world);
  nlohmann::ordered_json out;
  out["scale"] = 1.0;
  out["center"] = centre;
  for (std::size_t r = 0; r < 4; ++r)
    out["cam_param"].push_back(std::vector<double>(world_from_camera.begin() + static_cast<long>(4 * r),
                                                   world_from_camera.begin() + static_cast<long>(4 * r + 4)));
  return out.dump() + "\n";
}

bool write_scan_views(const fs::path& views, const ScanMesh& mesh, const std::array<double, 3>& centre, const RenderScansOptions& options,
                      const std::function<bool(int, int)>& progress) {
  Surface surface = surface_of(mesh);
  std::vector<Point> normals;
  std::vector<float> openness;
  if (options.normals || options.lit || options.ambient) {
    normals = geometry::vertex_normals(mesh.vertices, mesh.triangles);
    surface.normals = normals;
  }
  if (options.ambient || options.lit) {
    const geometry::RayCaster caster(mesh.vertices, mesh.triangles);
    openness = geometry::openness(caster, mesh.vertices, normals, kOpennessRays, kOpennessReach, kOpennessLift);
    surface.openness = openness;
  }
  const MeshRenderer renderer(surface, textures_of(mesh));
  const Wanted wanted{.labels = false, .depth = options.depth, .normals = options.normals, .ambient = options.ambient, .lit = options.lit};
  const std::array<float, 3> centre32 = {static_cast<float>(centre[0]), static_cast<float>(centre[1]), static_cast<float>(centre[2])};

  AtomicFolder folder(views);
  const fs::path& temporary = folder.temporary();
  make_folder(temporary / "image");
  make_folder(temporary / "calib");
  for (const auto& [wants, name] : {std::pair{options.depth, "depth"}, {options.normals, "normal"}, {options.ambient, "ao"}, {options.lit, "lit"}})
    if (wants) make_folder(temporary / name);
  const auto cameras = geometry::training_cameras(options.size);
  const auto count = static_cast<std::int64_t>(cameras.size());
  std::vector<std::exception_ptr> failures(cameras.size());
  std::atomic<bool> stop = false;
  int done = 0;
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < count; ++i) {
    if (stop) continue;
    const auto& [name, camera] = cameras[static_cast<std::size_t>(i)];
    try {
      const MeshView view = renderer.view(camera, options.supersample, wanted);
      const auto picture = [&](const char* kind, const io::Image& image) {
        folder.write(fs::path(kind) / (name + ".png"), io::format_png(image, 1));
      };
      picture("image", view.colour);
      folder.write(fs::path("calib") / (name + ".json"), format_calibration(camera, centre32));
      if (options.normals) picture("normal", view.normals);
      if (options.ambient) picture("ao", view.ambient);
      if (options.lit) picture("lit", view.lit);
      if (options.depth)
        io::write_npz(temporary / "depth" / (name + ".npz"), {{"depth", io::make_array<float>({options.size, options.size}, view.depth)}}, {.level = 1});
    } catch (...) {
      failures[static_cast<std::size_t>(i)] = std::current_exception();
      stop = true;
    }
#pragma omp critical(lav_scan_progress)
    {
      ++done;
      if (!stop && progress && !progress(done, static_cast<int>(count))) stop = true;
    }
  }
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
  if (stop) return false;
  folder.write("render.json", record_of(options).dump(1) + "\n");
  if (options.again) {
    std::error_code ignored;
    fs::remove_all(views, ignored);
  }
  folder.commit();
  return true;
}

RenderScansReport render_scans(const RenderScansOptions& options, const std::function<bool(const RenderScansProgress&)>& progress) {
  options.check();
  const std::optional<Body> body = read_body(options.body);
  const body::BodyModel* model = body ? &body->file.model : nullptr;
  if (model == nullptr && (options.set == ScanSet::kThuman21 || options.set == ScanSet::kCustomHumans))
    throw Error(ErrorKind::kConfig, fmt::format("scans of {} need --body: their fits turn about its pelvis", name_of(options.set)));
  const auto all = find_scans(options.scans, options.set, options.fits, options.refined);
  std::vector<ScanFiles> mine;
  for (auto i = static_cast<std::size_t>(options.shard - 1); i < all.size(); i += static_cast<std::size_t>(options.shards)) mine.push_back(all[i]);
  RenderScansReport report;
  for (std::size_t i = 0; i < mine.size(); ++i) {
    const ScanFiles& scan = mine[i];
    const auto tell = [&](int done, int total) { return !progress || progress({i, mine.size(), scan.id, done, total}); };
    const fs::path views = (options.out.empty() ? options.scans : options.out) / scan.id / kViewsFolder;
    try {
      if (!options.again && is_complete(views, options)) {
        report.kept.push_back(scan.id);
        continue;
      }
      if (!tell(0, 0)) break;
      const NormalisedScan read = read_normalised(scan, options.set, model);
      if (model != nullptr && options.set != ScanSet::kPlain) {
        const double share = share_near(read.mesh, pose_fit(*model, body->hands, read.fit, options.set, read.centre));
        if (share < 0.5)
          report.warnings.emplace_back(scan.id, fmt::format("{}: only {:.0f} % of the body's vertices lie within 3 cm of the scan; does the fit belong to it?",
                                                            scan.fit.string(), 100 * share));
      }
      if (!write_scan_views(views, read.mesh, read.centre, options, tell)) break;
      report.rendered.push_back(scan.id);
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::kOutput && !fs::exists(views)) throw;  // a full disk, say: it would meet them all
      report.failed.emplace_back(scan.id, e.what());
    } catch (const std::bad_alloc&) {
      report.failed.emplace_back(scan.id, scan.mesh.string() + ": out of memory");
    }
  }
  return report;
}

}  // namespace layeravatar::scan
