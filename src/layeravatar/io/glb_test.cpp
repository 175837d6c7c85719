#include "layeravatar/io/glb.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "layeravatar/io/glb_for_test.h"
#include "layeravatar/io/support_test.h"

namespace layeravatar::io {
namespace {

std::string why(const std::string& bytes) {
  return input_error([&] { (void)parse_glb(bytes, "f.glb"); });
}

TEST(Glb, ReadsATexturedTriangleThroughItsNodes) {
  // The parent moves by (0, 1, 0), the child turns by 90 degrees about z and doubles: (x, y) becomes (-2 y, 2 x + 1).
  const GlbMesh mesh = parse_glb(triangle_glb("PICTURE"), "f.glb");
  ASSERT_EQ(mesh.vertices.size(), 3U);
  const std::array<std::array<float, 3>, 3> want = {{{0, 1, 0}, {0, 3, 0}, {-2, 1, 0}}};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(mesh.vertices[i][k], want[i][k], 1e-6) << i << k;
  EXPECT_EQ(mesh.uvs[1], (std::array<float, 2>{1, 1}));  // v = 0 of the file is the top
  EXPECT_EQ(mesh.triangles, (std::vector<std::array<std::int32_t, 3>>{{0, 1, 2}}));
  ASSERT_EQ(mesh.material_list.size(), 2U);
  EXPECT_EQ(mesh.materials, (std::vector<std::int32_t>{0}));
  EXPECT_EQ(mesh.material_list[0].picture, "PICTURE");
  EXPECT_TRUE(mesh.material_list[0].opaque);
}

TEST(Glb, RefusesInOneLine) {
  const std::string good = triangle_glb("PICTURE");
  EXPECT_EQ(why(good.substr(0, good.size() - 9)),
            fmt::format("f.glb: truncated; expected {} bytes, found {}", good.size(), good.size() - 9));
  EXPECT_EQ(why("glTX" + good.substr(4)), "f.glb: not a binary glTF file");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string json(kTriangleJson);
    json.replace(json.find("SIZE"), 4, "7");
    json.replace(json.find(from), from.size(), to);
    return why(glb_of(json, triangle_buffer("PICTURE")));
  };
  EXPECT_EQ(with(R"("children":[1])", R"("children":[0])"), "f.glb: node 0: nodes are not a tree");
  EXPECT_EQ(with(R"("mesh":0)", R"("mesh":7)"), "f.glb: mesh 7 out of range 0..0");
  EXPECT_EQ(with(R"("byteOffset":36)", R"("byteOffset":99999)"), "f.glb: bufferView 1 lies outside the buffer of 75 bytes");
  EXPECT_EQ(with(R"("count":3,"type":"VEC3")", R"("count":4000000000,"type":"VEC3")"),
            "f.glb: accessor 0: 4000000000 elements lie outside its bufferView");
  EXPECT_EQ(with(R"("type":"VEC3")", R"("type":"VEC2")"), "f.glb: accessor 0: expected a VEC3");
  EXPECT_EQ(with(R"("scene":0)", R"("extensionsRequired":["KHR_draco_mesh_compression"])"),
            "f.glb: needs the extension 'KHR_draco_mesh_compression'");
  EXPECT_NE(with(R"("translation":[0,1,0])", R"("translation":["a",1,0])"), "");
  EXPECT_EQ(with(R"("indices":2)", R"("indices":0)"), "f.glb: accessor 0: expected a SCALAR");
}

}  // namespace
}  // namespace layeravatar::io
