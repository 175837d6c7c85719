#include "layeravatar/prepare/fuse_labels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "layeravatar/geometry/rasterize.h"

namespace layeravatar::prepare {
namespace {

// A ball of 0.6 m in five rings of labels, seen from the training views.
struct Ball {
  Surface surface;
  std::vector<LabelledView> views;  // the truth
};

Ball make_ball() {
  constexpr int kRows = 60, kColumns = 80;
  Ball out;
  for (int r = 0; r <= kRows; ++r)
    for (int c = 0; c < kColumns; ++c) {
      const double t = std::numbers::pi * r / kRows, p = 2 * std::numbers::pi * c / kColumns;
      out.surface.vertices.push_back({static_cast<float>(0.6 * std::sin(t) * std::sin(p)), static_cast<float>(0.6 * std::cos(t)), static_cast<float>(0.6 * std::sin(t) * std::cos(p))});
    }
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < kColumns; ++c) {
      const int d = (c + 1) % kColumns, a = r * kColumns;
      out.surface.triangles.push_back({a + c, a + kColumns + c, a + kColumns + d});
      out.surface.triangles.push_back({a + c, a + kColumns + d, a + d});
    }
  const auto cameras = geometry::training_cameras(96);
  for (std::size_t v = 0; v < cameras.size(); ++v) {
    const auto seen = geometry::rasterize(out.surface.vertices, out.surface.triangles, cameras[v].camera);
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

// Square blots of one random label.
std::vector<LabelledView> corrupted(std::vector<LabelledView> views, int blots) {
  std::mt19937 random(7);
  for (auto& view : views)
    for (int blot = 0; blot < blots; ++blot) {
      const int x = static_cast<int>(random() % 90U), y = static_cast<int>(random() % 90U);
      const auto label = static_cast<std::uint8_t>(1 + random() % 5U);
      for (int j = 0; j < 6; ++j)
        for (int i = 0; i < 6; ++i)
          if (auto& here = view.labels[static_cast<std::size_t>((y + j) * 96 + x + i)]; here > 0) here = label;
    }
  return views;
}

double overlap_before(const std::vector<LabelledView>& truth, const std::vector<LabelledView>& noisy) {
  std::vector<std::vector<std::uint8_t>> labels;
  for (const auto& view : noisy) labels.push_back(view.labels);
  return mean_iou(truth, labels);
}

// What is left of the errors depends on how many views see each place: 0.59 becomes 0.98 by the votes of 54 views, and 0.89 by those
// of 11, of which no more than two or three see a place well.
TEST(FuseLabels, RaisesTheOverlapOfNoisyLabels) {
  Ball ball = make_ball();
  const auto noisy = corrupted(ball.views, 70);
  EXPECT_LT(overlap_before(ball.views, noisy), 0.6);
  EXPECT_GT(mean_iou(ball.views, fuse_labels(ball.surface, noisy)), 0.975);
  std::vector<LabelledView> few, few_noisy;
  for (std::size_t v = 0; v < noisy.size(); v += 5) few.push_back(ball.views[v]), few_noisy.push_back(noisy[v]);
  EXPECT_GT(mean_iou(few, fuse_labels(ball.surface, few_noisy)), 0.87);
}

TEST(FuseLabels, VotesPassThroughHoles) {
  // Two squares, the nearer one in stripes: what is seen between them belongs to the farther one.
  Surface surface;
  for (const float z : {0.2F, 0.0F})
    for (const auto& [x, y] : {std::pair{-0.5F, -0.5F}, {0.5F, -0.5F}, {0.5F, 0.5F}, {-0.5F, 0.5F}}) surface.vertices.push_back({x, y, z});
  surface.triangles = {{0, 1, 2}, {0, 2, 3}, {4, 5, 6}, {4, 6, 7}};
  surface.hole = [&](std::size_t t, const std::array<float, 3>& b) {
    float x = 1;
    for (std::size_t k = 0; k < 3; ++k) x += b[k] * surface.vertices[static_cast<std::size_t>(surface.triangles[t][k])][0];
    return t < 2 && static_cast<int>(8 * x) % 2 == 1;
  };
  LabelledView view{geometry::training_cameras(64)[1].camera, {}};
  for (const auto t : geometry::rasterize(surface.vertices, surface.triangles, view.camera, surface.hole).triangle)
    view.labels.push_back(t < 0 ? 0 : t < 2 ? 2 : 3);
  EXPECT_EQ(fuse_labels(surface, std::vector{view})[0], view.labels);
  EXPECT_GT(std::count(view.labels.begin(), view.labels.end(), 3), 300);
}

TEST(FuseLabels, KeepsCleanLabelsAndFillsWhatOneViewLacks) {
  const Ball ball = make_ball();
  std::vector<LabelledView> lacking = ball.views;
  lacking[0].labels.assign(lacking[0].labels.size(), 0);
  FuseOptions plain;
  plain.smoothing = 0;
  EXPECT_GT(mean_iou(ball.views, fuse_labels(ball.surface, lacking, plain)), 0.93);
  plain.keep = 1;
  EXPECT_EQ(fuse_labels(ball.surface, ball.views, plain)[3], ball.views[3].labels);
}

TEST(FuseLabels, NoVotesNoLabels) {
  Ball ball = make_ball();
  for (auto& view : ball.views) view.labels.assign(view.labels.size(), 0);
  for (const auto& labels : fuse_labels(ball.surface, ball.views))
    for (const auto label : labels) ASSERT_EQ(label, 0);
}

}  // namespace
}  // namespace layeravatar::prepare
