#include "layeravatar/body/smplx_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <limits>

#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"

namespace layeravatar::body {
namespace {

const char* const kGolden = LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz";

class SmplxFileTest : public ::testing::Test {
 protected:
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("lav_smplx_" + std::to_string(::getpid()) + ".npz");
  io::ArrayMap arrays;
  void SetUp() override {
    const io::NpzReader file(kGolden);
    for (const char* key : {"v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f"})
      arrays[key] = file.read(key);
  }
  void TearDown() override { std::filesystem::remove(path); }

  /// What the reader says of `arrays` after the file's name.
  std::string message() {
    io::write_npz(path, arrays, {});
    try {
      (void)read_smplx_npz(path);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
      const std::string text = e.what();
      EXPECT_TRUE(text.starts_with(path.string() + ": ")) << text;
      return text.substr(path.string().size() + 2);
    }
    return "accepted";
  }
};

TEST_F(SmplxFileTest, UnchangedArraysAreAccepted) { EXPECT_EQ(message(), "accepted"); }

TEST_F(SmplxFileTest, RootParentIsForced) { EXPECT_EQ(read_smplx_npz(kGolden).model.parents[0], -1); }

TEST_F(SmplxFileTest, MissingArray) {
  arrays.erase("posedirs");
  EXPECT_EQ(message(), "array 'posedirs' is missing; is this an SMPL-X v1.1 model?");
}

TEST_F(SmplxFileTest, WrongShape) {
  arrays["posedirs"] = io::make_array(io::DType::kF32, {300, 3, 207});
  EXPECT_EQ(message(), "array 'posedirs'; expected (300, 3, 486), found (300, 3, 207)");
}

TEST_F(SmplxFileTest, AnSmplModelIsNamed) {
  arrays["v_template"] = io::make_array(io::DType::kF32, {6890, 3});
  EXPECT_EQ(message(), "this is an SMPL/SMPL-H model (6890 vertices); expected SMPL-X (10475)");
}

TEST_F(SmplxFileTest, NoVertices) {
  arrays["v_template"] = io::make_array(io::DType::kF32, {0, 3});
  EXPECT_EQ(message(), "array 'v_template'; expected at least one vertex, found (0, 3)");
}

TEST_F(SmplxFileTest, NonFiniteNumbers) {
  auto bad = io::make_array(io::DType::kF32, {300, 3});
  bad.at<float>()[7] = std::numeric_limits<float>::quiet_NaN();
  arrays["v_template"] = bad;
  EXPECT_NE(message().find("array 'v_template' contains non-finite numbers"), std::string::npos) << message();
}

TEST_F(SmplxFileTest, FewComponentsTakeExpressionFromTen) {
  auto few = io::make_array(io::DType::kF32, {300, 3, 20});
  for (std::size_t i = 0; i < few.count(); ++i) few.at<float>()[i] = static_cast<float>(i % 20);
  arrays["shapedirs"] = few;
  io::write_npz(path, arrays, {});
  const auto file = read_smplx_npz(path);
  ASSERT_FALSE(file.warnings.empty());
  EXPECT_EQ(file.warnings[0], "only 20 shape components; expression taken from 10..19");
  EXPECT_EQ(file.model.shapedirs[10], 10);
}

}  // namespace
}  // namespace layeravatar::body
