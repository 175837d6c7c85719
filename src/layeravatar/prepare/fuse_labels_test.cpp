#include "layeravatar/prepare/fuse_labels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

#include "layeravatar/geometry/rasterize.h"

namespace layeravatar::prepare {
namespace {

// A ball of 0.6 m in five rings of labels, seen from 12 of the training views.
struct Ball {
  std::vector<std::array<float, 3>> vertices;
  std::vector<std::array<std::int32_t, 3>> triangles;
  std::vector<LabelledView> views;  // the truth
};

Ball make_ball() {
  constexpr int kRows = 60, kColumns = 80;
  Ball out;
  for (int r = 0; r <= kRows; ++r)
    for (int c = 0; c < kColumns; ++c) {
      const double t = std::numbers::pi * r / kRows, p = 2 * std::numbers::pi * c / kColumns;
      out.vertices.push_back({static_cast<float>(0.6 * std::sin(t) * std::sin(p)), static_cast<float>(0.6 * std::cos(t)), static_cast<float>(0.6 * std::sin(t) * std::cos(p))});
    }
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < kColumns; ++c) {
      const int d = (c + 1) % kColumns, a = r * kColumns;
      out.triangles.push_back({a + c, a + kColumns + c, a + kColumns + d});
      out.triangles.push_back({a + c, a + kColumns + d, a + d});
    }
  const auto cameras = geometry::training_cameras(96);
  for (std::size_t v = 0; v < cameras.size(); v += 5) {
    const auto seen = geometry::rasterize(out.vertices, out.triangles, cameras[v].camera);
    std::vector<std::uint8_t> labels;
    for (const auto t : seen.triangle) labels.push_back(t < 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(1 + t / (2 * kColumns) * 5 / kRows));
    out.views.push_back({cameras[v].camera, std::move(labels)});
  }
  return out;
}

double mean_iou(const std::vector<LabelledView>& truth, const std::vector<std::vector<std::uint8_t>>& found) {
  std::array<double, 6> both{}, any{};
  for (std::size_t v = 0; v < truth.size(); ++v)
    for (std::size_t p = 0; p < found[v].size(); ++p) {
      const auto a = truth[v].labels[p], b = found[v][p];
      if (a == b) ++both[a], ++any[a];
      else ++any[a], ++any[b];
    }
  double out = 0;
  for (std::size_t l = 1; l < 6; ++l) out += both[l] / any[l] / 5;
  return out;
}

TEST(FuseLabels, RaisesTheOverlapOfNoisyLabels) {
  const Ball ball = make_ball();
  std::vector<LabelledView> noisy = ball.views;
  std::mt19937 random(7);
  for (auto& view : noisy)  // square blots of one random label on about a quarter of the pixels
    for (int blot = 0; blot < 70; ++blot) {
      const int x = static_cast<int>(random() % 90U), y = static_cast<int>(random() % 90U);
      const auto label = static_cast<std::uint8_t>(1 + random() % 5U);
      for (int j = 0; j < 6; ++j)
        for (int i = 0; i < 6; ++i)
          if (auto& here = view.labels[static_cast<std::size_t>((y + j) * 96 + x + i)]; here > 0) here = label;
    }
  std::vector<std::vector<std::uint8_t>> before;
  for (const auto& view : noisy) before.push_back(view.labels);
  const auto after = fuse_labels(ball.vertices, ball.triangles, noisy);
  const double was = mean_iou(ball.views, before), is = mean_iou(ball.views, after);
  EXPECT_LT(was, 0.6);
  EXPECT_GT(is, 0.8);  // 0.58 to 0.86 when this was written
}

TEST(FuseLabels, KeepsCleanLabelsAndFillsWhatOneViewLacks) {
  const Ball ball = make_ball();
  std::vector<LabelledView> lacking = ball.views;
  lacking[0].labels.assign(lacking[0].labels.size(), 0);
  FuseOptions plain;
  plain.smoothing = 0;
  EXPECT_GT(mean_iou(ball.views, fuse_labels(ball.vertices, ball.triangles, lacking, plain)), 0.93);
  plain.keep = 1;
  EXPECT_EQ(fuse_labels(ball.vertices, ball.triangles, ball.views, plain)[3], ball.views[3].labels);
}

TEST(FuseLabels, NoVotesNoLabels) {
  Ball ball = make_ball();
  for (auto& view : ball.views) view.labels.assign(view.labels.size(), 0);
  for (const auto& labels : fuse_labels(ball.vertices, ball.triangles, ball.views))
    for (const auto label : labels) ASSERT_EQ(label, 0);
}

}  // namespace
}  // namespace layeravatar::prepare
