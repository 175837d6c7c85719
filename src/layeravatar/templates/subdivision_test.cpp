#include "layeravatar/templates/subdivision.h"

#include <gtest/gtest.h>

#include "layeravatar/core/error.h"
#include "layeravatar/templates/official_for_test.h"

namespace layeravatar::templates {
namespace {

using Ends = std::vector<std::array<std::int32_t, 2>>;

TEST(Subdivision, OfOneTriangle) {
  const std::vector<float> points{0, 0, 0, 2, 0, 0, 0, 4, 0};
  const Subdivision s = subdivide(points, 3, std::vector<Triangle>{{0, 1, 2}});
  EXPECT_EQ(s.faces, (std::vector<Triangle>{{0, 3, 5}, {3, 1, 4}, {5, 4, 2}, {3, 4, 5}}));
  EXPECT_EQ(s.ends, (Ends{{0, 1}, {1, 2}, {2, 0}}));
  EXPECT_EQ(with_midpoints(points, 3, s), (std::vector<float>{0, 0, 0, 2, 0, 0, 0, 4, 0, 1, 0, 0, 1, 2, 0, 0, 2, 0}));
}

TEST(Subdivision, ASharedEdgeHasOneMidpoint) {
  // Edge (1, 2) of the first face is edge (2, 0) of the second: the first block in which it comes counts.
  const std::vector<float> square{0, 0, 1, 0, 1, 1, 0, 1};
  const Subdivision s = subdivide(square, 2, std::vector<Triangle>{{0, 1, 2}, {0, 2, 3}});
  EXPECT_EQ(s.ends, (Ends{{0, 1}, {0, 2}, {1, 2}, {2, 3}, {3, 0}}));
  EXPECT_EQ(s.faces[0], (Triangle{0, 4, 5}));
  EXPECT_EQ(s.faces[4], (Triangle{0, 5, 8}));
}

TEST(Subdivision, MidpointsMergeByPositionAndOldVerticesDoNot) {
  // The second triangle lies on the first with vertices of its own; a third one is 1e-9 away, a fourth 1e-7.
  std::vector<float> points;
  for (const float shift : {0.0F, 0.0F, 1e-9F, 1e-7F})
    for (const float x : {shift, 0.0F, 0.5F, shift, 0.0F, 0.0F, 0.5F + shift, 0.0F, 0.25F}) points.push_back(x);
  const Subdivision s = subdivide(points, 3, std::vector<Triangle>{{0, 1, 2}, {3, 4, 5}, {6, 7, 8}, {9, 10, 11}});
  EXPECT_EQ(s.ends.size(), 6U);
  EXPECT_EQ(s.ends[0], (std::array<std::int32_t, 2>{0, 1}));
  EXPECT_EQ(s.faces[4], (Triangle{3, s.faces[0][1], s.faces[0][2]}));
  EXPECT_EQ(s.faces[8], (Triangle{6, s.faces[0][1], s.faces[0][2]}));
}

TEST(Subdivision, OfNothing) {
  const Subdivision s = subdivide(std::vector<float>{1, 2, 3}, 3, std::vector<Triangle>{});
  EXPECT_TRUE(s.faces.empty());
  EXPECT_EQ(with_midpoints(std::vector<float>{7}, 1, s), std::vector<float>{7});
}

TEST(Subdivision, AFaceWithAnUnknownPointIsOurFault) {
  EXPECT_THROW(subdivide(std::vector<float>{1, 2, 3}, 3, std::vector<Triangle>{{0, 0, 1}}), Error);
  EXPECT_THROW(subdivide(std::vector<float>{1, 2, 3}, 3, std::vector<Triangle>{{0, -1, 0}}), Error);
}

TEST(Subdivision, CornersAreTheRecordedOnes) {
  const io::ArrayMap stage = io::read_npz(LAV_GOLDEN_DIR "/templates/stage1.npz");
  const auto compare = [&](const io::ObjMesh& mesh, const std::string& name) {
    const auto one = [&](const auto& rows, std::size_t width, const std::vector<Triangle>& faces, const std::string& v,
                         const std::string& f, double tolerance) {
      std::vector<float> points;
      for (const auto& row : rows) points.insert(points.end(), row.begin(), row.end());
      const Subdivision s = subdivide(points, width, faces);
      const auto dense = with_midpoints(points, width, s), want = io::to_floats(stage.at(v));
      const auto ids = stage.at(f).at<std::int32_t>();
      EXPECT_EQ(dense.size(), want.size()) << v;  // as many vertices were merged
      ASSERT_EQ(3 * s.faces.size(), ids.size()) << f;
      for (std::size_t i = 0; i < ids.size(); ++i)
        for (std::size_t k = 0; k < width; ++k)
          ASSERT_NEAR(dense[static_cast<std::size_t>(s.faces[i / 3][i % 3]) * width + k],
                      want[static_cast<std::size_t>(ids[i]) * width + k], tolerance)
              << v << " " << i;
    };
    one(mesh.vertices, 3, mesh.triangles, "dense_" + name + ".v", "dense_" + name + ".f", 0);
    one(mesh.uvs, 2, mesh.uv_triangles, "dense_" + name + ".vt", "dense_" + name + ".ft", 1e-7);
  };
  compare(small_sources().hair_shoes, "hair_shoes");
  compare(small_sources().bottom_top, "up_and_low");
}

}  // namespace
}  // namespace layeravatar::templates
