#include "layeravatar/avatar/compose.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <random>
#include <utility>

#include "layeravatar/avatar/kernels/nearest_kernel.h"
#include "layeravatar/avatar/template_for_test.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"

namespace layeravatar::avatar {
namespace {

TEST(NearestPoints, ExactWithTiesToTheLowestIndex) {
  // Points on a lattice, so that many distances are equal to the last bit.
  std::mt19937 engine(4);
  const auto lattice = [&](int count) {
    std::vector<float> out;
    for (int i = 0; i < 3 * count; ++i) out.push_back(0.125F * static_cast<float>(engine() % 8));
    return out;
  };
  const std::vector<float> points = lattice(300), queries = lattice(200);
  const std::vector<std::int32_t> got = nearest_points(points, queries), several = nearest_points(points, queries, 7);
  ASSERT_EQ(got.size(), 200U);
  ASSERT_EQ(several.size(), 1400U);
  for (std::size_t q = 0; q < 200; ++q) {
    std::vector<std::pair<double, std::int32_t>> want;
    for (std::size_t p = 0; p < 300; ++p) {
      double d = 0;
      for (std::size_t k = 0; k < 3; ++k) {
        const double difference = static_cast<double>(points[3 * p + k]) - static_cast<double>(queries[3 * q + k]);
        d += difference * difference;
      }
      want.emplace_back(d, static_cast<std::int32_t>(p));
    }
    std::sort(want.begin(), want.end());
    EXPECT_EQ(got[q], want[0].second) << q;
    for (std::size_t k = 0; k < 7; ++k) EXPECT_EQ(several[7 * q + k], want[k].second) << q << ", " << k;
  }
  EXPECT_TRUE(nearest_points(points, {}).empty());
  EXPECT_EQ(nearest_points(std::vector<float>{0, 0, 0, 1, 0, 0}, std::vector<float>{2, 0, 0}, 3), (std::vector<std::int32_t>{1, 0, -1}));
}

// 100 row + point everywhere, so that a value tells its row and its point.
torch::Tensor telling_samples(std::int64_t points) {
  const torch::Tensor n = torch::arange(points, torch::kFloat32).reshape({1, points, 1});
  const torch::Tensor r = torch::arange(5, torch::kFloat32).reshape({5, 1, 1});
  return (100 * r + n).expand({5, points, 13}).contiguous();
}

// Which of the five rows each point's channel comes from.
std::vector<int> rows_of(const torch::Tensor& composed, std::int64_t channel) {
  std::vector<int> out;
  for (std::int64_t n = 0; n < composed.size(0); ++n) {
    const float value = composed[n][channel].item<float>() - static_cast<float>(n);
    out.push_back(static_cast<int>(value / 100));
  }
  return out;
}

TEST(Composer, ReleaseRuleStepByStep) {
  const Composer composer(small_template());
  const torch::Tensor out = composer.compose_official(telling_samples(14));
  // Offsets: hair donor (3) reaches head, nose, chest; face and hand are held; foot: shoes (4), then bottom (2); hip:
  // top (1), then bottom (2); hand: top, although it is held.
  const std::vector<int> offsets = {3, 0, 3, 3, 2, 2, 1, 3, 4, 0, 2, 2, 1, 1};
  const std::vector<int> others = {0, 0, 0, 0, 0, 0, 0, 3, 4, 0, 2, 2, 1, 1};
  for (const std::int64_t c : {1, 2, 3}) EXPECT_EQ(rows_of(out, c), offsets);
  for (const std::int64_t c : {0, 4, 5, 6, 7, 8, 9, 10, 11, 12}) EXPECT_EQ(rows_of(out, c), others);
}

// One body point (the foot) under a shoe, a top and a bottom: shoes first, the top over them, the bottom over both.
TEST(Composer, LaterStepsWinWhereShoesTopAndBottomMeet) {
  const std::size_t foot = 5, shoe = 8, bottom = 11, top = 13;
  templates::LayeredTemplate all = small_template();
  const auto place = [](templates::LayeredTemplate& t, std::size_t point, float x) {
    t.positions[3 * point] = x, t.positions[3 * point + 1] = 0.02F, t.positions[3 * point + 2] = 0;
  };
  place(all, top, 0.02F);
  templates::LayeredTemplate no_bottom = all;
  place(no_bottom, bottom, 0.6F);
  no_bottom.positions[3 * bottom + 1] = 1.3F;  // at the hand
  templates::LayeredTemplate shoes_only = no_bottom;
  shoes_only.positions[3 * top] = 0.6F, shoes_only.positions[3 * top + 1] = 1.3F;
  ASSERT_EQ(all.labels[shoe], 4);
  const auto row = [&](const templates::LayeredTemplate& t) {
    return rows_of(Composer(t).compose_official(telling_samples(14)), 2)[foot];
  };
  EXPECT_EQ(row(all), 2);
  EXPECT_EQ(row(no_bottom), 1);
  EXPECT_EQ(row(shoes_only), 4);
}

TEST(Composer, DefaultRuleTakesOnlyWhatIsGiven) {
  const Composer composer(small_template());
  const torch::Tensor samples = telling_samples(14);
  EXPECT_TRUE(torch::equal(composer.compose_default(samples, {}), samples[0]));
  const std::vector<int> top = {0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1};
  EXPECT_EQ(rows_of(composer.compose_default(samples, {.top = true}), 2), top);
  const std::vector<int> hair = {0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(rows_of(composer.compose_default(samples, {.hair = true}), 1), hair);
  const torch::Tensor all = composer.compose_default(samples, {true, true, true, true});
  EXPECT_EQ(rows_of(all, 3), (std::vector<int>{0, 0, 0, 0, 2, 2, 1, 3, 4, 0, 2, 2, 1, 1}));
  EXPECT_EQ(rows_of(all, 12), (std::vector<int>{0, 0, 0, 0, 0, 0, 0, 3, 4, 0, 2, 2, 1, 1}));
  const torch::Tensor same = samples[0].unsqueeze(0).expand({5, 14, 13}).contiguous();
  EXPECT_TRUE(torch::equal(composer.compose_default(same, {true, true, true, true}), same[0]));
}

TEST(Composer, RefusesSamplesOfAnotherTemplate) {
  const Composer composer(small_template());
  EXPECT_THROW(composer.compose_official(telling_samples(13)), Error);
  EXPECT_THROW(composer.compose_default(telling_samples(14).slice(0, 0, 4), {}), Error);
}

TEST(Composer, RecordedTemplateAgainstTheRuleInLoops) {
  const auto layers = templates::from_arrays(io::read_npz(LAV_GOLDEN_DIR "/avatar/d_template_small.npz"), "template");
  torch::manual_seed(2);
  const torch::Tensor samples = torch::randn({5, layers.count(), 13});
  const torch::Tensor got = Composer(layers).compose_official(samples);

  torch::Tensor want = samples[0].clone();
  const auto hold = layers.offset_mask();
  const auto offset_from = [&](std::int64_t point, int row) {
    for (int c = 1; c < 4; ++c) want[point][c] = samples[row][point][c];
  };
  for (std::int64_t b = 0; b < layers.body_count(); ++b)
    if (const auto i = static_cast<std::size_t>(b); hold[i] == 0 && layers.hands_mask[i] == 0) offset_from(b, 3);
  const std::vector<float> shifted = layers.shifted_positions();
  const torch::Tensor at = torch::tensor(torch::ArrayRef<float>(shifted)).reshape({-1, 3}).to(torch::kFloat64);
  const auto nearest = [&](std::int64_t n) {
    const torch::Tensor d = (at.slice(0, 0, layers.body_count()) - at[n]).square();
    const torch::Tensor length = d.select(1, 0) + d.select(1, 1) + d.select(1, 2);
    return (length == length.min()).nonzero()[0].item<std::int64_t>();  // the lowest index of equally near points
  };
  for (const auto& [label, row] : {std::pair{4, 4}, {2, 1}, {5, 2}})
    for (std::int64_t n = 0; n < layers.count(); ++n)
      if (layers.labels[static_cast<std::size_t>(n)] == label) offset_from(nearest(n), row);
  for (std::int64_t n = 0; n < layers.count(); ++n) {
    constexpr int kRow[] = {0, 0, 1, 3, 4, 2};  // of each label
    const int row = kRow[layers.labels[static_cast<std::size_t>(n)]];
    if (row != 0) want[n] = samples[row][n];
  }
  EXPECT_TRUE(torch::equal(got, want));
}

}  // namespace
}  // namespace layeravatar::avatar
