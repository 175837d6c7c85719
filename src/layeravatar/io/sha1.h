// SHA-1, by which the npm registry names what it delivers.
#pragma once
#include <string>
#include <string_view>

namespace layeravatar::io {

/// Forty hexadecimal digits, lower case.
std::string sha1_hex(std::string_view bytes);

}  // namespace layeravatar::io
