// A clothed, textured, posed adult with one label per triangle (spec/cc0_people.md sections 1.4, 4).
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/body/pose_params.h"
#include "layeravatar/io/png.h"
#include "layeravatar/people/cc0_body.h"
#include "layeravatar/people/garment.h"

namespace layeravatar::people {

struct Material {
  std::string name;       // "skin", "eyes", or an asset's name
  io::Image texture;      // RGB, or RGBA for cut-outs (alpha test at 0.45)
};

struct TexturedMesh {
  std::vector<Point> vertices;                            // metres, world, posed
  std::vector<float> shade;                               // [V] soft baked light of the rest pose, multiplies the colour
  std::vector<std::array<float, 2>> uvs;                  // v up
  std::vector<std::array<std::int32_t, 3>> triangles;
  std::vector<std::array<std::int32_t, 3>> uv_triangles;
  std::vector<Label> labels;                              // [triangles]
  std::vector<std::int32_t> materials;                    // [triangles]
  std::vector<Material> material_list;
};

struct DressedPerson {
  std::string name;            // "0000042"
  TexturedMesh mesh;           // visible surfaces only
  body::PoseParams params;     // betas, pose, transl
};

}  // namespace layeravatar::people
