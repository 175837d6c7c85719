// Colours by name.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

namespace layeravatar::io {

/// RGB in 0..1 of "red" or "#a02030"; empty for another text. The named ones are those of cloth and hair, less bright than a screen's.
std::optional<std::array<double, 3>> named_colour(const std::string& text);
/// The name of the nearest one in CIELAB (sRGB, D65), lightness counting half.
std::string nearest_colour_name(const std::array<double, 3>& rgb);
std::vector<std::string> colour_names();

}  // namespace layeravatar::io
