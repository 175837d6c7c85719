#include "layeravatar/io/obj.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"

namespace layeravatar::io {
namespace {

std::string obj_message(const std::string& text, const ObjOptions& options = {}) {
  try {
    (void)parse_obj(text, "m.obj", options);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    return e.what();
  }
  return "no error";
}

constexpr const char* kCorners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\nvt 1 0\nvt 0 1\n";

TEST(Obj, CutsPolygonsIntoFansWhenAsked) {
  const ObjMesh mesh = parse_obj(std::string(kCorners) + "o one\nf 1/1 2/2 3/3 4/1\nf 1/1 2/2 3/3\n", "m.obj", {.polygons = true});
  EXPECT_EQ(mesh.triangles, (std::vector<std::array<std::int32_t, 3>>{{0, 1, 2}, {0, 2, 3}, {0, 1, 2}}));
  EXPECT_EQ(mesh.uv_triangles, (std::vector<std::array<std::int32_t, 3>>{{0, 1, 2}, {0, 2, 0}, {0, 1, 2}}));
  EXPECT_EQ(mesh.materials.size(), 3U);
  EXPECT_EQ(mesh.objects[0].triangle_count, 3);
  EXPECT_EQ(obj_message(std::string(kCorners) + "f 1/1 2/2 3/3 4\n", {.polygons = true}),
            "m.obj: line 8: face without texture coordinates");
  EXPECT_EQ(obj_message(std::string(kCorners) + "f 1/1 2/2\n", {.polygons = true}), "m.obj: line 8: face has 2 corners; expected 3");
}

TEST(Obj, ReadsTheDialect) {
  const ObjMesh mesh = parse_obj(
      "# comment\r\nmtllib gone.mtl\no low\nv 0 0.5 -1e-2 1 0 0\nv 1 0 0\nv 0 1 0 # end\nvt 0 0 0\nvt 1 0.25\n"
      "vn 0 0 1\n\ns off\nusemtl x\nf 1/1/1 2/2/1 3/1/1\no the up\nv 5 5 5\nvt 0.5 0.5\nf -1/-1 2/2 1/-3\n",
      "m.obj");
  EXPECT_EQ(mesh.vertices, (std::vector<std::array<float, 3>>{{0, 0.5F, -0.01F}, {1, 0, 0}, {0, 1, 0}, {5, 5, 5}}));
  EXPECT_EQ(mesh.uvs, (std::vector<std::array<float, 2>>{{0, 0}, {1, 0.25F}, {0.5F, 0.5F}}));
  EXPECT_EQ(mesh.triangles, (std::vector<std::array<std::int32_t, 3>>{{0, 1, 2}, {3, 1, 0}}));
  EXPECT_EQ(mesh.uv_triangles, (std::vector<std::array<std::int32_t, 3>>{{0, 1, 0}, {2, 1, 0}}));
  EXPECT_EQ(mesh.materials, (std::vector<std::int32_t>{-1, -1}));
  ASSERT_EQ(mesh.objects.size(), 2U);
  EXPECT_EQ(mesh.objects[0].name, "low");
  EXPECT_EQ(mesh.objects[1].name, "the up");
  EXPECT_EQ(mesh.objects[1].first_triangle, 1);
  EXPECT_EQ(mesh.objects[1].triangle_count, 1);
  const ObjMesh bare = parse_obj("f 1//1 2//1 3\nv 0 0 0\nv 1 0 0\nv 0 1 0", "m.obj", {.uvs = false});
  EXPECT_EQ(bare.triangles, (std::vector<std::array<std::int32_t, 3>>{{0, 1, 2}})) << "faces may come first";
  EXPECT_EQ(bare.uv_triangles, (std::vector<std::array<std::int32_t, 3>>{{-1, -1, -1}}));
}

TEST(Obj, SaysWhatIsWrongAndWhere) {
  const std::string corners = kCorners;
  EXPECT_EQ(obj_message("v 0 0 x1\n"), "m.obj: line 1: cannot read number 'x1'");
  EXPECT_EQ(obj_message("v 0 0\n"), "m.obj: line 1: cannot read number ''");
  EXPECT_EQ(obj_message("v 0 0 nan\n"), "m.obj: line 1: cannot read number 'nan'");
  EXPECT_EQ(obj_message("v 0 0 1e99\n"), "m.obj: line 1: cannot read number '1e99'");
  EXPECT_EQ(obj_message(corners + "f 1/1 2/2 5/3\n"), "m.obj: line 8: index 5 out of range 1..4");
  EXPECT_EQ(obj_message(corners + "f 1/1 2/2 3/4\n"), "m.obj: line 8: index 4 out of range 1..3");
  EXPECT_EQ(obj_message(corners + "f 1/1 2/2 0/3\n"), "m.obj: line 8: index 0 out of range 1..4");
  EXPECT_EQ(obj_message(corners + "f 1/1 2/2 -5/3\n"), "m.obj: line 8: index -5 out of range 1..4");
  EXPECT_EQ(obj_message(corners + "f 1/1 2/2 9999999999/3\n"), "m.obj: line 8: index 9999999999 out of range 1..4");
  EXPECT_EQ(obj_message(corners + "f 1/1 2/2 3/3 4/1\n"), "m.obj: line 8: face has 4 corners; expected 3");
  EXPECT_EQ(obj_message(corners + "f 1/1 2/2\n"), "m.obj: line 8: face has 2 corners; expected 3");
  EXPECT_EQ(obj_message(corners + "f 1 2 3\n"), "m.obj: line 8: face without texture coordinates");
  EXPECT_EQ(obj_message(corners + "f 1/1 2 3\n", {.uvs = false}), "m.obj: line 8: face without texture coordinates");
  EXPECT_EQ(obj_message(corners + "l 1 2\n"), "m.obj: line 8: unknown line 'l'");
}

class ObjFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("lav_obj_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(ObjFolder, WrittenFilesReadBackTheSame) {
  ObjMesh mesh;
  mesh.vertices = {{0.1F, -1.0F / 3, 1e-20F}, {16777217.0F, 2, 3}, {4, 5, 6}, {7, 8, 9}};
  mesh.uvs = {{0.7F, 1.0F / 7}, {0, 0}, {1, 1}};
  mesh.triangles = {{0, 1, 2}, {1, 2, 3}, {3, 2, 0}};
  mesh.uv_triangles = {{0, 1, 2}, {2, 1, 0}, {1, 1, 1}};
  mesh.materials = {1, 1, 0};
  mesh.material_list = {{"skin", "skin.png"}, {"two words", ""}};
  write_file(folder_ / "a.obj", format_obj(mesh, "a.mtl"));
  write_file(folder_ / "a.mtl", format_mtl(mesh.material_list));
  const ObjMesh back = read_obj(folder_ / "a.obj", {.materials = true});
  EXPECT_EQ(back.vertices, mesh.vertices);
  EXPECT_EQ(back.uvs, mesh.uvs);
  EXPECT_EQ(back.triangles, mesh.triangles);
  EXPECT_EQ(back.uv_triangles, mesh.uv_triangles);
  EXPECT_EQ(back.materials, mesh.materials);
  ASSERT_EQ(back.material_list.size(), 2U);
  EXPECT_EQ(back.material_list[0].texture, "skin.png");
  EXPECT_EQ(back.material_list[1].name, "two words");
}

TEST_F(ObjFolder, LibrariesStayInTheFolder) {
  const auto message = [&](const std::string& obj, const std::string& mtl) -> std::string {
    write_file(folder_ / "a.obj", obj);
    write_file(folder_ / "a.mtl", mtl);
    try {
      (void)read_obj(folder_ / "a.obj", {.materials = true});
    } catch (const Error& e) {
      return std::string(e.what()).substr(folder_.string().size());
    }
    return "no error";
  };
  EXPECT_EQ(message("mtllib ../a.mtl\n", ""), "/a.obj: line 1: '../a.mtl' lies outside the folder");
  EXPECT_EQ(message("mtllib /etc/passwd\n", ""), "/a.obj: line 1: '/etc/passwd' lies outside the folder");
  EXPECT_EQ(message("mtllib a.mtl\n", "newmtl x\nmap_Kd ../../x.png\n"),
            "/a.mtl: line 2: '../../x.png' lies outside the folder");
  EXPECT_EQ(message("mtllib a.mtl\n", "map_Kd x.png\n"), "/a.mtl: line 1: map_Kd before newmtl");
  EXPECT_EQ(message("mtllib a.mtl\nusemtl y\n", "newmtl x\n"), "/a.obj: line 2: no material 'y'");
  EXPECT_EQ(message("mtllib a.mtl\nusemtl x\n", "newmtl x\n"), "no error");
}

TEST(Obj, ALibraryIsReadOnceHoweverOftenItIsNamed) {
  int reads = 0;
  const auto mesh = parse_obj("mtllib a.mtl\nmtllib a.mtl\nusemtl x\n", "m.obj", {.materials = true}, [&](const auto&) {
    ++reads;
    return std::string("newmtl x\n");
  });
  EXPECT_EQ(reads, 1);
  EXPECT_EQ(mesh.material_list.size(), 1U);
}

}  // namespace
}  // namespace layeravatar::io
