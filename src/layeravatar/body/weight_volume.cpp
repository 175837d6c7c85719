#include "layeravatar/body/weight_volume.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "layeravatar/core/clones.h"
#include "layeravatar/core/error.h"

namespace layeravatar::body {
namespace {

constexpr float kMargin = 1.2F;  // of the box of the canonical body
constexpr float kNearest = 3e-5F;
constexpr float kFarthest = 0.1F;
constexpr std::int64_t kBlock = 64;  // vertices whose distances are computed at a time

/// Entry i of n evenly spaced numbers from -1 to 1, counted from the nearer end so that both ends are exact.
float linspace(int i, int n) {
  const float step = 2.0F / static_cast<float>(n - 1);
  return i < n / 2 ? -1.0F + step * static_cast<float>(i) : 1.0F - step * static_cast<float>(n - 1 - i);
}

// Of boxes between `low` and `high`, the squares of their distances from `at`.
LAV_CLONES void box_squares(const float* const (&low)[3], const float* const (&high)[3], std::size_t count, const float* at, float* squares) {
#pragma omp simd
  for (std::size_t b = 0; b < count; ++b) {
    float sum = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      const float outside = std::max(std::max(low[k][b] - at[k], at[k] - high[k][b]), 0.0F);
      sum += outside * outside;
    }
    squares[b] = sum;
  }
}

// Of points; returns the least.
LAV_CLONES float point_squares(const float* x, const float* y, const float* z, std::size_t count, const float* at, float* squares) {
  float least = std::numeric_limits<float>::infinity();
#pragma omp simd reduction(min : least)
  for (std::size_t i = 0; i < count; ++i) {
    const float dx = x[i] - at[0], dy = y[i] - at[1], dz = z[i] - at[2];
    squares[i] = dx * dx + dy * dy + dz * dz;
    least = squares[i] < least ? squares[i] : least;
  }
  return least;
}

struct Nearest {
  std::array<float, WeightVolume::kNeighbours> square;
  std::array<std::int32_t, WeightVolume::kNeighbours> index;
};

/// Points in blocks of neighbours with a box each, so that most blocks are passed over.
class PointBlocks {
 public:
  explicit PointBlocks(std::span<const float> points /* [V, 3] */) {
    ids_.resize(points.size() / 3);
    std::iota(ids_.begin(), ids_.end(), 0);
    split(points, 0, static_cast<std::int64_t>(ids_.size()));
    for (std::size_t k = 0; k < 3; ++k)
      for (const std::int32_t id : ids_) axes_[k].push_back(points[3 * static_cast<std::size_t>(id) + k]);
    for (std::size_t begin = 0; begin < ids_.size(); begin += kBlock) {
      const std::size_t end = std::min(begin + kBlock, ids_.size());
      for (std::size_t k = 0; k < 3; ++k) {
        const auto [low, high] = std::minmax_element(axes_[k].begin() + static_cast<std::ptrdiff_t>(begin), axes_[k].begin() + static_cast<std::ptrdiff_t>(end));
        low_[k].push_back(*low);
        high_[k].push_back(*high);
      }
    }
  }

  /// The 10 nearest of `at`, nearest first; of equally far ones that with the smaller index. `boxes` is memory of the caller's thread.
  [[nodiscard]] Nearest find(const std::array<float, 3>& at, std::vector<float>& boxes) const {
    Nearest best;
    best.square.fill(std::numeric_limits<float>::infinity());
    best.index.fill(std::numeric_limits<std::int32_t>::max());
    boxes.resize(low_[0].size());
    box_squares({low_[0].data(), low_[1].data(), low_[2].data()}, {high_[0].data(), high_[1].data(), high_[2].data()}, boxes.size(), at.data(), boxes.data());
    const auto first = static_cast<std::size_t>(std::min_element(boxes.begin(), boxes.end()) - boxes.begin());
    look_into(first, at, best);
    for (std::size_t b = 0; b < boxes.size(); ++b)
      if (b != first && boxes[b] * kSafe <= best.square.back()) look_into(b, at, best);
    return best;
  }

 private:
  static constexpr float kSafe = 0.9999F;  // of a box's distance: rounding does not hide a point

  // Halves along the longest side, the first half of whole blocks.
  void split(std::span<const float> points, std::int64_t begin, std::int64_t end) {
    if (end - begin <= kBlock) return;
    std::array<float, 3> low, high;
    low.fill(std::numeric_limits<float>::infinity());
    high.fill(-std::numeric_limits<float>::infinity());
    for (std::int64_t i = begin; i < end; ++i)
      for (std::size_t k = 0; k < 3; ++k) {
        const float x = points[3 * static_cast<std::size_t>(ids_[static_cast<std::size_t>(i)]) + k];
        low[k] = std::min(low[k], x);
        high[k] = std::max(high[k], x);
      }
    std::size_t axis = 0;
    for (std::size_t k = 1; k < 3; ++k)
      if (high[k] - low[k] > high[axis] - low[axis]) axis = k;
    const std::int64_t middle = begin + ((end - begin) / 2 + kBlock - 1) / kBlock * kBlock;
    std::nth_element(ids_.begin() + begin, ids_.begin() + middle, ids_.begin() + end, [&](std::int32_t a, std::int32_t b) {
      return points[3 * static_cast<std::size_t>(a) + axis] < points[3 * static_cast<std::size_t>(b) + axis];
    });
    split(points, begin, middle);
    split(points, middle, end);
  }

  void look_into(std::size_t block, const std::array<float, 3>& at, Nearest& best) const {
    const std::size_t begin = block * kBlock;
    const std::size_t width = std::min<std::size_t>(kBlock, ids_.size() - begin);
    float square[kBlock];
    if (point_squares(axes_[0].data() + begin, axes_[1].data() + begin, axes_[2].data() + begin, width, at.data(), square) > best.square.back()) return;
    for (std::size_t i = 0; i < width; ++i) {
      const std::int32_t id = ids_[begin + i];
      const auto comes_before = [&](std::size_t slot) { return square[i] < best.square[slot] || (square[i] == best.square[slot] && id < best.index[slot]); };
      std::size_t slot = best.square.size() - 1;
      if (!comes_before(slot)) continue;
      for (; slot > 0 && comes_before(slot - 1); --slot) {
        best.square[slot] = best.square[slot - 1];
        best.index[slot] = best.index[slot - 1];
      }
      best.square[slot] = square[i];
      best.index[slot] = id;
    }
  }

  std::vector<std::int32_t> ids_;
  std::array<std::vector<float>, 3> axes_, low_, high_;  // of the points in the order of ids_; of the blocks
};

}  // namespace

/// The eight nodes around a point. Corner c is at +1 along x, y, z for bits 0, 1, 2 of c.
struct WeightVolume::Cell {
  std::array<const float*, 8> rows;
  std::array<float, 3> fraction;
  std::array<float, 3> slope;  // d fraction / d point, zero along a clamped axis

  [[nodiscard]] float factor(int corner, int axis) const {
    const float f = fraction[static_cast<std::size_t>(axis)];
    return (corner >> axis & 1) != 0 ? f : 1.0F - f;
  }
  [[nodiscard]] float value(int corner) const { return factor(corner, 0) * factor(corner, 1) * factor(corner, 2); }
  [[nodiscard]] float derivative(int corner, int axis) const {
    const float sign = (corner >> axis & 1) != 0 ? 1.0F : -1.0F;
    return sign * slope[static_cast<std::size_t>(axis)] * factor(corner, (axis + 1) % 3) *
           factor(corner, (axis + 2) % 3);
  }
};

std::array<float, 3> WeightVolume::node_position(int x, int y, int z) const {
  return {linspace(x, kSize[0]) * half_size_ + centre_[0], linspace(y, kSize[1]) * half_size_ + centre_[1],
          linspace(z, kSize[2]) * (half_size_ / kRatio) + centre_[2]};
}

WeightVolume WeightVolume::build(std::span<const float> canonical_vertices, std::span<const float> weights) {
  const std::size_t count = canonical_vertices.size() / 3;
  LAV_CHECK(canonical_vertices.size() % 3 == 0 && count >= kNeighbours, "canonical vertices: expected [V >= 10, 3]");
  LAV_CHECK(weights.size() == count * kJoints, "skinning weights: expected [V, 55]");
  WeightVolume volume;
  float extent = 0.0F;
  for (std::size_t k = 0; k < 3; ++k) {
    float low = canonical_vertices[k], high = low;
    for (std::size_t v = 1; v < count; ++v) {
      low = std::min(low, canonical_vertices[3 * v + k]);
      high = std::max(high, canonical_vertices[3 * v + k]);
    }
    volume.centre_[k] = (low + high) / 2;
    extent = std::max(extent, high - low);
  }
  LAV_CHECK(std::all_of(canonical_vertices.begin(), canonical_vertices.end(), [](float x) { return std::isfinite(x); }) && extent > 0 && std::isfinite(extent) &&
                std::all_of(volume.centre_.begin(), volume.centre_.end(), [](float x) { return std::isfinite(x); }),
            "canonical vertices: the box is empty or not finite");
  volume.half_size_ = extent / 2 * kMargin;

  const std::int64_t nodes = std::int64_t{kSize[0]} * kSize[1] * kSize[2];
  volume.nodes_.assign(static_cast<std::size_t>(nodes * kJoints), 0.0F);
  const PointBlocks blocks(canonical_vertices);
  std::vector<float> boxes;
#pragma omp parallel for schedule(dynamic, 64) private(boxes)
  for (std::int64_t n = 0; n < nodes; ++n) {
    const auto x = static_cast<int>(n % kSize[0]);
    const auto y = static_cast<int>(n / kSize[0] % kSize[1]);
    const auto z = static_cast<int>(n / kSize[0] / kSize[1]);
    const Nearest nearest = blocks.find(volume.node_position(x, y, z), boxes);
    std::array<float, kNeighbours> share;
    float total = 0.0F;
    for (std::size_t i = 0; i < share.size(); ++i) {
      share[i] = 1.0F / std::clamp(std::sqrt(nearest.square[i]), kNearest, kFarthest);
      total += share[i];
    }
    float* row = volume.nodes_.data() + n * kJoints;
    for (std::size_t i = 0; i < share.size(); ++i) {
      const float part = share[i] / total;
      const float* w = weights.data() + std::int64_t{nearest.index[i]} * kJoints;
      for (int j = 0; j < kJoints; ++j) row[j] += part * w[j];
    }
  }
  return volume;
}

WeightVolume::Cell WeightVolume::locate(const float* point) const {
  Cell cell;
  std::array<int, 3> low;
  for (std::size_t k = 0; k < 3; ++k) {
    const float inverse = (k == 2 ? static_cast<float>(kRatio) : 1.0F) / half_size_;
    const auto last = static_cast<float>(kSize[k] - 1);
    float at = ((point[k] - centre_[k]) * inverse + 1.0F) / 2 * last;
    cell.slope[k] = inverse / 2 * last;
    if (!(at > 0.0F) || at >= last) {  // outside, on the border, or not a number
      at = at >= last ? last : 0.0F;
      cell.slope[k] = 0.0F;
    }
    low[k] = std::min(static_cast<int>(at), kSize[k] - 2);
    cell.fraction[k] = at - static_cast<float>(low[k]);
  }
  for (std::size_t c = 0; c < 8; ++c) {
    const auto bit = static_cast<int>(c);
    const std::int64_t x = low[0] + (bit & 1);
    const std::int64_t y = low[1] + (bit >> 1 & 1);
    const std::int64_t z = low[2] + (bit >> 2);
    cell.rows[c] = nodes_.data() + ((z * kSize[1] + y) * kSize[0] + x) * kJoints;
  }
  return cell;
}

void WeightVolume::query(std::span<const float> points, std::span<float> out) const {
  const auto count = static_cast<std::int64_t>(points.size() / 3);
  LAV_CHECK(points.size() % 3 == 0 && out.size() == points.size() / 3 * kJoints, "expected points [N, 3], out [N, 55]");
  LAV_CHECK(!nodes_.empty(), "the weight volume is empty");
#pragma omp parallel for schedule(static)
  for (std::int64_t n = 0; n < count; ++n) {
    const Cell cell = locate(points.data() + 3 * n);
    float* row = out.data() + n * kJoints;
    std::fill_n(row, kJoints, 0.0F);
    for (int c = 0; c < 8; ++c) {
      const float f = cell.value(c);
      const float* node = cell.rows[static_cast<std::size_t>(c)];
      for (int j = 0; j < kJoints; ++j) row[j] += f * node[j];
    }
  }
}

void WeightVolume::query_with_gradient(std::span<const float, 3> point, std::span<float, kJoints> weights,
                                       std::span<float, 3 * kJoints> gradient) const {
  LAV_CHECK(!nodes_.empty(), "the weight volume is empty");
  const Cell cell = locate(point.data());
  std::fill(weights.begin(), weights.end(), 0.0F);
  std::fill(gradient.begin(), gradient.end(), 0.0F);
  for (int c = 0; c < 8; ++c) {
    const float f = cell.value(c);
    const std::array<float, 3> d = {cell.derivative(c, 0), cell.derivative(c, 1), cell.derivative(c, 2)};
    const float* node = cell.rows[static_cast<std::size_t>(c)];
    for (std::size_t j = 0; j < kJoints; ++j) {
      weights[j] += f * node[j];
      for (std::size_t k = 0; k < 3; ++k) gradient[3 * j + k] += d[k] * node[j];
    }
  }
}

void WeightVolume::query_backward(std::span<const float> points, std::span<const float> grad_out,
                                  std::span<float> grad_points) const {
  const auto count = static_cast<std::int64_t>(points.size() / 3);
  LAV_CHECK(points.size() % 3 == 0 && grad_out.size() == points.size() / 3 * kJoints &&
                grad_points.size() == points.size(),
            "expected points [N, 3], grad_out [N, 55], grad_points [N, 3]");
  LAV_CHECK(!nodes_.empty(), "the weight volume is empty");
#pragma omp parallel for schedule(static)
  for (std::int64_t n = 0; n < count; ++n) {
    const Cell cell = locate(points.data() + 3 * n);
    const float* g = grad_out.data() + n * kJoints;
    float sum[3] = {};
    for (int c = 0; c < 8; ++c) {
      const float* node = cell.rows[static_cast<std::size_t>(c)];
      float dot = 0.0F;
      for (int j = 0; j < kJoints; ++j) dot += g[j] * node[j];
      for (int k = 0; k < 3; ++k) sum[k] += cell.derivative(c, k) * dot;
    }
    std::copy_n(sum, 3, grad_points.data() + 3 * n);
  }
}

WeightVolume canonical_volume(const BodyModel& body) {
  const std::vector<float> canonical = pose(body, canonical_pose()).vertices;
  std::vector<std::uint8_t> used(static_cast<std::size_t>(body.vertex_count()), 0);
  for (const std::int64_t id : body.faces) used[static_cast<std::size_t>(id)] = 1;
  if (std::count(used.begin(), used.end(), 1) < WeightVolume::kNeighbours)
    return WeightVolume::build(canonical, body.weights);
  std::vector<float> vertices, weights;
  for (std::size_t v = 0; v < used.size(); ++v) {
    if (used[v] == 0) continue;
    vertices.insert(vertices.end(), &canonical[3 * v], &canonical[3 * v] + 3);
    weights.insert(weights.end(), &body.weights[kJoints * v], &body.weights[kJoints * v] + kJoints);
  }
  return WeightVolume::build(vertices, weights);
}

}  // namespace layeravatar::body
