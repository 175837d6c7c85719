// Pinhole cameras of the release's data and demos (spec/body_and_data.md sections 1, 11.2, 13.1).
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace layeravatar::geometry {

using Matrix4 = std::array<double, 16>;  // row-major, column-vector convention

/// Axes x right, y down, z forward; pixel centres at integer coordinates; square pixels, principal point at the centre.
struct Camera {
  Matrix4 camera_from_world{};
  double focal = 0;  // pixels
  int width = 0;
  int height = 0;

  /// Position in the world, metres.
  [[nodiscard]] std::array<double, 3> centre() const;
};

struct Projection {
  double x, y;   // pixels
  double depth;  // metres along the camera's z
};

/// World point in metres to pixel. The point must lie in front of the camera.
Projection project(const Camera& camera, const std::array<double, 3>& point_in_world);

/// Looks from `polar` (from +y) and `azimuth` (from +z towards +x), radians, at the origin from `distance` metres.
Matrix4 world_from_camera_on_sphere(double polar, double azimuth, double distance);

/// Inverse of a rigid transform.
Matrix4 invert_rigid(const Matrix4& m);

/// The camera's picture of things whose axes `world_from_things` (a rotation, row-major) turns into the world's, about the origin.
Camera facing(const Camera& camera, const std::array<double, 9>& world_from_things);

struct NamedCamera {
  std::string name;  // AAA_LLL: azimuth in degrees, elevation level
  Camera camera;
};

/// The release's 54 training views of 18 azimuths and three elevations, sorted by name: index = 3 * azimuth + level.
/// The focal length scales with the image: 5000 px at 1024.
std::vector<NamedCamera> training_cameras(int image_size);

/// The 36 cameras of the release's demo: azimuth 10 degrees * i, elevation 0.
std::vector<Camera> turntable_cameras(int image_size, int count = 36);

/// The matrices of a `cam_param` JSON text, each 4x4 nested or flat (section 19). `file` only names the source in
/// messages, `count` is how many must be there (the release's cam_36.json: 36; a view of a scene: 1), -1: any number.
/// Throws Error(kInput) on a missing key, wrong shape, bad last row, a rotation off by more than 1e-3, or
/// "<file>: expected 36 cameras, found n".
std::vector<Matrix4> parse_cam_param(const std::string& json_text, const std::string& file, std::int64_t count = -1);

/// Cameras of the release's focal length with these matrices, as `cam_param` gives them.
std::vector<Camera> cameras_at(const std::vector<Matrix4>& world_from_camera, int image_size);

/// First `count` of a permutation of 0..n-1 as the release's loader draws it (MT19937, z = draw mod (n - i), swap).
std::vector<std::int64_t> view_permutation(std::uint32_t seed, std::int64_t n, std::int64_t count);

}  // namespace layeravatar::geometry
