#include "layeravatar/produce/import_file.h"

#include <gtest/gtest.h>
#include <torch/torch.h>
#include <unistd.h>

#include "layeravatar/avatar/release_checkpoint_for_test.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/torch_file_for_test.h"
#include "layeravatar/produce/studio.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::produce {
namespace {

class ImportFile : public ::testing::Test {
 protected:
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("lav_import_file_" + std::to_string(::getpid()));
  ImportOptions options;
  io::TorchFileMaker maker;
  void SetUp() override {
    std::filesystem::create_directories(folder);
    options.file = folder / "in.pth";
    options.output = folder / "out.safetensors";
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  void write_checkpoint(const io::ArrayMap& arrays) { maker.write(options.file, io::dict_op({{"state_dict", maker.dict(arrays)}})); }

  // The message of what goes wrong; no output lies there then.
  std::string message(ErrorKind kind) {
    std::string out;
    try {
      (void)import_file(options);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind) << e.what();
      out = e.what();
      EXPECT_EQ(out.find('\n'), std::string::npos) << out;
      if (out.starts_with(options.file.string())) out = out.substr(options.file.string().size());
    }
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), std::filesystem::exists(options.file) ? 1 : 0);
    return out;
  }
};

// Pictures that the public code made of the decoder, template and body of the checkpoint, in the default pose.
TEST_F(ImportFile, AnImportedPackMakesTheRecordedPictures) {
  write_checkpoint(avatar::small_checkpoint("decoder."));
  options.planes_height = 16;
  options.image_size = 64;
  const ImportResult result = import_file(options);
  EXPECT_EQ(result.kind, "pack");
  EXPECT_EQ(result.planes, (std::vector<int>{12, 16, 48}));
  const Studio studio = open_studio(result.output);
  EXPECT_NE(studio.unet, nullptr);
  const io::ArrayMap golden = io::read_npz(LAV_GOLDEN_DIR "/avatar/d_decoder_small.npz");
  const torch::Tensor code = tensor::to_tensor(golden.at("code"))[0], want = tensor::to_tensor(golden.at("none.image"))[0];
  const splat::Gaussians posed = pose(studio, decode(studio, code), {}, body::default_viewing_pose());
  const auto cameras = geometry::turntable_cameras(studio.config.image_size);
  const std::size_t views[] = {0, 11};  // of the 36
  for (std::int64_t v = 0; v < 2; ++v) {
    const splat::RenderOutputs out = render_view(posed, cameras[views[v]], true);
    const torch::Tensor got = torch::cat({out.full.unsqueeze(0), out.components}).permute({2, 3, 0, 1}).reshape({64, 64, 18});
    EXPECT_LT(want[v].min().item<float>(), 0.5F);  // not an empty picture
    EXPECT_LE((got - want[v]).abs().max().item<float>(), 1e-4F) << views[v];
  }
}

TEST_F(ImportFile, ACodeBecomesAnAvatar) {
  torch::manual_seed(3);
  const torch::Tensor code = torch::randn({12, 16, 48});
  maker.write(options.file, io::dict_op({{"scene_name", io::text_op("0007")}, {"param", io::dict_op({{"code_", maker.tensor(tensor::to_array(code))}})}}));
  EXPECT_EQ(message(ErrorKind::kUsage), ": tensor 'param.code_' is a code before its activation, whose statistics a pack holds; give --model PACK");
  ImportOptions pack;
  pack.file = folder / "pack.pth";
  pack.output = folder / "pack.safetensors";
  pack.planes_height = 16;
  std::filesystem::rename(options.file, folder / "code.pth");
  write_checkpoint(avatar::small_checkpoint());
  std::filesystem::rename(options.file, pack.file);
  std::filesystem::rename(folder / "code.pth", options.file);
  options.model = import_file(pack).output;
  const ImportResult result = import_file(options);
  EXPECT_EQ(result.kind, "avatar");
  avatar::PlaneActivation activation;
  activation.set_statistics(torch::full({1}, 0.02F), torch::full({1}, 0.36F));
  EXPECT_TRUE(torch::equal(avatar::read_avatar(result.output, 16).planes, activation.forward(code)));
}

TEST_F(ImportFile, BadInputLeavesNothingBehind) {
  EXPECT_EQ(message(ErrorKind::kInput), ": cannot open: No such file or directory");
  write_checkpoint(avatar::small_checkpoint());
  const std::string whole = read_file(options.file);
  for (const std::size_t size : {whole.size() - 1, whole.size() / 2, std::size_t{100}, std::size_t{0}}) {
    write_file(options.file, std::string_view(whole).substr(0, size));
    EXPECT_NE(message(ErrorKind::kInput), "") << size;
  }
  io::ArrayMap arrays = avatar::small_checkpoint();
  arrays["decoder_ema.cov_net.0.bias"] = io::make_array(io::DType::kF32, {7});
  write_checkpoint(arrays);
  EXPECT_EQ(message(ErrorKind::kInput), ": decoder_ema.cov_net.0.bias: expected (6,), found (7,)");
  arrays = avatar::small_checkpoint();
  arrays.erase("decoder_ema.init_pcd");
  write_checkpoint(arrays);
  EXPECT_EQ(message(ErrorKind::kInput), ": carries no whole template (missing: decoder_ema.init_pcd); give --templates FOLDER");
  options.templates = folder / "nowhere";
  EXPECT_NE(message(ErrorKind::kInput).find("nowhere/"), std::string::npos);
  options.templates.clear();
  options.model = "x";
  EXPECT_EQ(message(ErrorKind::kUsage), ": --model is for a code");
  options.model.clear();
  maker.write(options.file, io::dict_op({{"epoch", io::integer_op(3)}, {"weights", io::dict_op({})}}));
  EXPECT_EQ(message(ErrorKind::kInput), ": neither a checkpoint nor a code of the release; expected a dict with state_dict, a tensor (12, h, 3h), "
                                        "or a dict with param.code or param.code_, found a dict of epoch, weights");
  maker.write(options.file, maker.tensor(io::make_array(io::DType::kF32, {12, 4, 11})));
  EXPECT_EQ(message(ErrorKind::kInput), "; expected (12, h, 3h), found (12, 4, 11)");
  options.image_size = 64;
  EXPECT_EQ(message(ErrorKind::kUsage), ": --image-size is for a checkpoint");
}

}  // namespace
}  // namespace layeravatar::produce
