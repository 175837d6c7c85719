#include <gtest/gtest.h>
#include <torch/torch.h>
#include <unistd.h>

#include <functional>
#include <limits>

#include "layeravatar/avatar/avatar_file.h"
#include "layeravatar/avatar/decoder.h"
#include "layeravatar/avatar/pack.h"
#include "layeravatar/avatar/template_for_test.h"
#include "layeravatar/body/synthetic_body_for_test.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/safetensors.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {

class Files : public ::testing::Test {
 protected:
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("lav_avatar_" + std::to_string(::getpid()));
  std::filesystem::path path = folder / "file.safetensors";
  void SetUp() override { std::filesystem::create_directories(folder); }
  void TearDown() override { std::filesystem::remove_all(folder); }

  // The message of the Error(kInput) of reading the file after a change to it.
  template <class Read>
  std::string after(const std::function<void(io::SafeTensors&)>& change, Read&& read) {
    io::SafeTensors content = io::read_safetensors(path);
    change(content);
    const std::filesystem::path changed = folder / "changed.safetensors";
    io::write_safetensors(changed, content);
    try {
      read(changed);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
      const std::string message = e.what(), start = changed.string() + ": ";
      EXPECT_TRUE(message.starts_with(start)) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      return message.substr(std::min(start.size(), message.size()));
    }
    return "";
  }
};

io::Array floats_array(std::vector<std::int64_t> shape, float value) {
  io::Array out = io::make_array(io::DType::kF32, std::move(shape));
  for (float& x : out.at<float>()) x = value;
  return out;
}

Avatar some_avatar() {
  torch::manual_seed(1);
  Avatar out;
  out.planes = torch::randn({12, 4, 12});
  for (std::size_t k = 0; k < 10; ++k) out.betas[k] = 0.5F * static_cast<float>(k) - 2;
  out.provenance = {{"pack", "0123"}, {"source", "seed 7"}, {"donors", R"({"top": "a \"b\".safetensors"})"}};
  return out;
}

using AvatarFile = Files;

TEST_F(AvatarFile, RoundTrip) {
  const Avatar one = some_avatar();
  write_avatar(path, one);
  for (const std::int64_t rows : {0, 4}) {
    const Avatar back = read_avatar(path, rows);
    EXPECT_TRUE(torch::equal(back.planes, one.planes));
    EXPECT_EQ(back.betas, one.betas);
    EXPECT_EQ(back.provenance, one.provenance);
  }
  Avatar transposed = one;
  transposed.planes = one.planes.transpose(1, 2).contiguous().transpose(1, 2);  // another order in memory
  const std::string bytes = read_file(path);
  write_avatar(path, transposed);
  EXPECT_EQ(read_file(path), bytes);
  transposed.planes = torch::zeros({12, 4, 11});
  EXPECT_THROW(write_avatar(path, transposed), Error);
}

TEST_F(AvatarFile, TakesSixteenBits) {
  write_avatar(path, some_avatar());
  io::SafeTensors content = io::read_safetensors(path);
  content.tensors["planes"] = tensor::to_array(some_avatar().planes.to(torch::kFloat16));
  io::write_safetensors(path, content);
  const torch::Tensor back = read_avatar(path).planes;
  EXPECT_EQ(back.scalar_type(), torch::kFloat32);
  EXPECT_TRUE(torch::allclose(back, some_avatar().planes, 1e-3, 1e-6));
}

TEST_F(AvatarFile, SaysWhatIsWrong) {
  write_avatar(path, some_avatar());
  const auto read = [](const std::filesystem::path& file) { read_avatar(file, 4); };
  const auto any = [](const std::filesystem::path& file) { read_avatar(file); };
  EXPECT_EQ(after([](auto&) {}, read), "");
  EXPECT_EQ(after([](auto& c) { c.tensors.erase("planes"); }, read), "tensor 'planes' is missing");
  EXPECT_EQ(after([](auto& c) { c.tensors.erase("betas"); }, read), "tensor 'betas' is missing");
  EXPECT_EQ(after([](auto& c) { c.tensors["extra"] = floats_array({1}, 0); }, read), "unknown tensor 'extra'");
  EXPECT_EQ(after([](auto& c) { c.tensors["planes"] = floats_array({12, 8, 24}, 0); }, read),
            "tensor 'planes'; expected (12, 4, 12), found (12, 8, 24)");
  EXPECT_EQ(after([](auto& c) { c.tensors["planes"] = floats_array({12, 8, 23}, 0); }, any),
            "tensor 'planes'; expected (12, h, 3h), found (12, 8, 23)");
  EXPECT_EQ(after([](auto& c) { c.tensors["planes"] = floats_array({12, 0, 0}, 0); }, any),
            "tensor 'planes'; expected (12, h, 3h), found (12, 0, 0)");
  EXPECT_EQ(after([](auto& c) { c.tensors["betas"] = io::make_array(io::DType::kI32, {10}); }, read),
            "tensor 'betas'; expected real numbers, found i32");
  EXPECT_EQ(after([](auto& c) { c.tensors["planes"].template at<float>()[5] = NAN; }, read),
            "tensor 'planes' contains non-finite numbers");
  EXPECT_EQ(after([](auto& c) { c.metadata["format"] = "layeravatar-pack-1"; }, read),
            "not an avatar; expected format 'layeravatar-avatar-1'");
}

ModelPack some_pack() {
  torch::manual_seed(2);
  ModelPack out;
  out.config.profile = "official";
  out.config.image_size = 256;
  out.config.planes_height = 8;
  out.config.unet_base_channels = 32;
  out.config.unet_channel_factors = {1, 2.5};
  out.config.unet_attention = {4};
  out.config.provenance = "made by a test";
  out.layers = small_template();
  out.body = body::synthetic_body(60);
  const Decoder decoder;
  for (const auto& p : decoder.named_parameters()) out.decoder[p.key()] = p.value().detach();
  for (const auto& b : decoder.named_buffers()) out.decoder[b.key()] = b.value();
  out.unet = {{"out.weight", torch::arange(6, torch::kFloat32).reshape({2, 3}) / 4}, {"out.bias", torch::ones({2})}};
  out.betas.weight = torch::randn({10, 576});
  out.betas.bias = torch::randn({10});
  out.activation.set_statistics(torch::full({1}, 0.02F), torch::full({1}, 0.36F));
  return out;
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double out = a.size() == b.size() ? 0 : 1e9;
  for (std::size_t i = 0; i < a.size() && out < 1e9; ++i)
    out = std::max(out, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return out;
}

using Pack = Files;

TEST_F(Pack, RoundTrip) {
  const ModelPack pack = some_pack();
  write_pack(path, pack);
  const ModelPack back = read_pack(path);
  EXPECT_EQ(back.config.to_json(), pack.config.to_json());
  EXPECT_EQ(back.hash.get().size(), 40U);
  EXPECT_EQ(back.layers.blocks, pack.layers.blocks);
  EXPECT_EQ(back.layers.positions, pack.layers.positions);
  EXPECT_EQ(back.layers.uvs, pack.layers.uvs);
  EXPECT_EQ(back.layers.labels, pack.layers.labels);
  EXPECT_EQ(back.layers.faces, pack.layers.faces);
  EXPECT_EQ(back.layers.frames, pack.layers.frames);  // zeros and ones
  EXPECT_EQ(back.layers.face_mask, pack.layers.face_mask);
  EXPECT_LT(difference(back.layers.shape_dirs, pack.layers.shape_dirs), 0.3 * 0x1p-11);
  EXPECT_LT(difference(back.layers.body_weights, pack.layers.body_weights), 0x1p-11);
  EXPECT_TRUE(back.layers.pose_dirs.empty());
  EXPECT_EQ(back.body.v_template, pack.body.v_template);
  EXPECT_EQ(back.body.faces, pack.body.faces);
  EXPECT_EQ(back.body.parents, pack.body.parents);
  EXPECT_EQ(back.body.j_regressor, pack.body.j_regressor);
  EXPECT_LT(difference(back.body.shapedirs, pack.body.shapedirs), 0.01 * 0x1p-11);
  EXPECT_LT(difference(back.body.posedirs, pack.body.posedirs), 0.01 * 0x1p-11);
  EXPECT_LT(difference(back.body.weights, pack.body.weights), 0x1p-11);
  for (std::size_t v = 0; v < 60; ++v) {
    double sum = 0;
    for (std::size_t j = 0; j < 55; ++j) sum += static_cast<double>(back.body.weights[55 * v + j]);
    EXPECT_NEAR(sum, 1, 1e-6) << v;
  }
  ASSERT_EQ(back.decoder.size(), pack.decoder.size());
  for (const auto& [name, t] : pack.decoder) EXPECT_TRUE(torch::equal(back.decoder.at(name), t)) << name;
  ASSERT_EQ(back.unet.size(), 2U);
  EXPECT_TRUE(torch::equal(back.unet.at("out.weight"), pack.unet.at("out.weight")));  // quarters fit 16 bits
  EXPECT_TRUE(torch::equal(back.betas.weight, pack.betas.weight));
  EXPECT_TRUE(torch::equal(back.betas.bias, pack.betas.bias));
  EXPECT_TRUE(torch::equal(back.activation.running_mean(), pack.activation.running_mean()));
  EXPECT_TRUE(torch::equal(back.activation.running_var(), pack.activation.running_var()));

  write_pack(folder / "again", back);
  const ModelPack again = read_pack(folder / "again");
  EXPECT_EQ(again.body.faces, back.body.faces);
  EXPECT_EQ(again.layers.shape_dirs, back.layers.shape_dirs);
}

TEST_F(Pack, StoresNothingTwiceAsLarge) {
  write_pack(path, some_pack());
  const io::ArrayMap tensors = io::read_safetensors(path).tensors;
  const auto stored = [&](const std::string& name) {
    return std::string(io::name_of(tensors.at(name).dtype)) + " " + io::shape_text(tensors.at(name).shape);
  };
  EXPECT_EQ(stored("template.part_label_full"), "u8 (14,)");
  EXPECT_EQ(stored("template.init_spdir_smplx_full"), "f16 (5, 3, 10)");  // no expressions
  EXPECT_EQ(stored("template.init_lbsw_smplx_body.value"), "f16 (14,)");  // two joints of seven points
  EXPECT_EQ(stored("template.init_lbsw_smplx_body.column"), "u8 (14,)");
  EXPECT_EQ(stored("body.shapedirs"), "f16 (60, 3, 20)");
  EXPECT_EQ(stored("diffusion_ema.denoising.out.weight"), "f16 (2, 3)");
  EXPECT_EQ(stored("decoder_ema.base_net.0.weight"), "f32 (64, 6, 7, 7)");
}

TEST_F(Pack, SaysWhatIsWrong) {
  write_pack(path, some_pack());
  const auto read = [](const std::filesystem::path& file) { read_pack(file); };
  const auto message = [&](const std::function<void(io::SafeTensors&)>& change) { return after(change, read); };
  const std::string weights = "template.init_lbsw_smplx_body";
  EXPECT_EQ(message([](auto&) {}), "");
  EXPECT_EQ(message([](auto& c) { c.metadata.erase("format"); }),
            "not a model pack; expected format 'layeravatar-pack-1'");
  EXPECT_EQ(message([](auto& c) { c.tensors["other"] = floats_array({1}, 0); }), "unknown tensor 'other'");
  EXPECT_EQ(message([](auto& c) { c.tensors["body.weights.value"].template at<io::Half>()[0].bits = 0x7C00; }),
            "tensor 'body.weights.value' contains non-finite numbers");
  EXPECT_EQ(message([](auto& c) { c.tensors["decoder_ema.base_bn.weight"].template at<float>()[0] = NAN; }),
            "tensor 'decoder_ema.base_bn.weight' contains non-finite numbers");
  EXPECT_EQ(message([&](auto& c) { c.tensors[weights + ".column"].template at<std::uint8_t>()[3] = 55; }),
            "tensor '" + weights + ".column': index 55; expected 0..54");
  EXPECT_EQ(message([&](auto& c) { c.tensors[weights + ".start"].template at<std::uint8_t>()[1] = 9; }),
            "tensor '" + weights + ".start': bad row 1");
  EXPECT_EQ(message([&](auto& c) { c.tensors[weights + ".start"].template at<std::uint8_t>()[7] = 12; }),
            "tensor '" + weights + ".start': rows lie at 0..12; expected 0..14");
  EXPECT_EQ(message([](auto& c) { c.tensors["code_activation.running_var"] = floats_array({1}, -1); }),
            "tensor 'code_activation.running_var'; expected a positive number");
  EXPECT_EQ(message([](auto& c) { c.tensors["betas.weight"] = floats_array({10, 5}, 0); }),
            "tensor 'betas.weight'; expected (10, 576), found (10, 5)");
  EXPECT_EQ(message([](auto& c) { c.tensors["template.init_spdir_smplx_full"] = floats_array({5, 3, 11}, 0); }),
            "tensor 'template.init_spdir_smplx_full': expected 10 or 20 columns, found 11");
  EXPECT_EQ(message([](auto& c) { c.tensors["template.init_faces_smplx_full"].template at<std::uint8_t>()[0] = 5; }),
            "array 'init_faces_smplx_full': index 5; expected 0..4");
  EXPECT_NE(message([](auto& c) { c.tensors["body.parents"].template at<std::int64_t>()[3] = 9; }), "");
  EXPECT_NE(message([](auto& c) { c.metadata["config"] = "{"; }).find("pack configuration: "), std::string::npos);
  const auto setting = [](const std::string& text) {
    return [text](io::SafeTensors& c) {
      PackConfig config;
      std::string& json = c.metadata["config"] = config.to_json();
      const std::string key = text.substr(0, text.find(':'));
      const std::size_t at = json.find(key), end = json.find(',', at);
      json.replace(at, end - at, text);
    };
  };
  EXPECT_EQ(message(setting("\"image-size\":8")), "pack configuration: image-size = 8; expected 16..8192");
  EXPECT_EQ(message(setting("\"unet-heads\":0")), "pack configuration: unet-heads = 0; expected 1..64");
  EXPECT_EQ(message(setting("\"unet-heads\":4294967297")), "pack configuration: unet-heads = 4294967297; expected 1..64");
  EXPECT_EQ(message(setting("\"unet-heads\":1e300")), "pack configuration: unet-heads: expected a whole number, found number");
  EXPECT_NE(message(setting("\"profile\":7")).find("pack configuration: "), std::string::npos);

  // Each tensor is needed, but for the networks' own members and what may be absent.
  for (const auto& [name, array] : io::read_safetensors(path).tensors) {
    if (name.starts_with("decoder_ema.") || name.starts_with("diffusion_ema.") || name == "body.posedirs") continue;
    if (name == "betas.weight" || name == "code_activation.running_mean" || name == "template.blocks") continue;
    EXPECT_NE(message([key = name](auto& c) { c.tensors.erase(key); }).find("is missing"), std::string::npos) << name;
  }
  const std::string bytes = read_file(path);
  for (const std::size_t size : {std::size_t{4}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    write_file(folder / "short", std::string_view(bytes).substr(0, size));
    EXPECT_THROW(read_pack(folder / "short"), Error) << size;
  }
}

TEST_F(Pack, RefusesToWriteWhatSixteenBitsCannotHold) {
  ModelPack pack = some_pack();
  pack.unet["out.bias"] = torch::full({2}, 1e6F);
  EXPECT_THROW(write_pack(path, pack), Error);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(BetasRegression, FindsALinearMapOfThePlanes) {
  torch::manual_seed(6);
  std::vector<torch::Tensor> planes;
  for (int i = 0; i < 60; ++i) planes.push_back(0.1 * torch::randn({12, 8, 24}) + torch::randn({12, 1, 1}));
  torch::Tensor betas = torch::zeros({60, 10});
  const auto beta = [](const torch::Tensor& p, int k) { return 0.5 + p[k].mean() - 0.5 * p[11].mean(); };
  for (int i = 0; i < 60; ++i)
    for (int k = 0; k < 10; ++k) betas[i][k] = beta(planes[static_cast<std::size_t>(i)], k);
  const BetasRegression fitted = BetasRegression::fit(planes, betas, 1e-4);
  const torch::Tensor fresh = 0.1 * torch::randn({12, 8, 24}) + 0.4 * torch::randn({12, 1, 1});
  const std::array<float, 10> got = fitted.predict(fresh);
  for (int k = 0; k < 10; ++k)
    EXPECT_NEAR(got[static_cast<std::size_t>(k)], beta(fresh, k).item<float>(), 0.05) << k;
  const std::array<float, 10> far = fitted.predict(fresh + 100 * torch::ones({12, 1, 1}));
  for (const float b : far) EXPECT_LE(std::abs(b), 3.0F);
  EXPECT_EQ(BetasRegression().predict(fresh), (std::array<float, 10>{}));
}

}  // namespace
}  // namespace layeravatar::avatar
