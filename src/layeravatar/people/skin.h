// Skins and the underwear that is painted on every one of them (spec/cc0_people.md section 5).
#pragma once
#include <array>
#include <vector>

#include "layeravatar/io/png.h"
#include "layeravatar/people/cc0_body.h"

namespace layeravatar::people {

/// How much of each texel a sleeveless top and short trousers cover, 0..1: [size, size], rows from the top. Decided by
/// where the texel lies on the mean body in its rest pose. Reaches some texels beyond the charts, so that filtering at
/// their borders never meets bare skin.
std::vector<float> underwear_coverage(const BaseMesh& base, const Cc0Body& body, int size);

/// RGB: the skin times `tone`, under cloth of one colour (0..1). `coverage` as above, of any size.
io::Image paint_skin(const io::Image& skin, const std::array<float, 3>& tone, const std::vector<float>& coverage,
                     const std::array<float, 3>& cloth);

}  // namespace layeravatar::people
