// Random draws that are the same on every platform: the standard's distributions differ between libraries. Private.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <span>
#include <string>

namespace layeravatar::people {

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : generator_(seed) {}
  double uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(generator_() >> 11) * 0x1.0p-53;
  }
  /// Clamped to [low, high].
  double normal(double mean, double deviation, double low = 0.0, double high = 1.0) {
    const double radius = std::sqrt(-2 * std::log(1 - uniform(0, 1)));
    return std::clamp(mean + deviation * radius * std::cos(2 * std::numbers::pi * uniform(0, 1)), low, high);
  }
  std::size_t index(std::size_t count) { return generator_() % count; }
  std::string pick(std::span<const char* const> names) { return names[index(names.size())]; }

 private:
  std::mt19937_64 generator_;
};

}  // namespace layeravatar::people
