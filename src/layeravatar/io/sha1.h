// SHA-1, by which the npm registry names what it delivers, and SHA-256.
#pragma once
#include <string>
#include <string_view>

namespace layeravatar::io {

/// Forty hexadecimal digits, lower case.
std::string sha1_hex(std::string_view bytes);
/// Sixty-four.
std::string sha256_hex(std::string_view bytes);

}  // namespace layeravatar::io
