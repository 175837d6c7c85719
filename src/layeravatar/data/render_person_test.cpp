#include "layeravatar/data/render_person.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "layeravatar/core/error.h"
#include "layeravatar/geometry/rasterize.h"

namespace layeravatar::data {
namespace {

using people::Label;

// World and camera frame coincide: x right, y down, z forward. At z = 2 a pixel is 0.02 m wide.
geometry::Camera plain_camera(int size) { return {{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, 100, size, size}; }
float metres(double pixel, int size, double z = 2) { return static_cast<float>((pixel - (size - 1) / 2.0) * z / 100); }

io::Image plain_texture(std::vector<std::uint8_t> colour) {
  const int channels = static_cast<int>(colour.size());
  return {1, 1, channels, std::move(colour)};
}

// A rectangle between pixel coordinates; texture upright: v = 1 at the top.
void add_quad(people::TexturedMesh& mesh, int size, std::array<double, 4> box, float z, Label label,
              io::Image texture) {
  const auto v = static_cast<std::int32_t>(mesh.vertices.size()), t = static_cast<std::int32_t>(mesh.uvs.size());
  const float x0 = metres(box[0], size, z), y0 = metres(box[1], size, z), x1 = metres(box[2], size, z),
              y1 = metres(box[3], size, z);
  mesh.vertices.insert(mesh.vertices.end(), {{x0, y0, z}, {x1, y0, z}, {x1, y1, z}, {x0, y1, z}});
  mesh.shade.insert(mesh.shade.end(), 4, 1.0F);
  mesh.uvs.insert(mesh.uvs.end(), {{0, 1}, {1, 1}, {1, 0}, {0, 0}});
  const auto material = static_cast<std::int32_t>(mesh.material_list.size());
  mesh.material_list.push_back({"quad", std::move(texture)});
  for (const std::array<std::int32_t, 3> c : {std::array{0, 1, 2}, std::array{0, 2, 3}}) {
    mesh.triangles.push_back({v + c[0], v + c[1], v + c[2]});
    mesh.uv_triangles.push_back({t + c[0], t + c[1], t + c[2]});
    mesh.labels.push_back(label);
    mesh.materials.push_back(material);
  }
}

std::array<int, 4> rgba(const RenderedView& view, int x, int y) {
  const auto* p = view.colour.pixels.data() + 4 * (y * view.colour.width + x);
  return {p[0], p[1], p[2], p[3]};
}
int label_at(const RenderedView& view, int x, int y) {
  return view.labels[static_cast<std::size_t>(y * view.colour.width + x)];
}

TEST(RenderPerson, ShowsTexelsUprightOnWhite) {
  io::Image texture{4, 4, 3, {}};
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 4; ++x)
      for (const int c : {10 + 50 * x, 20 + 50 * y, 5}) texture.pixels.push_back(static_cast<std::uint8_t>(c));
  people::TexturedMesh mesh;
  add_quad(mesh, 8, {1.5, 2.5, 5.5, 6.5}, 2, Label::kTop, texture);  // pixels 2..5, 3..6: one texel each
  const RenderedView view = render_view(mesh, plain_camera(8), 1);
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x) {
      const bool inside = x >= 2 && x <= 5 && y >= 3 && y <= 6;
      const std::array<int, 4> want =
          inside ? std::array{10 + 50 * (x - 2), 20 + 50 * (y - 3), 5, 255} : std::array{255, 255, 255, 0};
      EXPECT_EQ(rgba(view, x, y), want) << x << ',' << y;
      EXPECT_EQ(label_at(view, x, y), inside ? 2 : 0) << x << ',' << y;
    }
}

TEST(RenderPerson, BlendsEdgesWithWhiteAndTruncates) {
  people::TexturedMesh mesh;
  add_quad(mesh, 8, {2, 2, 5.5, 5.5}, 2, Label::kShoes, plain_texture({100, 100, 100}));
  const RenderedView view = render_view(mesh, plain_camera(8), 2);
  EXPECT_EQ(rgba(view, 4, 4), (std::array{100, 100, 100, 255}));
  EXPECT_EQ(rgba(view, 2, 4),
            (std::array{177, 177, 177, 127}));  // two of four samples: (2 * 255 + 2 * 100) / 4 = 177.5
  EXPECT_EQ(label_at(view, 2, 4), 4);
  EXPECT_EQ(rgba(view, 2, 2), (std::array{216, 216, 216, 63}));  // one of four: (3 * 255 + 100) / 4 = 216.25
  EXPECT_EQ(label_at(view, 2, 2), 0);
}

TEST(RenderPerson, ShowsTheNearerSurfaceFromBothSidesAndTheLabelOfMostSamples) {
  for (const bool near_first : {true, false}) {
    people::TexturedMesh mesh;
    const auto near = [&] { add_quad(mesh, 8, {1.75, -1, 9, 9}, 1.5F, Label::kHair, plain_texture({1, 2, 3})); };
    const auto far = [&] {
      add_quad(mesh, 8, {-1, 9, 9, -1}, 2, Label::kBody, plain_texture({200, 201, 202}));
    };  // seen from behind
    if (near_first) near();
    far();
    if (!near_first) near();
    const RenderedView view = render_view(mesh, plain_camera(8), 4);
    EXPECT_EQ(rgba(view, 5, 5), (std::array{1, 2, 3, 255}));
    EXPECT_EQ(label_at(view, 5, 5), 3);
    EXPECT_EQ(rgba(view, 0, 5), (std::array{200, 201, 202, 255}));
    EXPECT_EQ(label_at(view, 0, 5), 1);
    EXPECT_EQ(label_at(view, 2, 5), 3);  // samples at 1.625 far, at 1.875, 2.125, 2.375 near
    EXPECT_EQ(rgba(view, 2, 5)[0], 50);  // (200 + 3 * 1) / 4 = 50.75
  }
}

TEST(RenderPerson, CutsTransparentTexelsAwayWithoutFringe) {
  io::Image texture{8, 8, 4, {}};
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x)  // opaque red, then transparent green
      for (const int c : {x < 4 ? 255 : 0, x < 4 ? 0 : 255, 0, x < 4 ? 255 : 0})
        texture.pixels.push_back(static_cast<std::uint8_t>(c));
  people::TexturedMesh mesh;
  add_quad(mesh, 16, {-0.5, -0.5, 15.5, 15.5}, 1.5F, Label::kHair, texture);
  add_quad(mesh, 16, {-0.5, -0.5, 15.5, 15.5}, 2, Label::kBody, plain_texture({0, 0, 255}));
  const RenderedView view = render_view(mesh, plain_camera(16), 1);
  for (int x = 0; x < 16; ++x) {
    // Alpha falls from 255 at texel 3.5 (x = 6.5) to 0 at 4.5 (x = 8.5): at x = 7 it is 191, at x = 8 it is 64 < 115.
    EXPECT_EQ(rgba(view, x, 8), (x <= 7 ? std::array{255, 0, 0, 255} : std::array{0, 0, 255, 255})) << x;
    EXPECT_EQ(label_at(view, x, 8), x <= 7 ? 3 : 1) << x;
  }
}

TEST(RenderPerson, InterpolatesInSpaceNotOnThePicture) {
  people::TexturedMesh mesh;
  add_quad(mesh, 9, {0, 0, 8, 8}, 1, Label::kBody, plain_texture({200, 100, 0}));
  for (const std::size_t right : {1U, 2U}) {
    for (std::size_t k = 0; k < 3; ++k) mesh.vertices[right][k] *= 3;  // z = 3 on the right, at the same pixels
  }
  mesh.shade = {0, 1, 1, 0};
  // Half way, 1/z = (1 + 1/3) / 2 and s/z = (0 + 1/3) / 2, so s = 1/4.
  EXPECT_EQ(rgba(render_view(mesh, plain_camera(9), 1), 4, 4), (std::array{50, 25, 0, 255}));
}

// A fan whose spokes run through sample positions, to within rounding: each lies in one triangle or the other.
TEST(RenderPerson, LeavesNoGapsBetweenTriangles) {
  constexpr int kSize = 96;
  constexpr double kCentreX = 47.83, kCentreY = 48.31, kReach = 45;
  std::vector<double> angles;
  for (int y = 20; y < 76; ++y)
    for (int x = 20; x < 76; ++x) angles.push_back(std::atan2(y - kCentreY, x - kCentreX));
  std::sort(angles.begin(), angles.end());
  people::TexturedMesh mesh;
  mesh.material_list.push_back({"grey", plain_texture({9, 9, 9})});
  mesh.uvs = {{0, 0}};
  mesh.vertices.push_back({metres(kCentreX, kSize), metres(kCentreY, kSize), 2});
  const auto count = static_cast<std::int32_t>(angles.size());
  for (std::int32_t i = 0; i < count; ++i) {
    const double angle = angles[static_cast<std::size_t>(i)];
    mesh.vertices.push_back(
        {metres(kCentreX + kReach * std::cos(angle), kSize), metres(kCentreY + kReach * std::sin(angle), kSize), 2});
    mesh.triangles.push_back({0, i + 1, (i + 1) % count + 1});  // a spoke is walked outwards, then inwards
  }
  mesh.uv_triangles.assign(mesh.triangles.size(), {0, 0, 0});
  mesh.labels.assign(mesh.triangles.size(), Label::kBody);
  mesh.materials.assign(mesh.triangles.size(), 0);
  mesh.shade.assign(mesh.vertices.size(), 1);
  const RenderedView view = render_view(mesh, plain_camera(kSize), 1);
  int gaps = 0;
  for (int y = 20; y < 76; ++y)
    for (int x = 20; x < 76; ++x) gaps += rgba(view, x, y)[3] != 255;
  EXPECT_EQ(gaps, 0);
}

TEST(RenderPerson, SeesWhatTheExactRasteriserSees) {
  constexpr int kSize = 128;
  std::mt19937 random(11);
  std::uniform_real_distribution<float> place(-0.8F, 0.8F), depth(1, 4);
  people::TexturedMesh mesh;
  mesh.uvs = {{0, 0}};
  mesh.material_list.push_back({"grey", plain_texture({9, 9, 9})});
  for (std::int32_t t = 0; t < 60; ++t) {
    for (int k = 0; k < 3; ++k)
      mesh.vertices.push_back({place(random), place(random), depth(random)}), mesh.shade.push_back(1);
    mesh.triangles.push_back({3 * t, 3 * t + 1, 3 * t + 2});
    mesh.uv_triangles.push_back({0, 0, 0});
    mesh.labels.push_back(static_cast<Label>(1 + t % 5));
    mesh.materials.push_back(0);
  }
  const auto camera = plain_camera(kSize);
  const RenderedView view = render_view(mesh, camera, 1);
  const auto exact = geometry::rasterize(mesh.vertices, mesh.triangles, camera);
  int differences = 0, hits = 0;
  for (std::size_t i = 0; i < exact.triangle.size(); ++i) {
    const int want =
        exact.triangle[i] < 0 ? 0 : static_cast<int>(mesh.labels[static_cast<std::size_t>(exact.triangle[i])]);
    hits += want > 0;
    differences += want != view.labels[i];
  }
  EXPECT_GT(hits, kSize * kSize / 3);
  EXPECT_LE(differences, 2);  // a sample on an edge to within float rounding
}

TEST(RenderPerson, RefusesAMeshThatDoesNotFit) {
  people::TexturedMesh mesh;
  add_quad(mesh, 8, {0, 0, 4, 4}, 2, Label::kBody, plain_texture({1, 1, 1}));
  auto broken = mesh;
  broken.triangles[0][1] = 4;
  EXPECT_THROW(PersonRenderer{broken}, Error);
  broken = mesh;
  broken.materials[1] = 1;
  EXPECT_THROW(PersonRenderer{broken}, Error);
  EXPECT_THROW(render_view(mesh, plain_camera(8), 0), Error);
}

TEST(TexturePyramid, AveragesByAlpha) {
  // One opaque red texel, three transparent green ones: every level and place is red, only alpha tells.
  const scan::TexturePyramid pyramid({2, 2, 4, {255, 0, 0, 255, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0}});
  for (const float level : {0.0F, 0.5F, 1.0F, 9.0F})
    EXPECT_EQ(pyramid.colour(0.9F, 0.1F, level), (std::array<float, 3>{255, 0, 0})) << level;
  EXPECT_FLOAT_EQ(pyramid.alpha(0, 1), 255);
  EXPECT_FLOAT_EQ(pyramid.alpha(0.5F, 0.5F), 255 / 4.0F);
}

TEST(TexturePyramid, HalvesOddSizesAndMixesLevels) {
  const scan::TexturePyramid pyramid({3, 1, 1, {0, 60, 240}});  // next level: one texel, 100
  EXPECT_FLOAT_EQ(pyramid.colour(0.5F, 0.5F, 1)[1], 100);
  EXPECT_FLOAT_EQ(pyramid.colour(0.5F, 0.5F, 0.25F)[2], 0.75F * 60 + 0.25F * 100);
  EXPECT_FLOAT_EQ(pyramid.colour(1.0F / 3, 0.5F, 0)[0], 30);  // between two texels
}

}  // namespace
}  // namespace layeravatar::data
