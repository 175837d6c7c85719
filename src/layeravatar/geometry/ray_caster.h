// Occlusion rays against a triangle mesh (Embree).
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace layeravatar::geometry {

class RayCaster {
 public:
  /// Throws Error(kInternal) for an index out of range.
  RayCaster(std::span<const std::array<float, 3>> vertices, std::span<const std::array<std::int32_t, 3>> triangles);
  ~RayCaster();
  RayCaster(RayCaster&&) noexcept;
  RayCaster& operator=(RayCaster&&) noexcept;

  /// Whether anything lies between the distances `from` and `to` along the unit direction. Safe from several threads.
  [[nodiscard]] bool occluded(const std::array<float, 3>& origin, const std::array<float, 3>& direction, float from,
                              float to) const;

 private:
  struct Scene;
  std::unique_ptr<Scene> scene_;
};

/// Share of `rays` directions around each normal (cosine-weighted, the same set for every point) along which nothing
/// lies nearer than `reach`. Points and reach in the mesh's unit; rays start `lift` along the normal.
std::vector<float> openness(const RayCaster& caster, std::span<const std::array<float, 3>> points,
                            std::span<const std::array<float, 3>> normals, int rays, float reach, float lift);

/// Area-weighted unit normals of the vertices; zero where a vertex belongs to no triangle.
std::vector<std::array<float, 3>> vertex_normals(std::span<const std::array<float, 3>> vertices,
                                                 std::span<const std::array<std::int32_t, 3>> triangles);

}  // namespace layeravatar::geometry
