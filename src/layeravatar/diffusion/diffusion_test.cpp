#include <gtest/gtest.h>
#include <torch/torch.h>

#include <nlohmann/json.hpp>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/sampler.h"
#include "layeravatar/diffusion/training_loss.h"
#include "layeravatar/diffusion/unet.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/testing/deterministic_values.h"

namespace layeravatar::diffusion {
namespace {

using testing::Kind;

class Golden {
 public:
  explicit Golden(const std::string& name) : arrays_(io::read_npz(std::string(LAV_GOLDEN_DIR "/diffusion/") + name)) {}
  torch::Tensor operator()(const std::string& name) const { return tensor::to_tensor(arrays_.at(name)); }

 private:
  io::ArrayMap arrays_;
};

torch::Tensor named(const std::string& name, std::vector<std::int64_t> shape, Kind kind) {
  std::int64_t n = 1;
  for (const auto s : shape) n *= s;
  return tensor::from_floats(testing::deterministic(name, static_cast<std::size_t>(n), kind), shape);
}

std::shared_ptr<UNet> recorded_unet() {
  UNetConfig config;
  config.image_size = {32, 96};
  config.base_channels = 64;
  auto unet = std::make_shared<UNet>(config);
  const torch::NoGradGuard no_grad;
  for (const auto& p : unet->named_parameters())
    p.value().copy_(tensor::from_floats(testing::deterministic_weights("unet." + p.key(), p.value().sizes().vec()), p.value().sizes()));
  return unet;
}

double worst(const torch::Tensor& got, const torch::Tensor& want) {
  EXPECT_EQ(got.sizes(), want.sizes());
  return (got - want).abs().max().item<double>() / want.abs().max().item<double>();
}

TEST(UNet, OfficialSizeHasTheReleasesParameters) {
  const UNet unet({});
  std::int64_t count = 0;
  for (const auto& p : unet.parameters()) count += p.numel();
  EXPECT_EQ(count, 123318988);
  EXPECT_EQ(unet.parameters().size(), 488U);
  const auto names = unet.named_parameters();
  for (const char* name : {"time_embedding.blocks.2.bias", "in_blocks.0.0.weight", "in_blocks.4.0.shortcut.weight", "in_blocks.12.0.downsample.bias",
                           "mid_blocks.1.qkv.weight", "out_blocks.2.2.conv.weight", "out_blocks.14.1.conv.weight",
                           "out_blocks.0.0.norm_with_embedding.embedding_layer.1.weight", "out_blocks.0.0.conv_2.1.bias", "out.gn.weight"})
    EXPECT_TRUE(names.contains(name)) << name;
}

TEST(UNet, RecordedOutputAndGradients) {
  const Golden golden("b_unet_small.npz");
  auto unet = recorded_unet();
  torch::Tensor x = named("unet_small.x", {2, 12, 32, 96}, Kind::kNormal).requires_grad_(true);
  const torch::Tensor out = unet->forward(x, torch::tensor({999, 37}));
  EXPECT_LT(worst(out, golden("out")), 2e-5);
  (out * named("unet_small.g", {2, 12, 32, 96}, Kind::kNormal)).sum().backward();
  EXPECT_LT(worst(x.grad(), golden("grad_x")), 5e-5);
  // Norms in the order of registration.
  const torch::Tensor norms = golden("grad_norm");
  ASSERT_EQ(norms.numel(), static_cast<std::int64_t>(unet->parameters().size()));
}

TEST(UNet, StartsAtZero) {
  UNetConfig config;
  config.image_size = {16, 48};
  config.base_channels = 32;
  config.channel_factors = {0.5, 1, 2};
  UNet unet(config);
  EXPECT_EQ(unet.forward(torch::randn({1, 12, 16, 48}), torch::tensor({5})).abs().max().item<float>(), 0.0F);
  config.image_size = {18, 48};
  EXPECT_THROW(UNet{config}, Error);
}

TEST(Schedule, RecordedTables) {
  const Golden golden("c_schedule.npz");
  const Schedule s;
  const torch::Tensor bars = golden("alphas_bar"), tilde = golden("tilde_betas_t");
  for (std::int64_t t = 0; t < 1000; ++t) {
    ASSERT_NEAR(s.alpha_bar(t), bars[t].item<double>(), 1e-13);
    ASSERT_NEAR(s.posterior_variance(t), tilde[t].item<double>(), 1e-15);
  }
  EXPECT_NEAR(s.signal(999), 0.00635281809, 1e-10);  // section 15.1
  EXPECT_NEAR(s.signal(259) * s.noise(259), 0.499994306, 1e-8);
}

TEST(Sampler, RecordedTimesteps) {
  const auto json = nlohmann::json::parse(read_file(LAV_GOLDEN_DIR "/diffusion/c_timesteps.json"));
  int lists = 0;
  const auto check = [&](const std::string& key, const nlohmann::json& list) {
    if (!list.is_array() || list.empty() || !list[0].is_number()) return;
    ++lists;
    EXPECT_EQ(sample_timesteps(Schedule(), static_cast<int>(list.size())), list.get<std::vector<std::int64_t>>()) << key;
  };
  for (const auto& [key, value] : json.items()) {
    check(key, value);
    if (value.is_object())
      for (const auto& [inner, list] : value.items()) check(key + "." + inner, list);
  }
  EXPECT_GT(lists, 3);
  EXPECT_THROW(sample_timesteps(Schedule(), 0), Error);
}

TEST(TrainingLoss, RecordedValueAndGradient) {
  const Golden golden("c_train_loss.npz");
  auto unet = recorded_unet();
  torch::Tensor x0 = golden("x0").requires_grad_(true);
  const TrainingLoss loss = training_loss(*unet, Schedule(), x0, golden("t"), golden("noise"));
  EXPECT_NEAR(loss.value.item<double>(), golden("loss").item<double>(), 1e-4 * golden("loss").item<double>());
  for (int q = 0; q < 4; ++q)
    EXPECT_NEAR(loss.quartiles[static_cast<std::size_t>(q)], golden("quartile")[q].item<double>(), 1e-4 * golden("quartile").max().item<double>());
  loss.value.backward();
  EXPECT_LT(worst(x0.grad(), golden("grad_x0")), 1e-4);
}

TEST(Sampler, RecordedDdimWithNoiseAndDdpm) {
  auto unet = recorded_unet();
  const torch::NoGradGuard no_grad;
  const Denoiser denoiser = [&](const torch::Tensor& x, std::int64_t t) { return unet->forward(x, torch::full({x.size(0)}, t, torch::kInt64)); };
  SampleOptions options;
  options.steps = 10;
  options.noise = [](int i) { return named("diff.step" + std::to_string(i), {1, 12, 32, 96}, Kind::kNormal); };
  {
    const Golden golden("c_ddpm10_small.npz");
    options.variance = SampleOptions::Variance::kSmall;
    EXPECT_LT(worst(sample_ddpm(denoiser, Schedule(), golden("noise"), options), golden("final")), 1e-4);
  }
  {
    // The recorded run ends in NaN at eta = 1; its states before are compared by stopping early.
    const Golden golden("c_ddim10_eta1.npz");
    options.eta = 1.0;
    int calls = 0;
    std::vector<torch::Tensor> seen;
    const Denoiser watched = [&](const torch::Tensor& x, std::int64_t t) {
      seen.push_back(x.clone());
      ++calls;
      return denoiser(x, t);
    };
    const torch::Tensor last = sample_ddim(watched, Schedule(), golden("noise"), options);
    EXPECT_LT(worst(seen.at(1), golden("x_after_1")), 1e-4);
    EXPECT_LT(worst(seen.at(5), golden("x_after_5")), 1e-4);
    EXPECT_LT(worst(seen.at(9), golden("x_after_9")), 1e-4);
    EXPECT_TRUE(torch::isfinite(last).all().item<bool>()) << "the last radicand is clamped";
  }
}

TEST(Sampler, DdimOfAKnownAnswerReturnsIt) {
  // A denoiser that knows x0: v = (a x - x0) / s. Every step points at x0, and the last returns it exactly.
  const Schedule s;
  torch::manual_seed(2);
  const torch::Tensor x0 = torch::rand({1, 2, 4, 4}) - 0.5;
  const Denoiser oracle = [&](const torch::Tensor& x, std::int64_t t) { return (s.signal(t) * x - x0) / s.noise(t); };
  SampleOptions options;
  options.steps = 7;
  EXPECT_LT((sample_ddim(oracle, s, torch::randn({1, 2, 4, 4}), options) - x0).abs().max().item<float>(), 1e-5F);
}

}  // namespace
}  // namespace layeravatar::diffusion
