// The string encodings of pickles.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace layeravatar::io {

/// Complete sequences, no surrogates, nothing above U+10FFFF, shortest forms.
bool is_utf8(std::string_view bytes);
std::string utf8_from_latin1(std::string_view bytes);
/// Nothing when a character is above U+00FF. `text` is UTF-8.
std::optional<std::string> latin1_from_utf8(std::string_view text);

/// A quoted Python 2 string, 'it\'s \x41', without its quotes and escapes. Nothing when quotes or an escape are broken.
std::optional<std::string> unescape_string(std::string_view quoted);
/// Latin-1 with \uXXXX and \UXXXXXXXX, as UTF-8. Nothing when an escape is broken or is no character.
std::optional<std::string> unescape_unicode(std::string_view line);

}  // namespace layeravatar::io
