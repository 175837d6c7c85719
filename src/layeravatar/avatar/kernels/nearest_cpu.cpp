#include <algorithm>
#include <limits>
#include <numeric>

#include "layeravatar/avatar/kernels/nearest_kernel.h"

namespace layeravatar::avatar {

// The points are sorted by height, along which a body is longest; a query looks up and down from its own height until
// the difference in height alone exceeds the best distance.
std::vector<std::int32_t> nearest_points(std::span<const float> points, std::span<const float> queries) {
  const auto count = static_cast<std::int64_t>(points.size() / 3);
  const auto wanted = static_cast<std::int64_t>(queries.size() / 3);
  std::vector<std::int32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  const auto height = [&](std::int32_t i) { return points[3 * static_cast<std::size_t>(i) + 1]; };
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return height(a) < height(b); });
  std::vector<double> sorted(3 * order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    for (std::size_t k = 0; k < 3; ++k)
      sorted[3 * i + k] = static_cast<double>(points[3 * static_cast<std::size_t>(order[i]) + k]);
  std::vector<std::int32_t> out(static_cast<std::size_t>(wanted));
#pragma omp parallel for schedule(static)
  for (std::int64_t q = 0; q < wanted; ++q) {
    const float* at = queries.data() + 3 * q;
    const double x = static_cast<double>(at[0]), y = static_cast<double>(at[1]), z = static_cast<double>(at[2]);
    const auto start = std::lower_bound(order.begin(), order.end(), at[1],
                                        [&](std::int32_t i, float h) { return height(i) < h; }) - order.begin();
    double best = std::numeric_limits<double>::infinity();
    std::int32_t found = 0;
    const auto look = [&](std::int64_t i) {  // false: this point and all beyond are too far
      const double* p = sorted.data() + 3 * i;
      const double dy = p[1] - y;
      if (dy * dy > best) return false;
      const double d = (p[0] - x) * (p[0] - x) + dy * dy + (p[2] - z) * (p[2] - z);
      const std::int32_t index = order[static_cast<std::size_t>(i)];
      if (d < best || (d == best && index < found)) {
        best = d;
        found = index;
      }
      return true;
    };
    std::int64_t up = start, down = start - 1;
    bool rising = true, falling = true;
    while (rising || falling) {
      rising = rising && up < count && look(up++);
      falling = falling && down >= 0 && look(down--);
    }
    out[static_cast<std::size_t>(q)] = found;
  }
  return out;
}

}  // namespace layeravatar::avatar
