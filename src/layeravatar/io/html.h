// Parts of HTML pages that stand alone.
#pragma once
#include <string>
#include <string_view>

namespace layeravatar::io {

/// Text between tags or in a quoted attribute.
std::string html_escaped(std::string_view text);
/// An <img> that holds the PNG file's bytes itself.
std::string html_image(std::string_view png);

}  // namespace layeravatar::io
