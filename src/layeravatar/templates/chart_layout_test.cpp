#include "layeravatar/templates/chart_layout.h"

#include <gtest/gtest.h>

#include <random>

#include "layeravatar/core/error.h"
#include "layeravatar/templates/charts_for_test.h"
#include "layeravatar/templates/uv_packer.h"

namespace layeravatar::templates {
namespace {

using Vec2 = std::array<double, 2>;

// A fan of triangles about the origin with a rough outline.
Chart rough_chart(std::mt19937& random, double size) {
  std::uniform_real_distribution<double> radius(0.4 * size, size);
  std::vector<Vec2> rim;
  for (int i = 0; i < 12; ++i) {
    const double angle = i * 3.14159265358979 / 6, r = radius(random);
    rim.push_back({7 + r * std::cos(angle), -3 + 2 * r * std::sin(angle)});
  }
  Chart chart;
  for (std::size_t i = 0; i < rim.size(); ++i)
    chart.triangles.push_back({Vec2{7, -3}, rim[i], rim[(i + 1) % rim.size()]});
  return chart;
}

double distance(const Vec2& p, const Vec2& a, const Vec2& b) {
  const Vec2 d{b[0] - a[0], b[1] - a[1]};
  const double t = std::clamp(((p[0] - a[0]) * d[0] + (p[1] - a[1]) * d[1]) / (d[0] * d[0] + d[1] * d[1]), 0.0, 1.0);
  return std::hypot(a[0] + t * d[0] - p[0], a[1] + t * d[1] - p[1]);
}

TEST(PackCharts, KeepsChartsApartAndInside) {
  constexpr double kMargin = 1.0 / 64;
  for (const unsigned seed : {1U, 2U, 3U}) {
    std::mt19937 random(seed);
    std::vector<Chart> charts;
    for (const double size : {5.0, 4.0, 1.0, 1.0, 2.0, 0.1, 0.7}) charts.push_back(rough_chart(random, size));
    pack_charts(charts, kMargin);
    std::vector<Vec2> corners;
    for (Chart& chart : charts) {
      EXPECT_EQ(chart.scale, charts[0].scale) << "one scale for all";
      for (auto& t : chart.triangles)
        for (Vec2& p : t) {
          corners.push_back(p = chart.place(p));
          for (const double x : p) {
            EXPECT_GE(x, kMargin / 2);
            EXPECT_LE(x, 1 - kMargin / 2);
          }
        }
    }
    const ChartCensus census = take_census(corners, 512);
    EXPECT_EQ(census.overlaps, 0);
    EXPECT_GT(census.share(), 0.4);
    double nearest = 1;
    for (std::size_t i = 0; i < charts.size(); ++i)
      for (std::size_t j = 0; j < charts.size(); ++j)
        for (const auto& s : charts[i].triangles)
          for (const auto& t : charts[j].triangles)
            if (i != j) nearest = std::min(nearest, distance(s[1], t[1], t[2]));
    EXPECT_GE(nearest, kMargin) << seed;
    EXPECT_LT(nearest, 3 * kMargin) << "something limits the scale";
  }
}

TEST(PackCharts, FillsTheSquareWithOneSquare) {
  Chart chart;
  chart.triangles = {{Vec2{10, 10}, Vec2{12, 10}, Vec2{12, 12}}, {Vec2{10, 10}, Vec2{12, 12}, Vec2{10, 12}}};
  std::vector<Chart> charts{chart};
  pack_charts(charts, 1.0 / 64);
  EXPECT_NEAR(charts[0].scale, 0.5 * (1 - 1.0 / 64), 0.01);
}

TEST(PackCharts, TurnsAQuarterNotMirrored) {
  Chart chart;
  chart.turned = true;
  chart.scale = 2;
  chart.offset = {0.5, 0.25};
  EXPECT_EQ(chart.place({0.125, 0.0625}), (Vec2{0.375, 0.5}));
}

// A flat sheet of 1 m x 1 m whose atlas squeezes x < 0.5 to a third of the rest, and v by two.
struct Sheet {
  std::vector<Vec2> corners;
  std::vector<ChartFace> faces;

  explicit Sheet(double importance_on_the_right) {
    constexpr int kSide = 40;
    for (int y = 0; y <= kSide; ++y)
      for (int x = 0; x <= kSide; ++x) {
        const double s = static_cast<double>(x) / kSide, t = static_cast<double>(y) / kSide;
        corners.push_back({s < 0.5 ? s / 3 : s - 1.0 / 3, 2 * t});
      }
    for (int y = 0; y < kSide; ++y)
      for (int x = 0; x < kSide; ++x) {
        const int a = y * (kSide + 1) + x, b = a + 1, c = a + kSide + 2, d = a + kSide + 1;
        for (const std::array<std::int32_t, 3>& ids : {std::array<std::int32_t, 3>{a, b, c}, {a, c, d}}) {
          ChartFace face{ids, {}, x < kSide / 2 ? 1.0 : importance_on_the_right};
          for (std::size_t k = 0; k < 3; ++k)
            face.points[k] = {static_cast<float>(ids[k] % (kSide + 1)) / kSide,
                              static_cast<float>(ids[k] / (kSide + 1)) / kSide, 0};
          faces.push_back(face);
        }
      }
  }
  // Texture lengths of a face's horizontal and vertical edge per metre.
  [[nodiscard]] Vec2 scales(std::size_t f) const {
    const auto at = [&](std::size_t k) { return corners[static_cast<std::size_t>(faces[f].corners[k])]; };
    const Vec2 a = at(0), b = at(1), c = at(2);  // an even face: b right of a, c above b
    return {std::hypot(b[0] - a[0], b[1] - a[1]) * 40, std::hypot(c[0] - b[0], c[1] - b[1]) * 40};
  }
};

TEST(LayOutCharts, EvensOutASqueezedAtlas) {
  Sheet sheet(1);
  const auto island = lay_out_charts(sheet.corners, sheet.faces, 1.0 / 64);
  EXPECT_EQ(std::count(island.begin(), island.end(), 0), static_cast<std::int64_t>(sheet.faces.size()));
  for (const int column : {3, 12, 28, 36})
    for (const int row : {2, 20, 37}) {
      const Vec2 scale = sheet.scales(static_cast<std::size_t>(2 * (row * 40 + column)));
      EXPECT_NEAR(scale[0], 0.98, 0.05) << column;
      EXPECT_NEAR(scale[1], 0.98, 0.05) << row;
    }
}

TEST(LayOutCharts, GivesImportantFacesMoreTexels) {
  Sheet sheet(2);
  lay_out_charts(sheet.corners, sheet.faces, 1.0 / 64);
  const double left = sheet.scales(2 * (20 * 40 + 8))[0], right = sheet.scales(2 * (20 * 40 + 32))[0];
  EXPECT_NEAR(right / left, 2, 0.1);
}

TEST(LayOutCharts, SeparatesIslandsAndKeepsOrientation) {
  Sheet sheet(1);
  const std::size_t corners = sheet.corners.size(), faces = sheet.faces.size();
  for (std::size_t i = 0; i < corners; ++i) sheet.corners.push_back({sheet.corners[i][0] / 2, sheet.corners[i][1]});
  for (std::size_t f = 0; f < faces; ++f) {
    sheet.faces.push_back(sheet.faces[f]);
    for (std::int32_t& id : sheet.faces.back().corners) id += static_cast<std::int32_t>(corners);
  }
  const auto island = lay_out_charts(sheet.corners, sheet.faces, 1.0 / 64);
  EXPECT_EQ(island[0], 0);
  EXPECT_EQ(island[faces], 1);
  std::vector<Vec2> flat;
  for (const ChartFace& face : sheet.faces) {
    std::array<Vec2, 3> q;
    for (std::size_t k = 0; k < 3; ++k) flat.push_back(q[k] = sheet.corners[static_cast<std::size_t>(face.corners[k])]);
    EXPECT_GT((q[1][0] - q[0][0]) * (q[2][1] - q[0][1]) - (q[1][1] - q[0][1]) * (q[2][0] - q[0][0]), 0);
  }
  EXPECT_EQ(take_census(flat, 512).overlaps, 0);
}

}  // namespace
}  // namespace layeravatar::templates
