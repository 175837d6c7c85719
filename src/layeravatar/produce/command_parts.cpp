#include "layeravatar/produce/command_parts.h"

#include <fmt/format.h>

#include "layeravatar/avatar/release_code.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"

namespace layeravatar::produce {

namespace fs = std::filesystem;

void require_range(const char* name, int value, int low, int high) {
  if (value < low || value > high) throw Error(ErrorKind::kConfig, fmt::format("{} = {}, must be in {}..{}", name, value, low, high));
}

void require_fps(double fps) {
  if (!(fps > 0 && fps <= 240)) throw Error(ErrorKind::kConfig, fmt::format("fps = {}, must be in (0, 240]", fps));
}

int image_size(const Studio& studio, int wanted) {
  if (wanted != 0) require_range("size", wanted, 64, 4096);
  return wanted != 0 ? wanted : studio.config.image_size;
}

avatar::Avatar read_any_avatar(const Studio& studio, const fs::path& file) {
  return avatar::read_avatar_or_code(file, studio.config.planes_height, &studio.activation);
}

io::Image image_of(const torch::Tensor& bytes) {
  const torch::Tensor t = bytes.contiguous();
  io::Image out{static_cast<int>(t.size(1)), static_cast<int>(t.size(0)), static_cast<int>(t.size(2)), {}};
  out.pixels.assign(t.data_ptr<std::uint8_t>(), t.data_ptr<std::uint8_t>() + t.numel());
  return out;
}

std::vector<geometry::Camera> read_cameras(const fs::path& file, int size) {
  return geometry::cameras_at(geometry::parse_cam_param(read_file(file), file.string()), size);
}

FilmCameras::FilmCameras(const std::string& camera, int azimuth, int size) {
  constexpr int kDegrees = 360;
  const bool named = camera.empty() || camera == "front" || camera == "turn";
  if (!named && fs::path(camera).extension() != ".json")
    throw Error(ErrorKind::kConfig, fmt::format("camera = {}, must be front, turn or a .json file", camera));
  cameras_ = named ? geometry::turntable_cameras(size, kDegrees) : read_cameras(camera, size);
  if (named) first_ = static_cast<std::size_t>(camera == "front" ? kFront : azimuth);
  moves_ = !named || camera == "turn";
}

}  // namespace layeravatar::produce
