#include "layeravatar/body/smplx_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/pickle_for_test.h"

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

  /// What `read` says of the file after its name.
  template <class Read>
  std::string message_of(Read&& read) {
    try {
      (void)read(path);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
      const std::string text = e.what();
      EXPECT_TRUE(text.starts_with(path.string() + ": ")) << text;
      return text.substr(path.string().size() + 2);
    }
    return "accepted";
  }
  std::string message() {
    io::write_npz(path, arrays, {});
    return message_of(read_smplx_npz);
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

TEST_F(SmplxFileTest, WeightsThatDoNotSumToOneAreAWarning) {
  auto weights = io::make_array<float>({300, kJoints}, io::to_floats(arrays["weights"]));
  weights.at<float>()[0] += 0.5F;
  weights.at<float>()[2 * kJoints] -= 0.25F;
  arrays["weights"] = weights;
  io::write_npz(path, arrays, {});
  const auto warnings = read_smplx_npz(path).warnings;
  const std::string start = "skinning weights of 2 vertices do not sum to 1 (largest error 0.5";
  EXPECT_TRUE(std::any_of(warnings.begin(), warnings.end(), [&](const std::string& w) { return w.starts_with(start); }));
}

TEST_F(SmplxFileTest, ParentsMustPrecedeChildren) {
  auto tree = io::to_integers(arrays["kintree_table"], "");
  tree[4] = 9;
  arrays["kintree_table"] = io::make_array<std::int64_t>({2, kJoints}, tree);
  EXPECT_EQ(message(), "kinematic tree: parent of joint 4 is 9; parents must precede children");
}

TEST_F(SmplxFileTest, FilesThatAreNoArchives) {
  const auto said = [](const std::filesystem::path& file) -> std::string {
    try {
      (void)read_smplx(file);
    } catch (const Error& e) {
      return std::string(e.what()).substr(file.string().size());
    }
    return "accepted";
  };
  EXPECT_EQ(said(path), ": cannot open: No such file or directory");
  write_file(path, "some text");
  EXPECT_EQ(said(path), ": not a zip archive");
}

class SmplxPickleTest : public SmplxFileTest {
 protected:
  void SetUp() override {
    SmplxFileTest::SetUp();
    path.replace_extension(".pkl");
  }

  std::string message(const std::string& pickle) {
    write_file(path, pickle);
    return message_of(read_smplx);
  }
};

TEST_F(SmplxPickleTest, HoldsTheSameModelAsTheArchive) {
  write_file(path, io::pickled(arrays));
  const BodyModel model = read_smplx(path).model;
  const BodyModel expected = read_smplx(kGolden).model;
  EXPECT_EQ(model.v_template, expected.v_template);
  EXPECT_EQ(model.shapedirs, expected.shapedirs);
  EXPECT_EQ(model.posedirs, expected.posedirs);
  EXPECT_EQ(model.j_regressor, expected.j_regressor);
  EXPECT_EQ(model.weights, expected.weights);
  EXPECT_EQ(model.parents, expected.parents);
  EXPECT_EQ(model.faces, expected.faces);
}

TEST_F(SmplxPickleTest, SparseRegressorAndChumpyArrays) {
  const BodyModel expected = read_smplx(kGolden).model;
  const std::size_t vertices = 300;
  std::vector<float> data;
  std::vector<std::int32_t> rows;
  std::vector<std::int32_t> begins{0};
  for (std::size_t v = 0; v < vertices; ++v) {
    for (std::size_t j = 0; j < kJoints; ++j) {
      const float value = expected.j_regressor[j * vertices + v];
      if (value == 0.0F) continue;
      data.push_back(value);
      rows.push_back(static_cast<std::int32_t>(j));
    }
    begins.push_back(static_cast<std::int32_t>(data.size()));
  }
  const auto size = static_cast<std::int64_t>(data.size());
  const std::string matrix = io::global_op("scipy.sparse.csc", "csc_matrix") + ")\x81" +
                             io::dict_op({{"_shape", io::integers_op({kJoints, 300})},
                                          {"data", io::array_op(io::make_array<float>({size}, data))},
                                          {"indices", io::array_op(io::make_array<std::int32_t>({size}, rows))},
                                          {"indptr", io::array_op(io::make_array<std::int32_t>({301}, begins))}}) + "b";
  const std::string vertices_of_chumpy = io::global_op("chumpy.ch", "Ch") + ")\x81" + io::dict_op({{"x", io::array_op(arrays["v_template"])}}) + "b";
  std::vector<std::pair<std::string, std::string>> pairs = {{"J_regressor", matrix}, {"v_template", vertices_of_chumpy}};
  for (const auto& [name, array] : arrays) {
    if (name != "J_regressor" && name != "v_template") pairs.emplace_back(name, io::array_op(array));
  }
  ASSERT_EQ(message(io::pickled(io::dict_op(pairs))), "accepted");
  EXPECT_EQ(read_smplx(path).model.j_regressor, expected.j_regressor);
  EXPECT_EQ(read_smplx(path).model.v_template, expected.v_template);
}

TEST_F(SmplxPickleTest, MalformedFilesAreNamed) {
  EXPECT_EQ(message("some text"), "not a pickle");
  EXPECT_EQ(message(io::pickled("N")), "pickle; expected a dict of arrays, found none");
  EXPECT_EQ(message(io::pickled("}").substr(0, 3)), "corrupt pickle at byte 3 (it ends without STOP)");
  EXPECT_EQ(message(io::pickled(io::global_op("posix", "system"))), "refusing to load 'posix.system' from a pickle");
  EXPECT_EQ(message(io::pickled("}")), "array 'v_template' is missing; is this an SMPL-X v1.1 model?");
  EXPECT_EQ(message(io::pickled(io::dict_op({{"v_template", "N"}}))), "array 'v_template'; expected an array, found none");
  io::ArrayMap other = arrays;
  other["v_template"] = io::make_array(io::DType::kF32, {6890, 3});
  EXPECT_EQ(message(io::pickled(other)), "this is an SMPL/SMPL-H model (6890 vertices); expected SMPL-X (10475)");
  other = arrays;
  other["posedirs"] = io::make_array(io::DType::kF32, {300, 3, 207});
  EXPECT_EQ(message(io::pickled(other)), "array 'posedirs'; expected (300, 3, 486), found (300, 3, 207)");
  other = arrays;
  other.erase("weights");
  EXPECT_EQ(message(io::pickled(other)), "array 'weights' is missing; is this an SMPL-X v1.1 model?");
}

}  // namespace
}  // namespace layeravatar::body
