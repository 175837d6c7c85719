// A clothed, textured, posed adult with one label per triangle (spec/cc0_people.md sections 1.4, 4).
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "layeravatar/body/pose_params.h"
#include "layeravatar/io/png.h"
#include "layeravatar/people/cc0_body.h"
#include "layeravatar/people/garment.h"
#include "layeravatar/people/person_look.h"

namespace layeravatar::people {

struct Material {
  std::string name;   // "skin", "top", "bottom", "shoes", "hair", "eyebrows", "eyes"
  io::Image texture;  // RGB, or RGBA for cut-outs (alpha test at kAlphaTest)
};
inline constexpr float kAlphaTest = 0.45F;

struct TexturedMesh {
  std::vector<Point> vertices;            // metres, world, posed
  std::vector<float> shade;               // [V] soft baked light of the rest pose, multiplies the colour
  std::vector<std::array<float, 2>> uvs;  // v up
  std::vector<std::array<std::int32_t, 3>> triangles;
  std::vector<std::array<std::int32_t, 3>> uv_triangles;
  std::vector<Label> labels;            // [triangles]
  std::vector<std::int32_t> materials;  // [triangles]
  std::vector<Material> material_list;
};

struct DressedPerson {
  TexturedMesh mesh;        // visible surfaces only
  body::PoseParams params;  // betas, pose, transl
};

/// Reads garments and textures once and dresses any number of people. Not for use by several threads at once.
class Wardrobe {
 public:
  /// `package` is the unpacked npm package.
  Wardrobe(std::filesystem::path package, HumanAssets assets, Cc0Body body);

  /// Garments are fitted to the body of the look's betas in the rest pose, skinned and posed. What they cover is left
  /// out where it can never be seen and moved inwards by millimetres elsewhere. The body wears underwear. `pose.betas`
  /// is ignored; transl is moved so that the person's vertical middle lies at y = 0.
  /// Throws Error(kInput) for an asset off the allow-list or a file that is missing or malformed.
  DressedPerson dress(const PersonLook& look, body::PoseParams pose);

  [[nodiscard]] const Cc0Body& body() const { return body_; }
  [[nodiscard]] const std::filesystem::path& package() const { return package_; }

 private:
  const Garment& garment(const std::string& group, const std::string& name);
  const io::Image& texture(const std::string& path);

  std::filesystem::path package_;
  HumanAssets assets_;
  Cc0Body body_;
  std::vector<float> underwear_;  // coverage in texture space
  std::map<std::string, Garment> garments_;
  std::map<std::string, io::Image> textures_;
};

}  // namespace layeravatar::people
