#include "layeravatar/data/cc0_template.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/people/package_for_test.h"
#include "layeravatar/templates/charts_for_test.h"

namespace layeravatar::data {
namespace {

class Cc0Template : public ::testing::Test {
 protected:
  static const templates::SurfaceTemplate& built() {
    static const templates::SurfaceTemplate value = cc0_surface_template(people::body_for_test());
    return value;
  }
  static const templates::LayeredTemplate& layers() { return built().layers; }
  // Vertices of some regions of the body.
  static std::vector<bool> members(const std::vector<std::string>& names) {
    const people::Cc0Body& body = people::body_for_test();
    std::vector<bool> out(static_cast<std::size_t>(body.model.vertex_count()), false);
    for (const std::string& name : names)
      for (const std::int32_t v : body.regions.at(name)) out[static_cast<std::size_t>(v)] = true;
    return out;
  }
  static bool touches(const std::vector<bool>& vertices, std::int32_t triangle) {
    bool any = false;
    for (std::size_t k = 0; k < 3; ++k)
      any = any || vertices[static_cast<std::size_t>(
                       people::body_for_test().model.faces[3 * static_cast<std::size_t>(triangle) + k])];
    return any;
  }
  // Distance from a Gaussian of the block that starts at `first` to the nearest other of it, a sample.
  static std::vector<double> spacings(std::int64_t first, std::int64_t count,
                                      const std::function<bool(std::size_t)>& wanted) {
    const auto& p = layers().positions;
    std::vector<double> out;
    for (std::int64_t i = first; i < first + count; i += 5) {
      if (!wanted(static_cast<std::size_t>(i))) continue;
      double best = 1;
      for (std::int64_t j = first; j < first + count; ++j) {
        if (i == j) continue;
        double d = 0;
        for (int k = 0; k < 3; ++k)
          d += std::pow(p[static_cast<std::size_t>(3 * i + k)] - p[static_cast<std::size_t>(3 * j + k)], 2);
        best = std::min(best, d);
      }
      out.push_back(std::sqrt(best));
    }
    std::sort(out.begin(), out.end());
    return out;
  }
};

TEST_F(Cc0Template, HasTheSizeOfTheProfile) {
  const auto& blocks = layers().blocks;
  EXPECT_GE(layers().count(), 25000);
  EXPECT_LE(layers().count(), 40000);
  EXPECT_LE(blocks[0], 24000);
  for (const std::int64_t n : blocks) EXPECT_GT(n, 3000);
  std::map<std::int32_t, int> labels;
  for (const std::int32_t label : layers().labels) ++labels[label];
  EXPECT_EQ(labels.size(), 5U);
  for (const std::int32_t label : {1, 2, 3, 4, 5}) EXPECT_GT(labels[label], 1000) << label;
  EXPECT_NO_THROW(templates::from_arrays(templates::to_arrays(layers()), "memory"));
}

TEST_F(Cc0Template, ChartsFillTheirSquaresWithoutOverlaps) {
  const std::vector<bool> head = members({"head", "face", "scalp", "ears", "eyes", "forehead", "nose"});
  for (std::size_t layer = 0; layer < 3; ++layer) {
    const auto& charts = built().charts[layer];
    const templates::ChartCensus census = templates::take_census(charts.corners, 512);
    EXPECT_EQ(census.overlaps, 0) << layer;
    EXPECT_GT(census.share(), 0.58) << layer;
    if (layer != 0) continue;
    std::int64_t of_head = 0;
    for (const std::int32_t owner : census.owner)
      of_head += owner >= 0 && touches(head, charts.source[static_cast<std::size_t>(owner)]) ? 1 : 0;
    EXPECT_GT(static_cast<double>(of_head) / (512 * 512), 0.25) << "a quarter of the square for the head";
  }
}

TEST_F(Cc0Template, TheHeadIsFinerThanTheRest) {
  const std::vector<bool> eyes = members({"eyes"}), face = members({"face", "ears"}),
                          other = members({"head", "scalp", "neck", "hands"});
  const auto in = [&](const std::vector<bool>& set, std::size_t i) { return touches(set, built().source[i]); };
  const std::int64_t n = layers().blocks[0];
  const auto iris = spacings(0, n, [&](std::size_t i) { return in(eyes, i); });
  const auto fine = spacings(0, n, [&](std::size_t i) { return in(face, i) && !in(eyes, i); });
  const auto coarse = spacings(0, n, [&](std::size_t i) { return !in(face, i) && !in(eyes, i) && !in(other, i); });
  EXPECT_LT(iris[iris.size() / 2], 0.002);
  EXPECT_GT(iris[iris.size() / 2], 0.001);
  EXPECT_LT(fine[fine.size() * 9 / 10], 0.006);
  EXPECT_GT(fine[fine.size() / 20], 0.002);
  EXPECT_GT(coarse[coarse.size() / 2], 0.008);
  EXPECT_LT(coarse[coarse.size() * 9 / 10], 0.014);
}

TEST_F(Cc0Template, FramesAreRotationsAndPointOutwards) {
  const auto& t = layers();
  for (std::size_t i = 0; i < t.labels.size(); ++i) {
    const float* r = &t.frames[9 * i];
    for (std::size_t a = 0; a < 3; ++a)
      for (std::size_t b = 0; b < 3; ++b)
        ASSERT_NEAR(r[a] * r[b] + r[3 + a] * r[3 + b] + r[6 + a] * r[6 + b], a == b ? 1 : 0, 1e-5) << i;
  }
  // Where the body is seen from far in front, normals look there: the foremost point of each label.
  std::map<std::int32_t, std::size_t> foremost;
  for (std::size_t i = 0; i < t.labels.size(); ++i) {
    const auto [it, fresh] = foremost.try_emplace(t.labels[i], i);
    if (!fresh && t.positions[3 * i + 2] > t.positions[3 * it->second + 2]) it->second = i;
  }
  for (const auto& [label, i] : foremost) EXPECT_GT(t.frames[9 * i + 8], 0.3) << label;
}

TEST_F(Cc0Template, MasksAndWeightsAreWhole) {
  const auto& t = layers();
  const auto share = [](const std::vector<std::uint8_t>& mask) {
    return static_cast<double>(std::count(mask.begin(), mask.end(), 1)) / static_cast<double>(mask.size());
  };
  EXPECT_GT(share(t.face_mask), 0.1);
  EXPECT_LT(share(t.face_mask), 0.4);
  EXPECT_GT(share(t.hands_mask), 0.05);
  EXPECT_LT(share(t.hands_mask), 0.25);
  EXPECT_GT(share(t.nose_mask), 0.005);
  EXPECT_GT(share(t.outside_mask), 0);
  for (std::size_t i = 0; i < static_cast<std::size_t>(t.blocks[0]); ++i) {
    double sum = 0;
    for (int j = 0; j < body::kJoints; ++j) sum += t.body_weights[i * body::kJoints + static_cast<std::size_t>(j)];
    ASSERT_NEAR(sum, 1, 1e-3) << i;
    if (t.face_mask[i] != 0) {
      ASSERT_GT(t.positions[3 * i + 1], 0.35F + 0.1F) << "faces are high up";
    }
    if (t.hands_mask[i] != 0) {
      ASSERT_GT(std::abs(t.positions[3 * i]), 0.5F) << "hands are far out in the T-pose";
    }
  }
}

TEST_F(Cc0Template, GarmentsReachWhereTheyShould) {
  const auto& t = layers();
  const auto range = [&](std::int32_t label, std::size_t axis) {
    std::pair<float, float> out{9, -9};
    for (std::size_t i = 0; i < t.labels.size(); ++i)
      if (t.labels[i] == label)
        out = {std::min(out.first, t.positions[3 * i + axis]), std::max(out.second, t.positions[3 * i + axis])};
    return out;
  };
  EXPECT_GT(range(5, 1).second, range(2, 1).first + 0.15F) << "top hangs over bottom";
  EXPECT_GT(range(4, 1).second, range(5, 1).first + 0.05F) << "shafts of shoes reach under trousers";
  EXPECT_GT(range(2, 0).second, 0.5F) << "sleeves to the wrists";
  EXPECT_NEAR(range(2, 0).second, -range(2, 0).first, 0.01);
  EXPECT_NEAR(range(3, 1).second, range(1, 1).second, 0.01) << "hair to the crown";
  EXPECT_LT(range(3, 1).first, range(2, 1).second - 0.2F) << "long hair falls over the shoulders";
  EXPECT_NEAR(range(4, 1).first, range(1, 1).first, 0.01) << "shoes to the soles";
}

}  // namespace
}  // namespace layeravatar::data
