// The CC0 body painted as if it were dressed: a person that is exactly its fit, whose colours tell its labels; test programs only.
#pragma once
#include <random>

#include "layeravatar/people/dressed_person.h"
#include "layeravatar/people/package_for_test.h"
#include "layeravatar/people/pose_library.h"

namespace layeravatar::people {

/// Of the labels 0..5; a picture's share of red, green and blue in each of its pixels is that of its label.
inline constexpr std::array<std::array<int, 3>, 6> kPaint = {{{255, 255, 255}, {200, 90, 70}, {60, 190, 70}, {170, 160, 20}, {180, 50, 170}, {60, 80, 200}}};

/// Shape and pose by seed; pelvis over the origin, vertical middle at 0. Textures are in patches of different brightness.
inline DressedPerson painted_body(std::uint64_t seed) {
  const Cc0Body& body = body_for_test();
  std::mt19937 random(static_cast<unsigned>(seed));
  DressedPerson out;
  out.params = sample_pose(seed);
  out.params.global_orient = {};
  for (std::size_t k = 0; k < 4; ++k) out.params.betas[k] = static_cast<float>(random() % 200) / 100.0F - 1;
  out.params = centre_upon_origin(body.model, out.params);
  std::vector<Label> labels(static_cast<std::size_t>(body.model.vertex_count()), Label::kBody);
  for (const auto& [label, regions] : std::initializer_list<std::pair<Label, std::vector<const char*>>>{
           {Label::kTop, {"torso", "upper_arms"}}, {Label::kBottom, {"hips", "upper_legs", "lower_legs"}}, {Label::kShoes, {"feet"}}, {Label::kHair, {"scalp"}}})
    for (const char* region : regions)
      for (const std::int32_t v : body.regions.at(region)) labels[static_cast<std::size_t>(v)] = label;
  const body::PosedBody posed = body::pose(body.model, out.params);
  for (std::size_t i = 0; i + 2 < posed.vertices.size(); i += 3) {
    out.mesh.vertices.push_back({posed.vertices[i], posed.vertices[i + 1], posed.vertices[i + 2]});
    out.mesh.shade.push_back(0.85F + 0.15F * std::sin(20 * posed.vertices[i + 1]));
  }
  const auto uvs = static_cast<std::int32_t>(body.uvs.size() / 2);
  for (std::size_t l = 1; l < kPaint.size(); ++l) {  // each label has texture coordinates of its own
    for (std::size_t i = 0; i + 1 < body.uvs.size(); i += 2) out.mesh.uvs.push_back({body.uvs[i], body.uvs[i + 1]});
    io::Image texture{256, 256, 3, std::vector<std::uint8_t>(3 * 256 * 256)};
    std::array<double, 64> patches{};
    for (double& p : patches) p = 0.75 + static_cast<double>(random() % 100) / 400;
    for (std::size_t p = 0; p < 256 * 256; ++p)
      for (std::size_t k = 0; k < 3; ++k)
        texture.pixels[3 * p + k] = static_cast<std::uint8_t>(kPaint[l][k] * patches[p / 8192 * 8 + p % 256 / 32]);
    out.mesh.material_list.push_back({"paint" + std::to_string(l), std::move(texture)});
  }
  for (std::size_t f = 0; 3 * f < body.model.faces.size(); ++f) {
    if (body.visible_faces[f] == 0) continue;
    const auto corner = [&](std::size_t k) { return static_cast<std::int32_t>(body.model.faces[3 * f + k]); };
    const Label label = labels[static_cast<std::size_t>(corner(0))];
    const auto material = static_cast<std::int32_t>(label) - 1;
    out.mesh.triangles.push_back({corner(0), corner(1), corner(2)});
    out.mesh.uv_triangles.push_back({body.uv_faces[3 * f] + material * uvs, body.uv_faces[3 * f + 1] + material * uvs, body.uv_faces[3 * f + 2] + material * uvs});
    out.mesh.labels.push_back(label);
    out.mesh.materials.push_back(material);
  }
  return out;
}

}  // namespace layeravatar::people
