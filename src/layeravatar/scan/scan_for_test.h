// A small dressed person made in memory, and scans of it on disk; test programs only.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <numbers>
#include <random>
#include <string>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/people/dressed_person.h"
#include "layeravatar/scan/person_scan.h"
#include "layeravatar/testing/folder.h"

namespace layeravatar::scan {

using testing::FolderTest;
using testing::message_of;

/// Coloured patches with a little noise.
inline io::Image patchwork(int size, int channels, unsigned seed) {
  std::mt19937 random(seed);
  io::Image out{size, size, channels, {}};
  std::vector<std::array<int, 3>> patches(64);
  for (auto& p : patches)
    for (int& c : p) c = 40 + static_cast<int>(random() % 160);
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      const auto& p = patches[static_cast<std::size_t>(8 * (8 * y / size) + 8 * x / size)];
      for (const int c : p) out.pixels.push_back(static_cast<std::uint8_t>(c + static_cast<int>(random() % 16)));
      if (channels == 4) out.pixels.push_back((x / 6 + y / 6) % 3 == 0 ? 0 : 255);  // holes
    }
  return out;
}

/// An ellipsoid whose two halves use the same texels, mirrored.
inline void add_ellipsoid(people::TexturedMesh& mesh, Point centre, Point half, int rings, people::Label label, io::Image texture) {
  const auto first = static_cast<std::int32_t>(mesh.vertices.size()), first_uv = static_cast<std::int32_t>(mesh.uvs.size());
  const auto material = static_cast<std::int32_t>(mesh.material_list.size());
  mesh.material_list.push_back({"m" + std::to_string(material), std::move(texture)});
  const int around = 2 * rings;
  for (int i = 0; i <= rings; ++i)
    for (int j = 0; j <= around; ++j) {
      const double polar = std::numbers::pi * i / rings, azimuth = 2 * std::numbers::pi * j / around;
      const Point n{static_cast<float>(std::sin(polar) * std::sin(azimuth)), static_cast<float>(std::cos(polar)),
                    static_cast<float>(std::sin(polar) * std::cos(azimuth))};
      mesh.vertices.push_back({centre[0] + half[0] * n[0], centre[1] + half[1] * n[1], centre[2] + half[2] * n[2]});
      mesh.shade.push_back(0.7F + 0.3F * n[1]);
      const float across = static_cast<float>(j) / static_cast<float>(rings);  // 0..2
      mesh.uvs.push_back({0.05F + 0.9F * (across <= 1 ? across : 2 - across), 0.95F - 0.9F * static_cast<float>(i) / static_cast<float>(rings)});
    }
  const int row = around + 1;
  for (int i = 0; i < rings; ++i)
    for (int j = 0; j < around; ++j) {
      const std::int32_t a = i * row + j, b = a + 1, c = a + row, d = c + 1;
      for (const Triangle& t : {Triangle{a, c, b}, Triangle{b, c, d}}) {
        mesh.triangles.push_back({first + t[0], first + t[1], first + t[2]});
        mesh.uv_triangles.push_back({first_uv + t[0], first_uv + t[1], first_uv + t[2]});
        mesh.labels.push_back(label);
        mesh.materials.push_back(material);
      }
    }
}

/// Head, trunk and legs, hair with holes; about 1.6 m.
inline people::DressedPerson small_person(unsigned seed = 1, int rings = 12) {
  people::DressedPerson out;
  out.params.transl = {0.02F, 0.41F, -0.03F};
  out.params.betas = {0.5F, -1};
  out.params.body_pose[3] = 0.2F;
  out.params.left_hand[7] = 0.1F;
  using people::Label;
  add_ellipsoid(out.mesh, {0, 0.62F, 0}, {0.08F, 0.13F, 0.1F}, rings, Label::kBody, patchwork(128, 3, seed));
  add_ellipsoid(out.mesh, {0, 0.25F, 0}, {0.2F, 0.3F, 0.12F}, rings, Label::kTop, patchwork(256, 3, seed + 1));
  add_ellipsoid(out.mesh, {0.1F, -0.4F, 0}, {0.08F, 0.42F, 0.09F}, rings, Label::kBottom, patchwork(200, 3, seed + 2));
  add_ellipsoid(out.mesh, {-0.1F, -0.4F, 0}, {0.08F, 0.42F, 0.09F}, rings, Label::kBottom, patchwork(200, 3, seed + 3));
  add_ellipsoid(out.mesh, {0, 0.68F, -0.02F}, {0.1F, 0.11F, 0.11F}, rings, Label::kHair, patchwork(128, 4, seed + 4));
  return out;
}

}  // namespace layeravatar::scan
