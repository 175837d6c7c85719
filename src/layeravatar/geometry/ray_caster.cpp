#include "layeravatar/geometry/ray_caster.h"

#include <embree3/rtcore.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "layeravatar/core/error.h"

namespace layeravatar::geometry {

using Vector = std::array<float, 3>;

struct RayCaster::Scene {
  RTCDevice device = rtcNewDevice("threads=1");
  RTCScene scene = rtcNewScene(device);
  ~Scene() {
    rtcReleaseScene(scene);
    rtcReleaseDevice(device);
  }
};

RayCaster::RayCaster(std::span<const Vector> vertices, std::span<const std::array<std::int32_t, 3>> triangles)
    : scene_(std::make_unique<Scene>()) {
  LAV_CHECK(scene_->device != nullptr, "Embree cannot start");
  for (const auto& t : triangles)
    for (const std::int32_t id : t)
      LAV_CHECK(id >= 0 && static_cast<std::size_t>(id) < vertices.size(), "triangle index out of range");
  if (triangles.empty()) {
    rtcCommitScene(scene_->scene);
    return;
  }
  const RTCGeometry mesh = rtcNewGeometry(scene_->device, RTC_GEOMETRY_TYPE_TRIANGLE);
  void* v = rtcSetNewGeometryBuffer(mesh, RTC_BUFFER_TYPE_VERTEX, 0, RTC_FORMAT_FLOAT3, sizeof(Vector), vertices.size());
  void* f = rtcSetNewGeometryBuffer(mesh, RTC_BUFFER_TYPE_INDEX, 0, RTC_FORMAT_UINT3, 12, triangles.size());
  LAV_CHECK(v != nullptr && f != nullptr, "Embree cannot hold the mesh");
  std::memcpy(v, vertices.data(), vertices.size_bytes());
  std::memcpy(f, triangles.data(), triangles.size_bytes());
  rtcCommitGeometry(mesh);
  rtcAttachGeometry(scene_->scene, mesh);
  rtcReleaseGeometry(mesh);
  rtcCommitScene(scene_->scene);
}

RayCaster::~RayCaster() = default;
RayCaster::RayCaster(RayCaster&&) noexcept = default;
RayCaster& RayCaster::operator=(RayCaster&&) noexcept = default;

bool RayCaster::occluded(const Vector& origin, const Vector& direction, float from, float to) const {
  RTCIntersectContext context;
  rtcInitIntersectContext(&context);
  RTCRay ray{};
  ray.org_x = origin[0], ray.org_y = origin[1], ray.org_z = origin[2];
  ray.dir_x = direction[0], ray.dir_y = direction[1], ray.dir_z = direction[2];
  ray.tnear = from, ray.tfar = to;
  ray.mask = 0xFFFFFFFFU;
  rtcOccluded1(scene_->scene, &context, &ray);
  return ray.tfar < 0;
}

std::vector<float> openness(const RayCaster& caster, std::span<const Vector> points, std::span<const Vector> normals,
                            int rays, float reach, float lift) {
  LAV_CHECK(points.size() == normals.size() && rays > 0, "one normal per point");
  // A spiral over the unit disc, lifted to the hemisphere, is cosine-weighted.
  std::vector<Vector> local;
  for (int k = 0; k < rays; ++k) {
    const double r = std::sqrt((k + 0.5) / rays), a = k * std::numbers::pi * (3 - std::sqrt(5.0));
    local.push_back({static_cast<float>(r * std::cos(a)), static_cast<float>(r * std::sin(a)), static_cast<float>(std::sqrt(1 - r * r))});
  }
  std::vector<float> out(points.size());
  const auto count = static_cast<std::int64_t>(points.size());
#pragma omp parallel for schedule(dynamic, 256)
  for (std::int64_t i = 0; i < count; ++i) {
    const Vector& n = normals[static_cast<std::size_t>(i)];
    // Any tangent frame (Duff et al. 2017).
    const float sign = std::copysign(1.0F, n[2]), a = -1.0F / (sign + n[2]), b = n[0] * n[1] * a;
    const Vector t{1.0F + sign * n[0] * n[0] * a, sign * b, -sign * n[0]}, u{b, sign + n[1] * n[1] * a, -n[1]};
    const Vector& p = points[static_cast<std::size_t>(i)];
    const Vector origin{p[0] + lift * n[0], p[1] + lift * n[1], p[2] + lift * n[2]};
    int free = 0;
    for (const Vector& d : local) {
      const Vector direction{d[0] * t[0] + d[1] * u[0] + d[2] * n[0], d[0] * t[1] + d[1] * u[1] + d[2] * n[1],
                             d[0] * t[2] + d[1] * u[2] + d[2] * n[2]};
      free += caster.occluded(origin, direction, 0.0F, reach) ? 0 : 1;
    }
    out[static_cast<std::size_t>(i)] = static_cast<float>(free) / static_cast<float>(rays);
  }
  return out;
}

std::vector<Vector> vertex_normals(std::span<const Vector> vertices, std::span<const std::array<std::int32_t, 3>> triangles) {
  std::vector<Vector> out(vertices.size(), Vector{});
  for (const auto& t : triangles) {
    const Vector &a = vertices[static_cast<std::size_t>(t[0])], &b = vertices[static_cast<std::size_t>(t[1])],
                 &c = vertices[static_cast<std::size_t>(t[2])];
    const Vector e{b[0] - a[0], b[1] - a[1], b[2] - a[2]}, f{c[0] - a[0], c[1] - a[1], c[2] - a[2]};
    const Vector n{e[1] * f[2] - e[2] * f[1], e[2] * f[0] - e[0] * f[2], e[0] * f[1] - e[1] * f[0]};
    for (const std::int32_t id : t)
      for (std::size_t k = 0; k < 3; ++k) out[static_cast<std::size_t>(id)][k] += n[k];
  }
  for (Vector& n : out) {
    const float length = std::sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
    if (length > 0)
      for (float& x : n) x /= length;
  }
  return out;
}

}  // namespace layeravatar::geometry
