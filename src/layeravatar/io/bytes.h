// Little-endian numbers in byte strings.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace layeravatar::io {

/// Reads a number; the caller has checked that pos + sizeof(T) <= bytes.size().
template <class T>
T load(std::string_view bytes, std::uint64_t pos) {
  T value;
  std::memcpy(&value, bytes.data() + pos, sizeof value);
  return value;
}

template <class T>
void append(std::string& bytes, T value) {
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  bytes.append(raw, sizeof raw);
}

}  // namespace layeravatar::io
