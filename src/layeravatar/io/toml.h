// Settings as TOML.
#pragma once
#include <fmt/format.h>
#include <toml++/toml.h>

#include <string>

#include "layeravatar/core/error.h"

namespace layeravatar::io {

/// Throws Error(kConfig) "<file>:<line>: not valid TOML: <why>".
inline toml::table parse_toml(const std::string& text, const std::string& file) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& e) {
    throw Error(ErrorKind::kConfig, fmt::format("{}:{}: not valid TOML: {}", file, e.source().begin.line, e.description()));
  }
}

}  // namespace layeravatar::io
