// Views of a scan of half a million triangles with a texture of 4096 x 4096: what each sample sees against Embree's
// packets of primary rays on the same rectangle, pictures, and the whole way from files to the 54 views on disk.
#include <embree3/rtcore.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "body_surface.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/io/jpeg.h"
#include "layeravatar/io/obj.h"
#include "layeravatar/scan/render_scans.h"
#include "machine.h"

namespace layeravatar::scan {
namespace {

namespace fs = std::filesystem;

constexpr int kTexture = 4096, kSize = 1024, kSupersample = 2, kViews = 6;
constexpr double kTriangles = 500'000;

// Bumpy ellipsoids, each with its own cell of the texture.
ScanMesh bumpy_body() {
  ScanMesh out;
  double area = 0;
  for (const auto& e : bench::kBodyParts) area += e.area();
  std::int32_t part = 0;
  for (const auto& e : bench::kBodyParts) {
    // rings * around * 2 triangles, around = 2 rings
    const int rings = static_cast<int>(std::sqrt(kTriangles * e.area() / area / 4)), around = 2 * rings;
    const auto first = static_cast<std::int32_t>(out.vertices.size());
    for (int i = 0; i <= rings; ++i)
      for (int j = 0; j <= around; ++j) {
        const double polar = std::numbers::pi * i / rings, azimuth = 2 * std::numbers::pi * j / around;
        const double n[3] = {std::sin(polar) * std::sin(azimuth), std::cos(polar), std::sin(polar) * std::cos(azimuth)};
        const double swell = 1 + 0.03 * std::sin(40 * polar) * std::sin(23 * azimuth);
        Point p{};
        for (std::size_t k = 0; k < 3; ++k) p[k] = static_cast<float>(e.centre[k] + swell * e.half[k] * n[k]);
        out.vertices.push_back(p);
        out.uvs.push_back({(static_cast<float>(part % 4) + 0.02F + 0.96F * static_cast<float>(j) / static_cast<float>(around)) / 4,
                           (static_cast<float>(part / 4) + 0.02F + 0.96F * static_cast<float>(i) / static_cast<float>(rings)) / 3});
      }
    for (int i = 0; i < rings; ++i)
      for (int j = 0; j < around; ++j) {
        const std::int32_t a = first + i * (around + 1) + j, b = a + 1, c = a + around + 1, d = c + 1;
        out.triangles.push_back({a, c, b});
        out.triangles.push_back({b, c, d});
      }
    ++part;
  }
  out.uv_triangles = out.triangles;
  out.materials.assign(out.triangles.size(), 0);
  io::Image texture{kTexture, kTexture, 3, {}};
  texture.pixels.reserve(std::size_t{3} * kTexture * kTexture);
  std::mt19937 random(1);
  for (int y = 0; y < kTexture; ++y)
    for (int x = 0; x < kTexture; ++x) {
      const auto r = random();
      const int stripes = (x / 37 + y / 53) % 3;
      texture.pixels.insert(texture.pixels.end(), {static_cast<std::uint8_t>(60 + 50 * stripes + (r & 15U)), static_cast<std::uint8_t>(120 - 30 * stripes + (r >> 4U & 15U)),
                                                   static_cast<std::uint8_t>(150 + (r >> 8U & 31U))});
    }
  out.material_list.push_back({"material0", std::move(texture)});
  return out;
}

const ScanMesh& body() {
  static const ScanMesh mesh = bumpy_body();
  return mesh;
}

const MeshRenderer& renderer() {
  static const MeshRenderer out(surface_of(body()), textures_of(body()));
  return out;
}

struct View {
  geometry::Camera camera;
  int x0 = 0, y0 = 0, x1 = 0, y1 = 0;  // samples that the mesh can reach
};

std::vector<View> views() {
  std::vector<View> out;
  const auto cameras = geometry::training_cameras(kSize);
  for (int i = 0; i < kViews; ++i) {
    View v{cameras[static_cast<std::size_t>(i * 54 / kViews)].camera, kSize * kSupersample, kSize * kSupersample, 0, 0};
    for (const Point& p : body().vertices) {
      const auto at = geometry::project(v.camera, {p[0], p[1], p[2]});
      v.x0 = std::min(v.x0, static_cast<int>(at.x * kSupersample)), v.x1 = std::max(v.x1, static_cast<int>(at.x * kSupersample) + 2);
      v.y0 = std::min(v.y0, static_cast<int>(at.y * kSupersample)), v.y1 = std::max(v.y1, static_cast<int>(at.y * kSupersample) + 2);
    }
    v.x0 = v.x0 / 4 * 4, v.y0 = v.y0 / 4 * 4;
    out.push_back(v);
  }
  return out;
}

std::int64_t samples_of(const std::vector<View>& all) {
  std::int64_t out = 0;
  for (const View& v : all) out += static_cast<std::int64_t>(v.x1 - v.x0) * (v.y1 - v.y0);
  return out;
}

class EmbreeScene {
 public:
  EmbreeScene() {
    const RTCGeometry mesh = rtcNewGeometry(device_, RTC_GEOMETRY_TYPE_TRIANGLE);
    rtcSetSharedGeometryBuffer(mesh, RTC_BUFFER_TYPE_VERTEX, 0, RTC_FORMAT_FLOAT3, body().vertices.data(), 0, sizeof(Point), body().vertices.size());
    rtcSetSharedGeometryBuffer(mesh, RTC_BUFFER_TYPE_INDEX, 0, RTC_FORMAT_UINT3, body().triangles.data(), 0, sizeof(Triangle), body().triangles.size());
    rtcCommitGeometry(mesh);
    rtcAttachGeometry(scene_, mesh);
    rtcReleaseGeometry(mesh);
    rtcCommitScene(scene_);
  }
  ~EmbreeScene() {
    rtcReleaseScene(scene_);
    rtcReleaseDevice(device_);
  }
  EmbreeScene(const EmbreeScene&) = delete;
  EmbreeScene& operator=(const EmbreeScene&) = delete;

  // Coherent packets of 4 x 4 rays.
  [[nodiscard]] std::int64_t hits(const View& view) const {
    const auto eye = view.camera.centre();
    const auto& m = view.camera.camera_from_world;
    std::int64_t out = 0;
    alignas(64) int valid[16];
    std::fill(valid, valid + 16, -1);
    for (int y = view.y0; y < view.y1; y += 4)
      for (int x = view.x0; x < view.x1; x += 4) {
        alignas(64) RTCRayHit16 packet;
        for (int i = 0; i < 16; ++i) {
          const double px = ((x + i % 4 + 0.5) / kSupersample - 0.5 - (kSize - 1) / 2.0) / view.camera.focal;
          const double py = ((y + i / 4 + 0.5) / kSupersample - 0.5 - (kSize - 1) / 2.0) / view.camera.focal;
          packet.ray.org_x[i] = static_cast<float>(eye[0]), packet.ray.org_y[i] = static_cast<float>(eye[1]), packet.ray.org_z[i] = static_cast<float>(eye[2]);
          packet.ray.dir_x[i] = static_cast<float>(m[0] * px + m[4] * py + m[8]);
          packet.ray.dir_y[i] = static_cast<float>(m[1] * px + m[5] * py + m[9]);
          packet.ray.dir_z[i] = static_cast<float>(m[2] * px + m[6] * py + m[10]);
          packet.ray.tnear[i] = 0, packet.ray.tfar[i] = 1e9F, packet.ray.time[i] = 0;
          packet.ray.mask[i] = 0xFFFFFFFFU, packet.ray.flags[i] = 0;
          packet.hit.geomID[i] = RTC_INVALID_GEOMETRY_ID;
        }
        RTCIntersectContext context;
        rtcInitIntersectContext(&context);
        context.flags = RTC_INTERSECT_CONTEXT_FLAG_COHERENT;
        rtcIntersect16(valid, scene_, &context, &packet);
        for (const unsigned id : packet.hit.geomID) out += id != RTC_INVALID_GEOMETRY_ID;
      }
    return out;
  }

 private:
  RTCDevice device_ = rtcNewDevice("threads=2");
  RTCScene scene_ = rtcNewScene(device_);
};

template <class OneView>
void each_view(benchmark::State& state, const OneView& one) {
  const bench::Held held(state.range(0), bench::kBest);
  const auto all = views();
  renderer();  // made before the clock runs
  std::int64_t hits = 0;
  for (auto _ : state) {
    hits = 0;
#pragma omp parallel for schedule(dynamic, 1) reduction(+ : hits)
    for (std::int64_t i = 0; i < kViews; ++i) hits += one(all[static_cast<std::size_t>(i)]);
  }
  state.counters["samples/s"] = benchmark::Counter(static_cast<double>(samples_of(all)), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["views/s"] = benchmark::Counter(kViews, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["hits"] = static_cast<double>(hits);
}

void embree(benchmark::State& state) {
  static const EmbreeScene scene;
  each_view(state, [](const View& v) { return scene.hits(v); });
}

void visibility(benchmark::State& state) {
  each_view(state, [](const View& v) { return static_cast<std::int64_t>(renderer().count_hits(v.camera, kSupersample)); });
}

void pictures(benchmark::State& state) {
  each_view(state, [](const View& v) { return static_cast<std::int64_t>(renderer().view(v.camera, kSupersample).colour.pixels[0]); });
}

void whole_scan(benchmark::State& state) {
  const bench::Held held(state.range(0), bench::kBest);
  const fs::path folder = fs::temp_directory_path() / ("lav_scan_bench_" + std::to_string(::getpid()));
  fs::create_directories(folder / "scans/0001");
  const ScanMesh& m = body();
  io::ObjMesh obj{m.vertices, m.uvs, m.triangles, m.uv_triangles, m.materials, {{"material0", "material0.jpeg"}}, {}};
  write_file(folder / "scans/0001/0001.obj", io::format_obj(obj, "material0.mtl"));
  write_file(folder / "scans/0001/material0.mtl", io::format_mtl(obj.material_list));
  io::write_jpeg(folder / "scans/0001/material0.jpeg", m.material_list[0].texture);
  RenderScansOptions options;
  options.scans = folder / "scans";
  options.set = ScanSet::kPlain;
  options.out = folder / "views";
  options.again = true;
  for (auto _ : state)
    if (render_scans(options).rendered.size() != 1) state.SkipWithError("not rendered");
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  state.counters["peak MiB"] = static_cast<double>(used.ru_maxrss) / 1024;  // of this program, the benchmark's own mesh included
  fs::remove_all(folder);
}

BENCHMARK(embree)->Arg(1)->Arg(2)->ArgName("threads")->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime();
BENCHMARK(visibility)->Arg(1)->Arg(2)->ArgName("threads")->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime();
BENCHMARK(pictures)->Arg(1)->Arg(2)->ArgName("threads")->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime();
BENCHMARK(whole_scan)->Arg(2)->ArgName("threads")->Unit(benchmark::kSecond)->UseRealTime()->MeasureProcessCPUTime()->Iterations(1);

}  // namespace
}  // namespace layeravatar::scan

int main(int argc, char** argv) {
  // As the program does: large arrays come from the heap and go back to it, their pages are not cleared anew each time.
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 1 << 26);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
