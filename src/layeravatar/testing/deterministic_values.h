// Numbers that follow from a name: the recorded values' inputs and weights need not be stored. Tests only.
#pragma once
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace layeravatar::testing {

inline std::uint32_t crc32_of(std::string_view text) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : text) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int k = 0; k < 8; ++k) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
  }
  return ~crc;
}

/// Element i in [-1, 1).
inline double value_at(std::uint32_t crc, std::uint64_t i) {
  std::uint64_t z = (static_cast<std::uint64_t>(crc) << 32) + i + 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  z ^= z >> 31;
  return 2 * (static_cast<double>(z >> 40) * 0x1p-24) - 1;
}

/// V(name): in [-1, 1); U(name): in [0, 1); N(name): variance one.
enum class Kind { kSigned, kUnit, kNormal };
inline std::vector<float> deterministic(std::string_view name, std::size_t count, Kind kind) {
  const std::uint32_t crc = crc32_of(name);
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double v = value_at(crc, i);
    out[i] = static_cast<float>(kind == Kind::kSigned ? v : kind == Kind::kUnit ? (v + 1) / 2 : v * std::sqrt(3.0));
  }
  return out;
}

/// Weights W of a network: `name` is prefix + state key, `shape` its sizes.
inline std::vector<float> deterministic_weights(const std::string& name, const std::vector<std::int64_t>& shape) {
  std::size_t count = 1, fan = 1;
  for (std::size_t k = 0; k < shape.size(); ++k) {
    count *= static_cast<std::size_t>(shape[k]);
    if (k > 0) fan *= static_cast<std::size_t>(shape[k]);
  }
  const std::uint32_t crc = crc32_of(name);
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double v = value_at(crc, i);
    double x = 0.1 * v;
    if (name.ends_with("num_batches_tracked")) x = 0;
    else if (name.ends_with("running_var")) x = 1 + 0.25 * v;
    else if (name.ends_with("running_mean")) x = 0.1 * v;
    else if (shape.size() >= 2) x = v * std::sqrt(3.0 / static_cast<double>(fan));
    else if (name.ends_with(".weight")) x = 1 + 0.1 * v;
    if (name.find("offset_net.") != std::string::npos) x *= 0.02;
    out[i] = static_cast<float>(x);
  }
  return out;
}

}  // namespace layeravatar::testing
