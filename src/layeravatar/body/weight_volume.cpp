#include "layeravatar/body/weight_volume.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "layeravatar/core/error.h"

namespace layeravatar::body {
namespace {

constexpr float kMargin = 1.2F;  // of the box of the canonical body
constexpr float kNearest = 3e-5F;
constexpr float kFarthest = 0.1F;
constexpr std::int64_t kBlock = 256;  // vertices whose distances are computed at a time

/// Entry i of n evenly spaced numbers from -1 to 1, counted from the nearer end so that both ends are exact.
float linspace(int i, int n) {
  const float step = 2.0F / static_cast<float>(n - 1);
  return i < n / 2 ? -1.0F + step * static_cast<float>(i) : 1.0F - step * static_cast<float>(n - 1 - i);
}

struct Nearest {
  std::array<float, WeightVolume::kNeighbours> square;
  std::array<std::int64_t, WeightVolume::kNeighbours> index;
};

/// The 10 nearest of the points (x, y, z), nearest first.
Nearest find_nearest(const std::array<float, 3>& at, const std::vector<float>& x, const std::vector<float>& y,
                     const std::vector<float>& z) {
  Nearest best;
  best.square.fill(std::numeric_limits<float>::infinity());
  best.index.fill(0);
  const auto count = static_cast<std::int64_t>(x.size());
  float square[kBlock];
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t width = std::min(kBlock, count - begin);
    const float* px = x.data() + begin;
    const float* py = y.data() + begin;
    const float* pz = z.data() + begin;
    float least = std::numeric_limits<float>::infinity();
#pragma omp simd reduction(min : least)
    for (std::int64_t i = 0; i < width; ++i) {
      const float dx = px[i] - at[0];
      const float dy = py[i] - at[1];
      const float dz = pz[i] - at[2];
      square[i] = dx * dx + dy * dy + dz * dz;
      least = square[i] < least ? square[i] : least;
    }
    if (least >= best.square.back()) continue;
    for (std::int64_t i = 0; i < width; ++i) {
      if (square[i] >= best.square.back()) continue;
      std::size_t slot = best.square.size() - 1;
      for (; slot > 0 && best.square[slot - 1] > square[i]; --slot) {
        best.square[slot] = best.square[slot - 1];
        best.index[slot] = best.index[slot - 1];
      }
      best.square[slot] = square[i];
      best.index[slot] = begin + i;
    }
  }
  return best;
}

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
  std::array<std::vector<float>, 3> axes;
  WeightVolume volume;
  float extent = 0.0F;
  for (std::size_t k = 0; k < 3; ++k) {
    axes[k].resize(count);
    for (std::size_t v = 0; v < count; ++v) axes[k][v] = canonical_vertices[3 * v + k];
    const auto [low, high] = std::minmax_element(axes[k].begin(), axes[k].end());
    volume.centre_[k] = (*low + *high) / 2;
    extent = std::max(extent, *high - *low);
  }
  LAV_CHECK(std::isfinite(extent) && extent > 0, "canonical vertices: the box is empty or not finite");
  volume.half_size_ = extent / 2 * kMargin;

  const std::int64_t nodes = std::int64_t{kSize[0]} * kSize[1] * kSize[2];
  volume.nodes_.assign(static_cast<std::size_t>(nodes * kJoints), 0.0F);
#pragma omp parallel for schedule(dynamic, 64)
  for (std::int64_t n = 0; n < nodes; ++n) {
    const auto x = static_cast<int>(n % kSize[0]);
    const auto y = static_cast<int>(n / kSize[0] % kSize[1]);
    const auto z = static_cast<int>(n / kSize[0] / kSize[1]);
    const Nearest nearest = find_nearest(volume.node_position(x, y, z), axes[0], axes[1], axes[2]);
    std::array<float, kNeighbours> share;
    float total = 0.0F;
    for (std::size_t i = 0; i < share.size(); ++i) {
      share[i] = 1.0F / std::clamp(std::sqrt(nearest.square[i]), kNearest, kFarthest);
      total += share[i];
    }
    float* row = volume.nodes_.data() + n * kJoints;
    for (std::size_t i = 0; i < share.size(); ++i) {
      const float part = share[i] / total;
      const float* w = weights.data() + nearest.index[i] * kJoints;
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
