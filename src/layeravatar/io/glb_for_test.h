// A small binary glTF file; test programs only.
#pragma once
#include <string>
#include <string_view>

#include "layeravatar/io/bytes.h"

namespace layeravatar::io {

inline std::string glb_of(std::string json, std::string binary) {
  json.resize((json.size() + 3) / 4 * 4, ' ');
  std::string padded = binary;
  padded.resize((binary.size() + 3) / 4 * 4, '\0');
  std::string out = "glTF";
  append<std::uint32_t>(out, 2);
  append<std::uint32_t>(out, static_cast<std::uint32_t>(28 + json.size() + binary.size()));
  append<std::uint32_t>(out, static_cast<std::uint32_t>(json.size()));
  out += "JSON" + json;
  append<std::uint32_t>(out, static_cast<std::uint32_t>(binary.size()));
  out += std::string("BIN\0", 4) + binary;
  return out;
}

/// Positions at 0, uvs at 36, indices at 60, the picture at 68.
inline constexpr std::string_view kTriangleJson =
    R"({"asset":{"version":"2.0"},"scene":0,"scenes":[{"nodes":[0]}],)"
    R"("nodes":[{"translation":[0,1,0],"children":[1]},{"mesh":0,"scale":[2,2,2],"rotation":[0,0,0.70710678118654752,0.70710678118654752]}],)"
    R"("meshes":[{"primitives":[{"attributes":{"POSITION":0,"TEXCOORD_0":1},"indices":2,"material":0}]}],)"
    R"("materials":[{"name":"cloth","pbrMetallicRoughness":{"baseColorTexture":{"index":0}}}],)"
    R"("textures":[{"source":0}],"images":[{"bufferView":3,"mimeType":"image/png"}],)"
    R"("accessors":[{"bufferView":0,"componentType":5126,"count":3,"type":"VEC3"},)"
    R"({"bufferView":1,"componentType":5126,"count":3,"type":"VEC2"},{"bufferView":2,"componentType":5123,"count":3,"type":"SCALAR"}],)"
    R"("bufferViews":[{"buffer":0,"byteLength":36},{"buffer":0,"byteOffset":36,"byteLength":24},)"
    R"({"buffer":0,"byteOffset":60,"byteLength":6},{"buffer":0,"byteOffset":68,"byteLength":SIZE}],"buffers":[{"byteLength":999}]})";

inline std::string triangle_buffer(std::string_view picture) {
  std::string out;
  for (const float x : {0, 0, 0, 1, 0, 0, 0, 1, 0}) append<float>(out, x);
  for (const float x : {0, 0, 1, 0, 0, 1}) append<float>(out, x);
  for (const std::uint16_t id : {0, 1, 2, 0}) append<std::uint16_t>(out, id);
  return out.append(picture);
}

/// One triangle (0,0,0), (1,0,0), (0,1,0) with uvs (0,0), (1,0), (0,1) of the file.
inline std::string triangle_glb(std::string_view picture) {
  std::string json(kTriangleJson);
  json.replace(json.find("SIZE"), 4, std::to_string(picture.size()));
  return glb_of(json, triangle_buffer(picture));
}

}  // namespace layeravatar::io
