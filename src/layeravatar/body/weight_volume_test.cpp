#include "layeravatar/body/weight_volume.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/body/synthetic_body_for_test.h"
#include "layeravatar/core/error.h"

namespace layeravatar::body {
namespace {

class WeightVolumeTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    model = synthetic_body(400);
    volume = WeightVolume::build(model.v_template, model.weights);
  }
  static void TearDownTestSuite() {
    volume = {};
    model = {};
  }
  static std::array<float, 3> point_in_cell(std::array<float, 3> grid) {
    std::array<float, 3> p{};
    for (std::size_t k = 0; k < 3; ++k) {
      const float n = 2 * grid[k] / static_cast<float>(WeightVolume::kSize[k] - 1) - 1;
      p[k] = n * volume.half_size() / (k == 2 ? 4.0F : 1.0F) + volume.centre()[k];
    }
    return p;
  }
  static inline BodyModel model;
  static inline WeightVolume volume;
};

TEST_F(WeightVolumeTest, RowsSumToOneInsideAndOutside) {
  const auto points = random_numbers(3 * 500, 0.4F, 7);
  std::vector<float> out(500 * kJoints);
  volume.query(points, out);
  for (std::size_t n = 0; n < 500; ++n) {
    double sum = 0;
    for (std::size_t j = 0; j < kJoints; ++j) sum += out[n * kJoints + j];
    EXPECT_NEAR(sum, 1.0, 2e-6);
  }
}

TEST_F(WeightVolumeTest, NodesAreTheInverseDistanceMeanOfTheTenNearest) {
  for (int n = 7; n < 64 * 64 * 16; n += 997) {
    const auto at = volume.node_position(n % 64, n / 64 % 64, n / 4096);
    std::vector<std::pair<double, std::size_t>> order;
    for (std::size_t v = 0; v < 400; ++v) {
      double square = 0;
      for (std::size_t k = 0; k < 3; ++k) square += std::pow(static_cast<double>(model.v_template[3 * v + k]) - at[k], 2);
      order.emplace_back(std::sqrt(square), v);
    }
    std::sort(order.begin(), order.end());
    std::array<double, kJoints> sum{};
    double total = 0;
    for (std::size_t i = 0; i < 10; ++i) {
      const double share = 1 / std::clamp(order[i].first, 3e-5, 0.1);
      total += share;
      for (std::size_t j = 0; j < kJoints; ++j) sum[j] += share * model.weights[order[i].second * kJoints + j];
    }
    for (std::size_t j = 0; j < kJoints; ++j) {
      ASSERT_NEAR(volume.nodes()[static_cast<std::size_t>(n) * kJoints + j], sum[j] / total, 2e-6) << n << " " << j;
    }
  }
}

// Ten vertices with a joint each, nine of them beyond 0.1 m of a node: they share 1 / 0.1 each, the tenth has one over its
// own distance, which counts as 3e-5 at least.
// Every vertex three times, far more of them than one block holds: of equally far ones the first counts, as a stable sort has it.
TEST_F(WeightVolumeTest, NodesAreTheSameBitsAsByLookingAtEveryVertex) {
  std::vector<float> vertices, weights;
  for (int k = 0; k < 3; ++k) {
    vertices.insert(vertices.end(), model.v_template.begin(), model.v_template.end());
    for (const float w : model.weights) weights.push_back(w * static_cast<float>(k + 1));
  }
  const WeightVolume many = WeightVolume::build(vertices, weights);
  for (int n = 3; n < 64 * 64 * 16; n += 331) {
    const auto at = many.node_position(n % 64, n / 64 % 64, n / 4096);
    std::vector<std::pair<float, std::size_t>> order;
    for (std::size_t v = 0; v < 1200; ++v) {
      const float dx = vertices[3 * v] - at[0], dy = vertices[3 * v + 1] - at[1], dz = vertices[3 * v + 2] - at[2];
      order.emplace_back(dx * dx + dy * dy + dz * dz, v);
    }
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::array<float, 10> share{};
    float total = 0;
    for (std::size_t i = 0; i < 10; ++i) total += share[i] = 1.0F / std::clamp(std::sqrt(order[i].first), 3e-5F, 0.1F);
    std::array<float, kJoints> want{};
    for (std::size_t i = 0; i < 10; ++i)
      for (std::size_t j = 0; j < kJoints; ++j) want[j] += share[i] / total * weights[order[i].second * kJoints + j];
    for (std::size_t j = 0; j < kJoints; ++j) ASSERT_EQ(many.nodes()[static_cast<std::size_t>(n) * kJoints + j], want[j]) << n << " " << j;
  }
}

TEST_F(WeightVolumeTest, DistancesOfNodesAreClampedAtBothEnds) {
  std::vector<float> vertices(30), weights(10 * kJoints);
  for (std::size_t v = 0; v < 10; ++v) weights[v * kJoints + v] = 1;
  for (std::size_t v = 1; v < 10; ++v) vertices[3 * v] = v % 2 == 0 ? -1.0F : 1.0F, vertices[3 * v + 1] = 0.1F * static_cast<float>(v) - 0.5F;
  vertices[5] = 0.2F, vertices[8] = -0.2F;  // the box is wide enough for the tenth
  const auto node = WeightVolume::build(vertices, weights).node_position(31, 33, 8);
  for (const auto& [offset, distance] : {std::pair{0.0F, 3e-5}, {2e-5F, 3e-5}, {2e-4F, 2e-4}}) {
    std::copy(node.begin(), node.end(), vertices.begin());
    vertices[0] += offset;
    const WeightVolume built = WeightVolume::build(vertices, weights);
    ASSERT_EQ(built.node_position(31, 33, 8), node);
    const float* row = built.nodes().data() + ((8 * 64 + 33) * 64 + 31) * kJoints;
    const double total = 1 / distance + 9 / 0.1;
    EXPECT_NEAR(row[0], 1 / distance / total, 2e-6) << offset;
    for (std::size_t v = 1; v < 10; ++v) EXPECT_NEAR(row[v], 10 / total, 1e-7) << offset;
  }
}

TEST_F(WeightVolumeTest, QueryAtANodeIsTheNode) {
  for (const auto& [x, y, z] : {std::array{0, 0, 0}, std::array{63, 63, 15}, std::array{31, 7, 4}}) {
    const auto at = volume.node_position(x, y, z);
    std::array<float, kJoints> out{};
    volume.query(at, out);
    const auto* node = volume.nodes().data() + ((z * 64 + y) * 64 + x) * kJoints;
    for (std::size_t j = 0; j < kJoints; ++j) EXPECT_NEAR(out[j], node[j], 2e-5F);
  }
}

TEST_F(WeightVolumeTest, GradientAgreesWithFiniteDifferences) {
  for (int trial = 0; trial < 20; ++trial) {
    const auto t = static_cast<float>(trial);
    const auto at = point_in_cell({20 + t + 0.4F, 45 - t + 0.6F, 2 + t / 2 + 0.3F});
    std::array<float, kJoints> value{};
    std::array<float, 3 * kJoints> gradient{};
    volume.query_with_gradient(at, value, gradient);
    std::array<float, kJoints> plain{};
    volume.query(at, plain);
    EXPECT_EQ(value, plain);
    // Inside a cell the function is linear along each axis, so that a long step is exact.
    for (std::size_t k = 0; k < 3; ++k) {
      auto low = at;
      auto high = at;
      const float step = 0.1F * 2 * volume.half_size() / 63;
      low[k] -= step;
      high[k] += step;
      std::array<float, kJoints> a{};
      std::array<float, kJoints> b{};
      volume.query(low, a);
      volume.query(high, b);
      for (std::size_t j = 0; j < kJoints; ++j) {
        EXPECT_NEAR(gradient[3 * j + k], (b[j] - a[j]) / (high[k] - low[k]), 2e-3F) << trial << " " << k << " " << j;
      }
    }
    const auto g = random_numbers(kJoints, 1.0F, 8);
    std::array<float, 3> back{};
    volume.query_backward(at, g, back);
    for (std::size_t k = 0; k < 3; ++k) {
      float expected = 0.0F;
      for (std::size_t j = 0; j < kJoints; ++j) expected += g[j] * gradient[3 * j + k];
      EXPECT_NEAR(back[k], expected, 1e-4F);
    }
  }
}

TEST_F(WeightVolumeTest, ClampedAxesHaveNoGradient) {
  const auto at = point_in_cell({70.0F, 30.5F, -2.0F});
  const auto border = point_in_cell({63.0F, 30.5F, 0.0F});
  std::array<float, kJoints> value{};
  std::array<float, kJoints> expected{};
  std::array<float, 3 * kJoints> gradient{};
  volume.query_with_gradient(at, value, gradient);
  volume.query(border, expected);
  for (std::size_t j = 0; j < kJoints; ++j) {
    EXPECT_NEAR(value[j], expected[j], 2e-6F);
    EXPECT_EQ(gradient[3 * j], 0.0F);
    EXPECT_EQ(gradient[3 * j + 2], 0.0F);
  }
}

TEST_F(WeightVolumeTest, NoPointsAndWrongShapes) {
  EXPECT_NO_THROW(volume.query({}, {}));
  std::vector<float> three(3);
  EXPECT_THROW(volume.query(three, three), Error);
  EXPECT_THROW(WeightVolume::build(three, three), Error);
}

}  // namespace
}  // namespace layeravatar::body
