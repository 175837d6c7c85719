#include "layeravatar/avatar/release_checkpoint.h"

#include <gtest/gtest.h>
#include <torch/torch.h>
#include <unistd.h>

#include <cstdlib>

#include "layeravatar/avatar/release_checkpoint_for_test.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/torch_file.h"
#include "layeravatar/io/torch_file_for_test.h"
#include "layeravatar/templates/template_folder.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {

const std::string kDecoder = "decoder_ema.", kUnet = "diffusion_ema.denoising.";

// Weights of a network by the recipe, bit for bit.
void expect_recipe(const Tensors& got, const std::string& recipe) {
  for (const auto& [name, t] : got)
    if (t.is_floating_point()) {
      const torch::Tensor want = tensor::from_floats(testing::deterministic_weights(recipe + name, t.sizes().vec()), t.sizes());
      EXPECT_TRUE(torch::equal(t, want)) << recipe << name;
    }
}

templates::LayeredTemplate recorded_layers() {
  return templates::from_arrays(io::read_npz(LAV_GOLDEN_DIR "/avatar/d_template_small.npz"), "recorded");
}

double largest(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double out = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) out = std::max(out, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return out;
}

void expect_same(const templates::LayeredTemplate& a, const templates::LayeredTemplate& b) {
  EXPECT_EQ(a.blocks, b.blocks);
  EXPECT_EQ(a.positions, b.positions);
  EXPECT_EQ(a.frames, b.frames);
  EXPECT_EQ(a.uvs, b.uvs);
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_EQ(a.faces, b.faces);
  EXPECT_EQ(a.shape_dirs, b.shape_dirs);
  EXPECT_EQ(a.pose_dirs, b.pose_dirs);
  EXPECT_EQ(a.body_weights, b.body_weights);
  EXPECT_EQ(a.face_mask, b.face_mask);
  EXPECT_EQ(a.hands_mask, b.hands_mask);
  EXPECT_EQ(a.outside_mask, b.outside_mask);
  EXPECT_EQ(a.nose_mask, b.nose_mask);
}

// All but what the checkpoint's own form of coordinates and positions rounds.
void expect_recorded(const templates::LayeredTemplate& got) {
  templates::LayeredTemplate want = recorded_layers();
  EXPECT_LT(largest(got.positions, want.positions), 1.2e-7);
  EXPECT_LT(largest(got.uvs, want.uvs), 6e-8);
  want.positions = got.positions;
  want.uvs = got.uvs;
  expect_same(got, want);
}

void expect_same(const body::BodyModel& a, const body::BodyModel& b) {
  EXPECT_EQ(a.v_template, b.v_template);
  EXPECT_EQ(a.shapedirs, b.shapedirs);
  EXPECT_EQ(a.posedirs, b.posedirs);
  EXPECT_EQ(a.j_regressor, b.j_regressor);
  EXPECT_EQ(a.weights, b.weights);
  EXPECT_EQ(a.parents, b.parents);
  EXPECT_EQ(a.faces, b.faces);
}

class ReleaseImport : public ::testing::Test {
 protected:
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("lav_import_" + std::to_string(::getpid()));
  io::ArrayMap arrays = small_checkpoint();
  CheckpointOptions options{{}, {}, 16, 64};
  void SetUp() override { std::filesystem::create_directories(folder); }
  void TearDown() override { std::filesystem::remove_all(folder); }

  ImportedPack import() { return import_release_checkpoint(opened(arrays), options); }
  std::string message(ErrorKind kind = ErrorKind::kInput) {
    try {
      (void)import();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind) << e.what();
      return e.what();
    }
    return "";
  }
  static std::size_t count(const ImportReport::Groups& groups, const std::string& key) {
    const auto it = groups.find(key);
    return it == groups.end() ? 0 : it->second.size();
  }
};

TEST_F(ReleaseImport, ACheckpointAloneIsEnough) {
  const ImportedPack got = import();
  const ModelPack& pack = got.pack;
  EXPECT_EQ(pack.config.profile, "official");
  EXPECT_EQ(pack.config.planes_height, 16);
  EXPECT_EQ(pack.config.image_size, 64);
  EXPECT_EQ(pack.config.unet_base_channels, 64);
  EXPECT_EQ(pack.config.unet_attention, (std::vector<int>{8}));
  EXPECT_EQ(pack.decoder.size(), 22U);
  EXPECT_EQ(pack.unet.size(), 126U);
  expect_recipe(pack.decoder, "decoder_ema.");
  expect_recipe(pack.unet, "unet_ema.");
  EXPECT_EQ(pack.decoder.at("base_bn.num_batches_tracked").item<std::int64_t>(), 7);
  EXPECT_FLOAT_EQ(pack.activation.running_mean().item<float>(), 0.02F);
  EXPECT_FLOAT_EQ(pack.activation.running_var().item<float>(), 0.36F);
  EXPECT_FALSE(pack.betas.weight.defined());
  expect_recorded(pack.layers);
  expect_same(pack.body, body::read_smplx_npz(LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz").model);
  const ImportReport& r = got.report;
  EXPECT_TRUE(r.warnings.empty()) << r.warnings[0];
  EXPECT_TRUE(r.missing.empty());
  EXPECT_EQ(count(r.used, "decoder"), 22U);
  EXPECT_EQ(count(r.used, "denoiser"), 126U);
  EXPECT_EQ(count(r.used, "statistics of the codes"), 2U);
  EXPECT_EQ(count(r.used, "template"), 12U);
  EXPECT_EQ(count(r.used, "body"), 8U);
  EXPECT_EQ(count(r.used, "skinning volume, to compare with ours"), 2U);
  EXPECT_EQ(r.ignored, (ImportReport::Groups{{"buffers that follow from others or are not used", {"decoder_ema.aabb"}}}));
}

TEST_F(ReleaseImport, ExactPacksKeepEveryBit) {
  const ModelPack pack = import().pack;
  write_pack(folder / "a", pack, Storage::kExact);
  const ModelPack back = read_pack(folder / "a");
  EXPECT_EQ(back.config.to_json(), pack.config.to_json());
  expect_same(back.layers, pack.layers);
  expect_same(back.body, pack.body);
  ASSERT_EQ(back.decoder.size(), pack.decoder.size());
  for (const auto& [name, t] : pack.decoder) EXPECT_TRUE(torch::equal(back.decoder.at(name), t)) << name;
  ASSERT_EQ(back.unet.size(), pack.unet.size());
  for (const auto& [name, t] : pack.unet) EXPECT_TRUE(torch::equal(back.unet.at(name), t)) << name;
  EXPECT_TRUE(torch::equal(back.activation.running_var(), pack.activation.running_var()));
  // The small storage rounds the same pack: the comparison above can fail.
  write_pack(folder / "b", pack);
  const ModelPack small = read_pack(folder / "b");
  EXPECT_GT(largest(small.layers.frames, pack.layers.frames), 0.0);
  EXPECT_FALSE(torch::equal(small.unet.at("out.conv.weight"), pack.unet.at("out.conv.weight")));
  EXPECT_LT(std::filesystem::file_size(folder / "b"), std::filesystem::file_size(folder / "a"));
}

TEST_F(ReleaseImport, ComparesTheSkinningVolume) {
  const body::WeightVolume ours = body::canonical_volume(body::read_smplx_npz(LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz").model);
  torch::Tensor carried = tensor::from_floats(ours.nodes(), {16, 64, 64, 55}).permute({3, 0, 1, 2}).unsqueeze(0).contiguous();
  const std::string key = kDecoder + "deformer.deformer.lbs_voxel_final";
  arrays[key] = tensor::to_array(carried);
  ImportReport r = import().report;
  EXPECT_TRUE(r.warnings.empty());
  EXPECT_EQ(r.notes.back(), "skinning volume: largest difference of a weight from ours 0");
  carried[0][54][3][60][7] += 2e-4;
  arrays[key] = tensor::to_array(carried);
  r = import().report;
  ASSERT_EQ(r.warnings.size(), 1U);
  EXPECT_TRUE(r.warnings[0].starts_with("tiny.pth: skinning volume: largest difference of a weight from ours 0.0002; expected at most 0.0001")) << r.warnings[0];
  arrays[key] = io::make_array(io::DType::kF32, {1, 55, 8, 64, 64});
  EXPECT_EQ(message(), "tiny.pth: array '" + key + "'; expected (1, 55, 16, 64, 64), found (1, 55, 8, 64, 64)");
  arrays.erase(key);
  arrays[kDecoder + "deformer.deformer.scale"].at<float>()[0] += 0.001F;
  r = import().report;
  ASSERT_EQ(r.warnings.size(), 1U);
  EXPECT_TRUE(r.warnings[0].starts_with("tiny.pth: skinning volume: its box differs from ours by 0.001 m")) << r.warnings[0];
}

TEST_F(ReleaseImport, WithoutAveragesTheOthersAreTaken) {
  io::ArrayMap plain;
  for (auto& [key, array] : small_checkpoint("decoder.", "unet.")) {
    std::string name = key;
    if (const std::size_t at = name.find("_ema."); at != std::string::npos) name.erase(at, 4);
    plain[name] = std::move(array);
  }
  arrays = plain;
  const ImportedPack got = import();
  expect_recipe(got.pack.decoder, "decoder.");
  expect_recipe(got.pack.unet, "unet.");
  expect_recorded(got.pack.layers);
  ASSERT_EQ(got.report.warnings.size(), 2U);
  EXPECT_EQ(got.report.warnings[0], "tiny.pth has no decoder_ema.*; decoder.*, which are not averaged, take their place");
  EXPECT_EQ(got.report.warnings[1], "tiny.pth has no diffusion_ema.denoising.*; diffusion.denoising.*, which are not averaged, take their place");
  // Where both are there, the averaged ones.
  for (auto& [key, array] : small_checkpoint()) arrays[key] = array;
  const ImportedPack both = import();
  expect_recipe(both.pack.decoder, "decoder_ema.");
  EXPECT_TRUE(both.report.warnings.empty());
  EXPECT_EQ(count(both.report.ignored, "networks that are not averaged, for training"), 22U + 126 + 12 + 8 + 2 + 1);
}

TEST_F(ReleaseImport, NamesTheFirstTenShapesThatDiffer) {
  arrays[kDecoder + "tex_net.0.weight"] = io::make_array(io::DType::kF32, {128, 6, 5, 5});
  EXPECT_EQ(message(), "tiny.pth: decoder_ema.tex_net.0.weight: expected (128, 6, 7, 7), found (128, 6, 5, 5)");
  arrays.erase(kUnet + "out.gn.bias");
  arrays[kUnet + "extra.weight"] = io::make_array(io::DType::kF32, {2});
  EXPECT_EQ(message(), "tiny.pth: decoder_ema.tex_net.0.weight: expected (128, 6, 7, 7), found (128, 6, 5, 5); "
                       "diffusion_ema.denoising.extra.weight: expected none, found (2,); "
                       "diffusion_ema.denoising.out.gn.bias: expected (32,), found none");
  for (auto& [key, array] : arrays)
    if (key.starts_with(kUnet + "mid_blocks.")) array.shape.push_back(1);
  const std::string text = message();
  EXPECT_EQ(std::count(text.begin(), text.end(), ';'), 9) << text;
  EXPECT_EQ(text.find('\n'), std::string::npos);
  arrays = small_checkpoint();
  arrays[kUnet + "mid_blocks.1.qkv.bias"].at<float>()[3] = NAN;
  EXPECT_EQ(message(), "tiny.pth: tensor 'diffusion_ema.denoising.mid_blocks.1.qkv.bias' contains non-finite numbers");
}

TEST_F(ReleaseImport, SaysWhatIsMissingOrWrong) {
  arrays.erase(kDecoder + "deformer.init_podir");
  EXPECT_EQ(message(), "tiny.pth: carries no whole template (missing: decoder_ema.deformer.init_podir); give --templates FOLDER");
  arrays.erase(kDecoder + "deformer.body_model.posedirs");
  EXPECT_EQ(message(), "tiny.pth: carries no whole template (missing: decoder_ema.deformer.init_podir) and carries no whole body "
                       "(missing: decoder_ema.deformer.body_model.posedirs); give --templates FOLDER and --smplx FILE");
  arrays = small_checkpoint();
  arrays[kDecoder + "init_rot"] = io::make_array(io::DType::kF32, {3649, 9});
  EXPECT_EQ(message(), "tiny.pth: array 'decoder_ema.init_rot'; expected (-1, 3, 3), found (3649, 9)");
  arrays = small_checkpoint();
  arrays["code_activation.running_var"].at<float>()[0] = -1;
  EXPECT_EQ(message(), "tiny.pth: tensor 'code_activation.running_var'; expected a positive number, found -1");
  arrays.erase("code_activation.running_var");
  EXPECT_EQ(import().report.missing, (std::vector<std::string>{"code_activation.running_var"}));
  arrays = {{"x", io::make_array(io::DType::kF32, {1})}};
  EXPECT_EQ(message(), "tiny.pth: a checkpoint without decoder_ema.* and decoder.*; expected one of the release");
  arrays = small_checkpoint();
  options.planes_height = 15;
  EXPECT_EQ(message(ErrorKind::kConfig), "planes-height = 15, must be a multiple of 2 for the 2 levels of tiny.pth");
  options.planes_height = 5000;
  EXPECT_EQ(message(ErrorKind::kConfig), "planes-height = 5000, must be in 4..4096");
  options = {{}, {}, 16, 8};
  EXPECT_EQ(message(ErrorKind::kConfig), "image-size = 8, must be in 16..8192");
}

TEST_F(ReleaseImport, GivenFilesWin) {
  templates::LayeredTemplate layers = recorded_layers();
  layers.positions[5] += 0.25F;
  templates::write_template_folder(folder / "t", layers);
  arrays.erase(kDecoder + "deformer.init_podir");
  arrays.erase(kDecoder + "deformer.body_model.posedirs");
  options.templates = folder / "t";
  options.smplx = LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz";
  const ImportedPack got = import();
  expect_same(got.pack.layers, layers);
  expect_same(got.pack.body, body::read_smplx_npz(options.smplx).model);
  EXPECT_EQ(got.report.missing, (std::vector<std::string>{"decoder_ema.deformer.init_podir", "decoder_ema.deformer.body_model.posedirs"}));
  EXPECT_EQ(count(got.report.ignored, "template: the given one is used"), 11U);
  EXPECT_EQ(count(got.report.ignored, "body: the given one is used"), 7U);
  arrays[kDecoder + "pcd_label"] = io::make_array(io::DType::kI32, {12});
  const std::vector<std::string> warnings = import().report.warnings;
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0], (folder / "t").string() + ": its 3649 labels are not the 12 that tiny.pth carries; is it another template?");
}

TEST_F(ReleaseImport, FileWithConfigurationOptimiserAndPrefix) {
  io::TorchFileMaker maker;
  arrays["per_loss.loss_vgg.w"] = io::make_array(io::DType::kF32, {2});
  const std::string config = "model = dict(code_size=(12, 16, 48), denoising=dict(num_heads=8), decoder=dict(image_size=64))";
  maker.write(folder / "a.pth", io::dict_op({{"meta", io::dict_op({{"iter", io::integer_op(1234)}, {"config", io::text_op(config)}})},
                                             {"state_dict", maker.dict(arrays, "module.")},
                                             {"optimizer", io::dict_op({{"decoder", "}"}, {"diffusion", "}"}})}}));
  const std::string file = (folder / "a.pth").string();
  options = {};
  const ImportedPack got = import_release_checkpoint(open_release_checkpoint(io::read_torch_file(file), file), options);
  expect_recipe(got.pack.decoder, "decoder_ema.");
  EXPECT_EQ(got.pack.config.planes_height, 16);
  EXPECT_EQ(got.pack.config.image_size, 64);
  EXPECT_EQ(got.pack.config.unet_heads, 8);
  EXPECT_EQ(got.pack.config.provenance, "imported from a.pth, iteration 1234");
  EXPECT_EQ(got.report.ignored.at("optimiser"), (std::vector<std::string>{"optimizer.decoder", "optimizer.diffusion"}));
  EXPECT_EQ(got.report.ignored.at("perceptual loss, for training"), (std::vector<std::string>{"per_loss.loss_vgg.w"}));
  options.planes_height = 32;  // a flag wins
  EXPECT_EQ(import_release_checkpoint(open_release_checkpoint(io::read_torch_file(file), file), options).pack.config.planes_height, 32);
  maker.write(folder / "b.pth", io::dict_op({{"state_dict", maker.dict({{"module.x", io::make_array(io::DType::kF32, {1})}, {"x", io::make_array(io::DType::kF32, {1})}})}}));
  try {
    (void)open_release_checkpoint(io::read_torch_file(folder / "b.pth"), "b.pth");
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "b.pth: state_dict: key 'x' occurs twice");
  }
}

TEST_F(ReleaseImport, RecordedCheckpointOfThePublicCode) {
  const char* const fixtures = std::getenv("LAYERAVATAR_FIXTURES");
  if (fixtures == nullptr) GTEST_SKIP() << "set LAYERAVATAR_FIXTURES to the folder of a_tiny_checkpoint.pth (7.5 MB, not in the repository)";
  const std::string file = std::string(fixtures) + "/a_tiny_checkpoint.pth";
  templates::write_template_folder(folder / "t", recorded_layers());
  options.templates = folder / "t";
  options.smplx = LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz";
  const ReleaseCheckpoint checkpoint = open_release_checkpoint(io::read_torch_file(file), file);
  const ImportedPack got = import_release_checkpoint(checkpoint, options);
  expect_recipe(got.pack.decoder, "decoder_ema.");
  expect_recipe(got.pack.unet, "unet_ema.");
  EXPECT_TRUE(got.report.warnings.empty()) << got.report.warnings[0];
  EXPECT_EQ(count(got.report.used, "decoder"), 22U);
  EXPECT_EQ(count(got.report.used, "denoiser"), 126U);
  EXPECT_EQ(count(got.report.ignored, "unknown"), 0U);
  EXPECT_EQ(count(got.report.ignored, "optimiser"), 2U);
  // Every key has its place.
  std::size_t keys = 0;
  for (const auto* groups : {&got.report.used, &got.report.ignored})
    for (const auto& [what, members] : *groups) keys += members.size();
  EXPECT_EQ(keys, checkpoint.state.size() + 2);
  // What it carries of the template, with the array that it leaves out.
  StateDict whole = checkpoint.state;
  whole[kDecoder + "deformer.init_podir"] = &arrays.at(kDecoder + "deformer.init_podir");
  expect_recorded(carried_template(whole, kDecoder, file));
  whole[kDecoder + "deformer.body_model.posedirs"] = &arrays.at(kDecoder + "deformer.body_model.posedirs");
  expect_same(carried_body(whole, kDecoder, file), got.pack.body);
  const VolumeDifference d = compare_volume(whole, kDecoder, file, body::canonical_volume(got.pack.body));
  EXPECT_LT(d.weights, 0);
  EXPECT_GE(d.box, 0);
  EXPECT_LT(d.box, 1e-6);
}

}  // namespace
}  // namespace layeravatar::avatar
