#include "layeravatar/avatar/release_code.h"

#include <gtest/gtest.h>
#include <torch/torch.h>
#include <unistd.h>

#include <cstdlib>

#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/torch_file.h"
#include "layeravatar/io/torch_file_for_test.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {

class ReleaseCodes : public ::testing::Test {
 protected:
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("lav_code_" + std::to_string(::getpid()));
  std::filesystem::path path = folder / "scene_0007.pth";
  io::TorchFileMaker maker;
  void SetUp() override { std::filesystem::create_directories(folder); }
  void TearDown() override { std::filesystem::remove_all(folder); }

  std::string message(ErrorKind kind, std::int64_t rows = 0, const PlaneActivation* activation = nullptr) {
    try {
      (void)read_avatar_or_code(path, rows, activation);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind) << e.what();
      const std::string text = e.what(), start = path.string();
      EXPECT_TRUE(text.starts_with(start)) << text;
      return text.substr(std::min(start.size(), text.size()));
    }
    return "";
  }
};

torch::Tensor some_code() {
  torch::manual_seed(5);
  return torch::randn({12, 4, 12});
}

TEST_F(ReleaseCodes, TheRecordedCacheEntry) {
  const std::string file = LAV_GOLDEN_DIR "/io/h_cache_scene_0003.pth";
  const io::PickleValue content = io::read_torch_file(file);
  EXPECT_TRUE(is_release_code(content));
  const ReleaseCode code = find_release_code(content, file);
  EXPECT_FALSE(code.activated);
  EXPECT_EQ(code.key, "param.code_");
  EXPECT_EQ(code.scene_name, content.find("scene_name").text());
  const torch::Tensor want = tensor::to_tensor(io::read_npz(LAV_GOLDEN_DIR "/io/h_cache16.npz").at("code_f16"));
  EXPECT_TRUE(torch::equal(code.values, want.to(torch::kFloat32)));
  path = file;  // its planes are 4 by 6, which no three squares fill
  EXPECT_EQ(message(ErrorKind::kInput), ": tensor 'param.code_'; expected (12, h, 3h), found (12, 4, 6)");
}

TEST_F(ReleaseCodes, BareTensorOfABatch) {
  // Two codes in one storage; the file holds the second.
  const torch::Tensor both = torch::stack({some_code() + 9, some_code()});
  const io::Array array = tensor::to_array(both);
  io::ZipWriter zip(path, {});
  zip.add("archive/data.pkl", io::pickled(io::tensor_op(io::storage_op("FloatStorage", "0", 1152, "cuda:0"), 576, {12, 4, 12}, {48, 12, 1})));
  zip.add("archive/data/0", std::string_view(reinterpret_cast<const char*>(array.data.data()), array.data.size()));
  zip.commit();
  for (const std::int64_t rows : {0, 4}) {
    const Avatar got = read_avatar_or_code(path, rows, nullptr);
    EXPECT_TRUE(torch::equal(got.planes, some_code()));
    EXPECT_EQ(got.betas, (std::array<float, 10>{}));
    EXPECT_EQ(got.provenance, (std::map<std::string, std::string>{{"source", "scene_0007.pth"}}));
  }
  EXPECT_EQ(message(ErrorKind::kInput, 8), "; expected (12, 8, 24), found (12, 4, 12)");
}

TEST_F(ReleaseCodes, SavedSceneAndCache) {
  const auto file = [&](const std::string& params) {
    maker.write(path, io::dict_op({{"scene_id", io::integer_op(7)}, {"scene_name", io::text_op("0007")}, {"param", params}}));
  };
  const std::string activated = maker.tensor(tensor::to_array(some_code()));
  file(io::dict_op({{"code", activated}}));
  Avatar got = read_avatar_or_code(path, 4, nullptr);
  EXPECT_TRUE(torch::equal(got.planes, some_code()));
  EXPECT_EQ(got.provenance.at("scene"), "0007");
  // 16 bits, before the activation: m = 0.02, q = 0.36 as in model.md section 15.1.
  const torch::Tensor leaf = torch::tensor({-3.F, -0.5F, 0.F, 0.7F, 5.F}).repeat({12, 4, 3}).slice(2, 0, 12).to(torch::kFloat16).contiguous();
  PlaneActivation activation;
  activation.set_statistics(torch::full({1}, 0.02F), torch::full({1}, 0.36F));
  const std::string leaves = maker.tensor(tensor::to_array(leaf));
  file(io::dict_op({{"code_", leaves}}));
  got = read_avatar_or_code(path, 4, &activation);
  const torch::Tensor want = torch::tensor({-1.7011963F, -0.4266705F, -0.0166660F, 0.5519660F, 1.9379168F});
  EXPECT_LT((got.planes[11][3].slice(0, 0, 5) - want).abs().max().item<float>(), 1e-3F);  // 0.7 in 16 bits
  EXPECT_LT((got.planes[0][0].index_select(0, torch::tensor({0, 1, 2, 4})) - want.index_select(0, torch::tensor({0, 1, 2, 4}))).abs().max().item<float>(), 1e-6F);
  EXPECT_EQ(message(ErrorKind::kUsage, 4), ": tensor 'param.code_' is a code before its activation, whose statistics a pack holds; give --model PACK");
  file(io::dict_op({{"code_", leaves}, {"code", activated}}));  // the activated one needs no statistics
  EXPECT_TRUE(torch::equal(read_avatar_or_code(path, 4, nullptr).planes, some_code()));
}

TEST_F(ReleaseCodes, OurOwnFilesWhateverTheirName) {
  Avatar one;
  one.planes = some_code();
  one.betas[2] = 1.5F;
  for (const char* const name : {"a.safetensors", "a.pth", "a"}) {
    write_avatar(folder / name, one);
    const Avatar got = read_avatar_or_code(folder / name, 4, nullptr);
    EXPECT_TRUE(torch::equal(got.planes, one.planes));
    EXPECT_EQ(got.betas[2], 1.5F);
  }
}

TEST_F(ReleaseCodes, SaysWhatIsWrong) {
  EXPECT_EQ(message(ErrorKind::kInput), ": cannot open: No such file or directory");
  const std::string expected = ": no code of the release; expected a tensor, or a dict with param.code or param.code_, found ";
  maker.write(path, io::dict_op({{"state_dict", io::dict_op({})}}));
  EXPECT_EQ(message(ErrorKind::kInput), expected + "dict");
  maker.write(path, io::dict_op({{"param", io::dict_op({{"code", io::text_op("x")}})}}));
  EXPECT_EQ(message(ErrorKind::kInput), expected + "dict");
  maker.write(path, io::text_op("x"));
  EXPECT_EQ(message(ErrorKind::kInput), expected + "text");
  maker.write(path, maker.tensor(io::make_array(io::DType::kI64, {12, 4, 12})));
  EXPECT_EQ(message(ErrorKind::kInput), "; expected real numbers, found i64");
  maker.write(path, maker.tensor(io::make_array(io::DType::kF32, {12, 0, 0})));
  EXPECT_EQ(message(ErrorKind::kInput), "; expected (12, h, 3h), found (12, 0, 0)");
  maker.write(path, maker.tensor(io::make_array(io::DType::kF32, {})));
  EXPECT_EQ(message(ErrorKind::kInput), "; expected (12, h, 3h), found ()");
  maker.write(path, maker.tensor(tensor::to_array(torch::full({12, 4, 12}, NAN))));
  EXPECT_EQ(message(ErrorKind::kInput), " contains non-finite numbers");
}

TEST(ReleaseCodeGolden, DemoCodesOfThePublicCode) {
  const char* const folder = std::getenv("LAYERAVATAR_OFFICIAL_DEMO");
  if (folder == nullptr) GTEST_SKIP() << "set LAYERAVATAR_OFFICIAL_DEMO to the folder demo/ of the public code (not in the repository)";
  for (const char* const name : {"0026", "0072", "0179", "1924", "1939"}) {
    const Avatar one = read_avatar_or_code(std::string(folder) + "/transfer/scene_" + name + ".pth", 128, nullptr);
    EXPECT_EQ(one.planes.sizes(), (std::vector<std::int64_t>{12, 128, 384}));
    EXPECT_LE(one.planes.abs().max().item<float>(), 2.0F) << name;
  }
  const torch::Tensor p = read_avatar_or_code(std::string(folder) + "/transfer/scene_0026.pth", 128, nullptr).planes;
  EXPECT_FLOAT_EQ(p[5][64][200].item<float>(), -0.318666577F);  // model.md section 15.3, as the next three
  EXPECT_NEAR(p.sum(torch::kFloat64).item<double>(), -430.70472, 1e-3);
  EXPECT_FLOAT_EQ(p.min().item<float>(), -1.9437147F);
  EXPECT_FLOAT_EQ(p.max().item<float>(), 1.3798360F);
}

}  // namespace
}  // namespace layeravatar::avatar
