#include "layeravatar/geometry/camera.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>
#include <numeric>
#include <random>
#include <utility>

#include "layeravatar/core/error.h"
#include "layeravatar/io/json.h"

namespace layeravatar::geometry {
namespace {
constexpr double kFocalPerPixel = 5000.0 / 1024.0;
constexpr double kDistance = 10.0;

[[noreturn]] void reject(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file + ": " + what);
}

Matrix4 parse_matrix(const nlohmann::json& value, const std::string& file) {
  std::vector<double> numbers;
  const auto append = [&](const nlohmann::json& row) {
    for (const auto& entry : row) {
      if (!entry.is_number()) reject(file, "'cam_param': expected 4x4 numbers, found " + std::string(entry.type_name()));
      numbers.push_back(entry.get<double>());
    }
  };
  const bool nested = value.is_array() && value.size() == 4 && value[0].is_array();
  if (nested) {
    for (const auto& row : value) {
      if (!row.is_array() || row.size() != 4) reject(file, "'cam_param': expected 4x4, found a row of another length");
      append(row);
    }
  } else if (value.is_array() && value.size() == 16) {
    append(value);
  } else {
    reject(file, fmt::format("'cam_param': expected 4x4, found {} of {}", value.type_name(), value.size()));
  }
  Matrix4 m;
  std::copy(numbers.begin(), numbers.end(), m.begin());
  for (const double x : m)
    if (!std::isfinite(x)) reject(file, "'cam_param' contains non-finite numbers");
  if (m[12] != 0 || m[13] != 0 || m[14] != 0 || m[15] != 1) reject(file, "'cam_param': last row is not 0 0 0 1");
  double worst = 0;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) {
      double dot = 0;
      for (int k = 0; k < 3; ++k) dot += m[4 * k + i] * m[4 * k + j];
      worst = std::max(worst, std::abs(dot - (i == j ? 1 : 0)));
    }
  if (worst > 1e-3) reject(file, fmt::format("'cam_param': rotation is not orthonormal (error {:.3g})", worst));
  return m;
}
}  // namespace

std::array<double, 3> Camera::centre() const {
  const Matrix4 c2w = invert_rigid(camera_from_world);
  return {c2w[3], c2w[7], c2w[11]};
}

Projection project(const Camera& camera, const std::array<double, 3>& p) {
  const auto& m = camera.camera_from_world;
  double q[3];
  for (int r = 0; r < 3; ++r) q[r] = m[4 * r] * p[0] + m[4 * r + 1] * p[1] + m[4 * r + 2] * p[2] + m[4 * r + 3];
  LAV_CHECK(q[2] > 0, "point behind the camera");
  return {camera.focal * q[0] / q[2] + (camera.width - 1) / 2.0, camera.focal * q[1] / q[2] + (camera.height - 1) / 2.0,
          q[2]};
}

Matrix4 world_from_camera_on_sphere(double polar, double azimuth, double distance) {
  const double sp = std::sin(polar), cp = std::cos(polar), sa = std::sin(azimuth), ca = std::cos(azimuth);
  const double forward[3] = {-sa * sp, -cp, -ca * sp};
  const double right[3] = {ca, 0, -sa};  // forward x up, normalised
  const double down[3] = {forward[1] * right[2] - forward[2] * right[1], forward[2] * right[0] - forward[0] * right[2],
                          forward[0] * right[1] - forward[1] * right[0]};
  Matrix4 m{};
  for (int r = 0; r < 3; ++r) {
    m[4 * r] = right[r];
    m[4 * r + 1] = down[r];
    m[4 * r + 2] = forward[r];
    m[4 * r + 3] = -distance * forward[r];
  }
  m[15] = 1;
  return m;
}

Matrix4 invert_rigid(const Matrix4& m) {
  Matrix4 out{};
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) {
      out[4 * r + c] = m[4 * c + r];
      out[4 * r + 3] -= m[4 * c + r] * m[4 * c + 3];
    }
  }
  out[15] = 1;
  return out;
}

Camera facing(const Camera& camera, const std::array<double, 9>& world_from_things) {
  Camera out = camera;
  for (std::size_t r = 0; r < 3; ++r)
    for (std::size_t c = 0; c < 3; ++c) {
      double sum = 0;
      for (std::size_t k = 0; k < 3; ++k) sum += camera.camera_from_world[4 * r + k] * world_from_things[3 * k + c];
      out.camera_from_world[4 * r + c] = sum;
    }
  return out;
}

std::vector<NamedCamera> training_cameras(int image_size) {
  constexpr int kAzimuths = 18;
  std::vector<NamedCamera> cameras;
  for (int a = 0; a < kAzimuths; ++a)
    for (int level = 0; level < 3; ++level) {
      const double polar = std::numbers::pi / 2 + 0.4 * (level - 1);
      const double azimuth = 2 * std::numbers::pi * a / kAzimuths;
      cameras.push_back({fmt::format("{:03d}_{:03d}", 20 * a, level),
                         {invert_rigid(world_from_camera_on_sphere(polar, azimuth, kDistance)),
                          kFocalPerPixel * image_size, image_size, image_size}});
    }
  return cameras;
}

std::vector<Camera> turntable_cameras(int image_size, int count) {
  std::vector<Matrix4> matrices;
  for (int i = 0; i < count; ++i)
    matrices.push_back(world_from_camera_on_sphere(std::numbers::pi / 2, 2 * std::numbers::pi * i / count, kDistance));
  return cameras_at(matrices, image_size);
}

std::vector<Camera> cameras_at(const std::vector<Matrix4>& world_from_camera, int image_size) {
  std::vector<Camera> cameras;
  for (const Matrix4& m : world_from_camera)
    cameras.push_back({invert_rigid(m), kFocalPerPixel * image_size, image_size, image_size});
  return cameras;
}

std::vector<Matrix4> parse_cam_param(const std::string& json_text, const std::string& file, std::int64_t count) {
  const nlohmann::json root = io::parse_json(json_text, file);
  if (!root.is_object() || !root.contains("cam_param")) reject(file, "'cam_param' is missing");
  const auto& value = root["cam_param"];
  const bool many = value.is_array() && !value.empty() && value[0].is_array() && !value[0].empty() &&
                    (value[0][0].is_array() || value[0].size() == 16);
  std::vector<Matrix4> matrices;
  if (many)
    for (const auto& one : value) matrices.push_back(parse_matrix(one, file));
  else
    matrices.push_back(parse_matrix(value, file));
  if (count >= 0 && static_cast<std::int64_t>(matrices.size()) != count)
    reject(file, fmt::format("expected {} {}, found {}", count, count == 1 ? "camera" : "cameras", matrices.size()));
  return matrices;
}

std::vector<std::int64_t> view_permutation(std::uint32_t seed, std::int64_t n, std::int64_t count) {
  LAV_CHECK(count >= 0 && count <= n, "more views asked for than there are");
  std::mt19937 generator(seed);
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t i = 0; i + 1 < n; ++i) {
    const auto z = static_cast<std::int64_t>(generator() % static_cast<std::uint64_t>(n - i));
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(i + z)]);
  }
  order.resize(static_cast<std::size_t>(count));
  return order;
}

}  // namespace layeravatar::geometry
