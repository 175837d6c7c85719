// The colours in which pictures show labels.
#pragma once
#include <array>
#include <cstdint>

namespace layeravatar::io {

/// By label: none, body, top, hair, shoes, bottom. RGB.
inline constexpr std::array<std::array<std::uint8_t, 3>, 6> kLabelColours = {
    {{255, 255, 255}, {240, 190, 160}, {205, 60, 60}, {235, 200, 70}, {60, 90, 200}, {70, 165, 95}}};

}  // namespace layeravatar::io
