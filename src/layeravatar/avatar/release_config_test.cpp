#include "layeravatar/avatar/release_config.h"

#include <gtest/gtest.h>

#include "layeravatar/avatar/release_checkpoint_for_test.h"
#include "layeravatar/core/error.h"

namespace layeravatar::avatar {
namespace {

// The denoiser's recorded shapes without their prefix.
Shapes recorded_unet(const std::string& which) {
  const std::string prefix = "diffusion_ema.denoising.";
  Shapes out;
  for (const auto& [key, shape] : recorded_shapes(which))
    if (key.starts_with(prefix)) out[key.substr(prefix.size())] = shape;
  return out;
}

PackConfig with_height(int rows) {
  PackConfig out;
  out.planes_height = rows;
  return out;
}

TEST(ReleaseConfig, SettingsOfBothRecordedDenoisers) {
  PackConfig config = with_height(128);
  set_unet_from_shapes(recorded_unet("official"), "a.pth", config);
  EXPECT_EQ(config.unet_base_channels, 128);
  EXPECT_EQ(config.unet_channel_factors, (std::vector<double>{0.5, 1, 2, 2, 4, 4}));
  EXPECT_EQ(config.unet_resblocks, 2);
  EXPECT_EQ(config.unet_attention, (std::vector<int>{16, 8, 4}));
  config = with_height(16);  // a_tiny_checkpoint.json: base 64, [0.5, 0.5], one block, attention_res [8]
  set_unet_from_shapes(recorded_unet("tiny"), "a.pth", config);
  EXPECT_EQ(config.unet_base_channels, 64);
  EXPECT_EQ(config.unet_channel_factors, (std::vector<double>{0.5, 0.5}));
  EXPECT_EQ(config.unet_resblocks, 1);
  EXPECT_EQ(config.unet_attention, (std::vector<int>{8}));
  config = with_height(128);  // the same level at another size
  set_unet_from_shapes(recorded_unet("tiny"), "a.pth", config);
  EXPECT_EQ(config.unet_attention, (std::vector<int>{64}));
}

TEST(ReleaseConfig, ShapesOfBothRecordedDenoisers) {
  const Shapes official = release_unet_shapes(with_height(128));
  EXPECT_EQ(official, recorded_unet("official"));
  std::int64_t count = 0;
  for (const auto& [name, shape] : official) count += io::element_count(shape).value();
  EXPECT_EQ(official.size(), 488U);
  EXPECT_EQ(count, 123318988);  // model.md section 3
  PackConfig tiny = with_height(16);
  tiny.unet_base_channels = 64;
  tiny.unet_channel_factors = {0.5, 0.5};
  tiny.unet_resblocks = 1;
  tiny.unet_attention = {8};
  EXPECT_EQ(release_unet_shapes(tiny), recorded_unet("tiny"));
}

TEST(ReleaseConfig, OneWrongTensorHasNoSay) {
  const Shapes right = recorded_unet("tiny");
  PackConfig want = with_height(16);
  set_unet_from_shapes(right, "a.pth", want);
  for (const auto& [name, shape] : right) {
    Shapes wrong = right;
    wrong[name][0] += 4;
    PackConfig got = with_height(16);
    set_unet_from_shapes(wrong, "a.pth", got);
    EXPECT_EQ(got.to_json(), want.to_json()) << name;
    EXPECT_EQ(shape_differences(release_unet_shapes(got), wrong),
              name + ": expected " + io::shape_text(shape) + ", found " + io::shape_text(wrong[name]));
  }
}

TEST(ReleaseConfig, ChannelsThatAreNoRoundFactor) {
  for (const int channels : {4, 12, 28, 44, 52, 76, 100}) {  // of base 48: 28 / 48 and others are no binary fractions
    Shapes shapes = {{"time_embedding.blocks.0.bias", {192}}, {"time_embedding.blocks.2.bias", {192}}, {"time_embedding.blocks.2.weight", {192, 192}}};
    for (const char* const name : {"conv_1.2.weight", "conv_1.2.bias", "conv_2.1.bias", "norm_with_embedding.norm.weight"})
      shapes[std::string("in_blocks.1.0.") + name] = {channels};
    PackConfig config = with_height(8);
    set_unet_from_shapes(shapes, "a.pth", config);
    EXPECT_EQ(release_unet_shapes(config).at("out.gn.weight"), (std::vector<std::int64_t>{channels}));
  }
}

TEST(ReleaseConfig, SaysWhatIsWrong) {
  const auto message = [](const Shapes& shapes, PackConfig config, ErrorKind kind) {
    try {
      set_unet_from_shapes(shapes, "a.pth", config);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind);
      return std::string(e.what());
    }
    return std::string();
  };
  const Shapes tiny = recorded_unet("tiny");
  EXPECT_EQ(message({{"x", {1}}}, with_height(16), ErrorKind::kInput),
            "a.pth: the denoiser's time embedding has 0 channels; expected four times its base channels");
  PackConfig heads = with_height(16);
  heads.unet_heads = 5;
  EXPECT_EQ(message(tiny, heads, ErrorKind::kInput), "a.pth: the denoiser has a level of 32 channels; expected a multiple of its 5 heads");
  EXPECT_EQ(message(tiny, with_height(17), ErrorKind::kConfig), "planes-height = 17, must be a multiple of 2 for the 2 levels of a.pth");
  Shapes blockless = tiny;
  for (auto it = blockless.begin(); it != blockless.end();) it = it->first.starts_with("in_blocks.") ? blockless.erase(it) : std::next(it);
  EXPECT_EQ(message(blockless, with_height(16), ErrorKind::kInput), "a.pth: pack configuration: unet-resblocks = 0; expected 1..16");
  Shapes huge;  // a list without an end of the file's own making
  for (int b = 0; b < 300; ++b) huge["in_blocks." + std::to_string(b) + ".0.downsample.weight"] = {4};
  huge["time_embedding.blocks.0.bias"] = huge["time_embedding.blocks.2.bias"] = {32};
  EXPECT_NE(message(huge, with_height(16), ErrorKind::kInput), "");
}

TEST(ReleaseConfig, NamesTheFirstTenDifferences) {
  EXPECT_EQ(shape_differences({{"a", {1}}, {"b", {2, 3}}, {"d", {}}}, {{"a", {1}}, {"b", {2, 4}}, {"c", {5}}}),
            "b: expected (2, 3), found (2, 4); c: expected none, found (5,); d: expected (), found none");
  EXPECT_EQ(shape_differences({{"a", {1}}}, {{"a", {1}}}), "");
  Shapes many;
  for (char c = 'a'; c < 'n'; ++c) many[std::string(1, c)] = {1};
  const std::string ten = shape_differences(many, {});
  EXPECT_TRUE(ten.ends_with("; j: expected (1,), found none")) << ten;
}

TEST(ReleaseConfig, ReadsTheTextOfAConfiguration) {
  const TextSettings s = settings_from_text(
      "name = 'x'\nmodel = dict(\n    type='DiffusionNeRF',\n    code_size=(12, 128, 384),\n    diffusion=dict(\n        denoising=dict(\n"
      "            image_size=[128, 384],\n            num_heads=8,\n    decoder=dict(image_size=512))\ntest_cfg = dict(img_size=(1024, 1024))\n");
  EXPECT_EQ(s.planes_height, 128);
  EXPECT_EQ(s.image_size, 1024);  // of test pictures, not the decoder's
  EXPECT_EQ(s.heads, 8);
  EXPECT_EQ(settings_from_text("decoder=dict(image_size = 512)").image_size, 512);
  EXPECT_EQ(settings_from_text("{'code_size': [12, 16, 48]}").planes_height, 16);
  const TextSettings none = settings_from_text("code_size=(12, 128, 96)\nmy_num_heads=3\nnum_heads=4.5\nnum_heads_2=7\nimage_size=[128, 384]\nnum_heads=");
  EXPECT_FALSE(none.planes_height);
  EXPECT_FALSE(none.heads);
  EXPECT_FALSE(none.image_size);
  EXPECT_FALSE(settings_from_text("num_heads=99999999999999999999").heads);
}

}  // namespace
}  // namespace layeravatar::avatar
