#include "layeravatar/io/ply.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/bytes.h"

namespace layeravatar::io {

void write_splat_ply(const std::filesystem::path& path, const SplatCloud& cloud) {
  const std::size_t n = cloud.opacities.size();
  LAV_CHECK(cloud.means.size() == 3 * n && cloud.colours.size() == 3 * n && cloud.scales.size() == 3 * n &&
                cloud.rotations.size() == 4 * n,
            "the arrays of a splat cloud differ in length");
  std::string out = fmt::format("ply\nformat binary_little_endian 1.0\nelement vertex {}\n", n);
  for (const char* name : {"x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0",
                           "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"})
    out += fmt::format("property float {}\n", name);
  out += "end_header\n";
  out.reserve(out.size() + n * 17 * sizeof(float));
  constexpr float kShC0 = 0.28209479177387814F;  // the constant spherical harmonic
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < 3; ++k) append(out, cloud.means[3 * i + k]);
    for (std::size_t k = 0; k < 3; ++k) append(out, 0.0F);
    for (std::size_t k = 0; k < 3; ++k) append(out, (cloud.colours[3 * i + k] - 0.5F) / kShC0);
    const float opacity = std::clamp(cloud.opacities[i], 1e-6F, 1.0F - 1e-6F);
    append(out, std::log(opacity / (1.0F - opacity)));
    for (std::size_t k = 0; k < 3; ++k) append(out, std::log(std::max(cloud.scales[3 * i + k], 1e-9F)));
    for (std::size_t k = 0; k < 4; ++k) append(out, cloud.rotations[4 * i + k]);
  }
  write_file(path, out);
}

}  // namespace layeravatar::io
