// JSON from files of elsewhere.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "layeravatar/core/error.h"

namespace layeravatar::io {

/// Throws Error(kInput) "<file>: line n, column m: <why>", or "<file>: <why>" for a number out of range. Do not copy or
/// write a value that may be deeply nested: both recurse.
inline nlohmann::json parse_json(std::string_view text, const std::string& file) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    std::string why = e.what();  // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ..."
    if (const std::size_t end = why.find("] "); end != std::string::npos) why.erase(0, end + 2);
    constexpr std::string_view kPlace = "parse error at ";
    if (why.starts_with(kPlace)) why.erase(0, kPlace.size());
    throw Error(ErrorKind::kInput, file + ": " + why);
  }
}

}  // namespace layeravatar::io
