#include "layeravatar/people/person_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"

namespace layeravatar::people {
namespace {

DressedPerson two_triangles() {
  DressedPerson p;
  p.mesh.vertices = {{0.1F, -1.0F / 3, 2}, {1, 0, 1e-7F}, {0, 1, 0}, {0, 0, 1}};
  p.mesh.shade = {0.7F, 1.05F, 1.0F / 3, 0.9F};
  p.mesh.uvs = {{0, 0}, {1, 0}, {0.2F, 1}};
  p.mesh.triangles = {{0, 1, 2}, {0, 2, 3}};
  p.mesh.uv_triangles = {{0, 1, 2}, {2, 1, 0}};
  p.mesh.labels = {Label::kBody, Label::kHair};
  p.mesh.materials = {0, 1};
  p.mesh.material_list = {{"skin", {1, 2, 3, {1, 2, 3, 4, 5, 6}}}, {"hair", {1, 1, 4, {9, 8, 7, 100}}}};
  p.params.betas[3] = 0.25F;
  p.params.transl = {0, 0.35F, 0.1F};
  return p;
}

class PersonFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("lav_person_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string message() const {
    try {
      (void)read_person(folder_);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
      return std::string(e.what()).substr(folder_.string().size() + 1);
    }
    return "no error";
  }
  std::filesystem::path folder_;
};

TEST_F(PersonFiles, EveryNumberComesBack) {
  const DressedPerson p = two_triangles();
  write_person(folder_, p);
  const DressedPerson q = read_person(folder_);
  EXPECT_EQ(q.params, p.params);
  EXPECT_EQ(q.mesh.vertices, p.mesh.vertices);
  EXPECT_EQ(q.mesh.shade, p.mesh.shade);
  EXPECT_EQ(q.mesh.uvs, p.mesh.uvs);
  EXPECT_EQ(q.mesh.triangles, p.mesh.triangles);
  EXPECT_EQ(q.mesh.uv_triangles, p.mesh.uv_triangles);
  EXPECT_EQ(q.mesh.labels, p.mesh.labels);
  EXPECT_EQ(q.mesh.materials, p.mesh.materials);
  ASSERT_EQ(q.mesh.material_list.size(), 2U);
  EXPECT_EQ(q.mesh.material_list[1].name, "hair");
  EXPECT_EQ(q.mesh.material_list[1].texture.pixels, p.mesh.material_list[1].texture.pixels);
  EXPECT_EQ(q.mesh.material_list[0].texture.height, 2);
}

TEST_F(PersonFiles, NothingIsOverwrittenAndNothingHalfIsLeft) {
  write_person(folder_, two_triangles());
  EXPECT_THROW(write_person(folder_, two_triangles()), Error);
  std::filesystem::remove_all(folder_);
  DressedPerson broken = two_triangles();
  broken.mesh.material_list[1].texture.pixels.clear();
  EXPECT_ANY_THROW(write_person(folder_, broken));
  EXPECT_FALSE(std::filesystem::exists(folder_));
  EXPECT_FALSE(std::filesystem::exists(folder_.string() + ".partial"));
}

TEST_F(PersonFiles, DamageIsNamed) {
  write_person(folder_, two_triangles());
  io::write_npy(folder_ / "labels.npy", io::make_array<std::int32_t>({2}, std::vector<std::int32_t>{1, 6}));
  EXPECT_EQ(message(), "labels.npy: label 6; expected 1..5");
  io::write_npy(folder_ / "labels.npy", io::make_array<std::int32_t>({3}, std::vector<std::int32_t>{1, 2, 3}));
  EXPECT_EQ(message(), "labels.npy; expected (2,), found (3,)");
  io::write_npy(folder_ / "labels.npy", io::make_array<std::int32_t>({2}, std::vector<std::int32_t>{1, 3}));
  EXPECT_EQ(message(), "no error");
  io::write_npy(folder_ / "shade.npy", io::make_array<float>({4}, std::vector<float>{1, 1, -1, 1}));
  EXPECT_EQ(message(), "shade.npy: shade -1; expected 0..2");
  std::filesystem::remove(folder_ / "hair.png");
  EXPECT_TRUE(message().starts_with("hair.png: cannot open")) << message();
}

}  // namespace
}  // namespace layeravatar::people
