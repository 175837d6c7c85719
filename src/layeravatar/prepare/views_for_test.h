// Small scans with rendered views, made in memory, shared by the tests of this library.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/data/scene_files.h"
#include "layeravatar/io/png.h"
#include "layeravatar/testing/folder.h"

namespace layeravatar::prepare {

class ScanTest : public testing::FolderTest {
 protected:
  std::filesystem::path golden = LAV_GOLDEN_DIR;
};

/// The message of the Error, or "accepted".
template <class Body>
std::string said(ErrorKind kind, Body&& body) {
  const std::string message = testing::message_of(kind, std::forward<Body>(body));
  return message.empty() ? "accepted" : message;
}

/// White and clear but for a square of 8 x 8 pixels whose red is ten times a class: 21 22 3 8 12 of the labels 1 to 5.
inline io::Image small_picture(int size) {
  static constexpr int kClasses[] = {21, 22, 3, 8, 12};
  io::Image out{size, size, 4, std::vector<std::uint8_t>(static_cast<std::size_t>(4 * size * size), 255)};
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      std::uint8_t* c = out.pixels.data() + 4 * (y * size + x);
      const bool inside = x >= 4 && x < 12 && y >= 4 && y < 12;
      c[3] = inside ? 255 : 0;
      if (inside) c[0] = static_cast<std::uint8_t>(10 * kClasses[(y - 4) * 5 / 8]);
    }
  return out;
}

/// <root>/<id>/18views_3_wbg/{image,calib} of the first `count` training views.
inline std::filesystem::path write_small_views(const std::filesystem::path& root, const std::string& id, int count, int size = 16) {
  const auto views = root / id / "18views_3_wbg";
  make_folder(views / "image");
  make_folder(views / "calib");
  const auto cameras = geometry::training_cameras(size);
  for (int i = 0; i < count; ++i) {
    const auto& [name, camera] = cameras[static_cast<std::size_t>(i)];
    io::write_png(views / "image" / (name + ".png"), small_picture(size));
    std::string matrix;
    for (const double x : geometry::invert_rigid(camera.camera_from_world)) matrix += (matrix.empty() ? "" : ", ") + std::to_string(x);
    write_file(views / "calib" / (name + ".json"), R"({"scale": 1.0, "center": [0.0, 0.35, 0.0], "cam_param": [)" + matrix + "]}");
  }
  return root / id;
}

}  // namespace layeravatar::prepare
