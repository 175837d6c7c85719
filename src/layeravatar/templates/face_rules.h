// What every Gaussian takes from its face (spec/body_and_data.md sections 5.3 and 5.5).
#pragma once
#include <array>
#include <cstdint>

namespace layeravatar::templates {

/// Children of the face (a, b, c) with midpoints (ab, bc, ca), in the order that fixes the order of the Gaussians.
std::array<std::array<std::int32_t, 3>, 4> one_to_four(const std::array<std::int32_t, 3>& face,
                                                       const std::array<std::int32_t, 3>& midpoints);

/// Row-major, columns tangent, bitangent, normal; a texture triangle without area gives a tangent of no use: zero where
/// all its corners agree.
std::array<float, 9> tangent_frame(const std::array<std::array<float, 3>, 3>& points,
                                   const std::array<std::array<double, 2>, 3>& uvs);

}  // namespace layeravatar::templates
