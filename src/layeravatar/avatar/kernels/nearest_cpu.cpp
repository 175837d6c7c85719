#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "layeravatar/avatar/kernels/nearest_kernel.h"

namespace layeravatar::avatar {

// The points are sorted by height, along which a body is longest; a query looks up and down from its own height until
// the difference in height alone exceeds the distance of the last one that it keeps.
std::vector<std::int32_t> nearest_points(std::span<const float> points, std::span<const float> queries, std::int64_t kept) {
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
  std::vector<std::int32_t> out(static_cast<std::size_t>(wanted * kept));
#pragma omp parallel for schedule(static)
  for (std::int64_t q = 0; q < wanted; ++q) {
    const float* at = queries.data() + 3 * q;
    const double x = static_cast<double>(at[0]), y = static_cast<double>(at[1]), z = static_cast<double>(at[2]);
    const auto start = std::lower_bound(order.begin(), order.end(), at[1],
                                        [&](std::int32_t i, float h) { return height(i) < h; }) - order.begin();
    using Found = std::pair<double, std::int32_t>;  // square of the distance, index
    std::vector<Found> best(static_cast<std::size_t>(kept), Found{std::numeric_limits<double>::infinity(), -1});
    const auto look = [&](std::int64_t i) {  // false: this point and all beyond are too far
      const double* p = sorted.data() + 3 * i;
      const double dy = p[1] - y;
      if (dy * dy > best.back().first) return false;
      const Found here{(p[0] - x) * (p[0] - x) + dy * dy + (p[2] - z) * (p[2] - z), order[static_cast<std::size_t>(i)]};
      if (here < best.back()) {
        std::copy_backward(std::upper_bound(best.begin(), best.end(), here), best.end() - 1, best.end());
        *std::lower_bound(best.begin(), best.end() - 1, here) = here;
      }
      return true;
    };
    std::int64_t up = start, down = start - 1;
    bool rising = true, falling = true;
    while (rising || falling) {
      rising = rising && up < count && look(up++);
      falling = falling && down >= 0 && look(down--);
    }
    for (std::int64_t k = 0; k < kept; ++k) out[static_cast<std::size_t>(q * kept + k)] = best[static_cast<std::size_t>(k)].second;
  }
  return out;
}

std::vector<std::int32_t> nearest_points(std::span<const float> points, std::span<const float> queries) { return nearest_points(points, queries, 1); }

}  // namespace layeravatar::avatar
