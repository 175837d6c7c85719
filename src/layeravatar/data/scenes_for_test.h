// Small scenes made in memory, shared by the tests of this library.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/core/error.h"
#include "layeravatar/data/scene_files.h"
#include "layeravatar/testing/folder.h"

namespace layeravatar::data {

using testing::FolderTest;
using testing::message_of;

/// White but for a rectangle from (2, 3) of 3 x 2 pixels, whose labels are 1 2 3 / 4 5 0 and whose colours are
/// (10 * label, tone, 255).
inline RenderedView small_view(int size, std::uint8_t tone) {
  const auto pixels = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  RenderedView out;
  out.colour = {size, size, 4, std::vector<std::uint8_t>(4 * pixels, 255)};
  out.labels.assign(pixels, 0);
  for (int i = 0; i < 6; ++i) {
    const auto at = static_cast<std::size_t>((3 + i / 3) * size + 2 + i % 3);
    const auto label = static_cast<std::uint8_t>(i < 5 ? i + 1 : 0);
    out.labels[at] = label;
    out.colour.pixels[4 * at] = static_cast<std::uint8_t>(10 * label);
    out.colour.pixels[4 * at + 1] = tone;
  }
  return out;
}

inline body::PoseParams small_params() {
  body::PoseParams out = body::default_viewing_pose();
  out.betas = {1, -2, 3};
  out.scale = 1;
  return out;
}

/// The first `count` of the 54 training views; tone is the number of the view plus `tone`.
inline void write_small_scene(const std::filesystem::path& folder, int count, int size = 16, int tone = 0) {
  auto cameras = geometry::training_cameras(size);
  cameras.resize(static_cast<std::size_t>(count));
  std::vector<RenderedView> views;
  for (int i = 0; i < count; ++i) views.push_back(small_view(size, static_cast<std::uint8_t>(tone + i)));
  write_scene(folder, cameras, views, small_params());
}

}  // namespace layeravatar::data
