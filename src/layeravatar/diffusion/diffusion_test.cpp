#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/recorded_for_test.h"
#include "layeravatar/diffusion/sampler.h"
#include "layeravatar/diffusion/training_loss.h"
#include "layeravatar/nn/named_tensors.h"

namespace layeravatar::diffusion {
namespace {

// Names and shapes of the parameters of the recorded U-Net, in the order of an optimiser's state.
std::vector<std::pair<std::string, std::vector<std::int64_t>>> recorded_parameters() {
  const auto json = nlohmann::json::parse(read_file(LAV_GOLDEN_DIR "/diffusion/b_unet_small.json"));
  return json.at("param_order").get<std::vector<std::pair<std::string, std::vector<std::int64_t>>>>();
}

// Norms of all parameters' gradients against the recorded ones. A convolution's bias in front of a norm with one
// channel per group has a true gradient of zero: the floor is 1e-5 of the largest norm.
void expect_recorded_gradient_norms(const UNet& unet, const torch::Tensor& want) {
  const auto parameters = unet.named_parameters();
  ASSERT_EQ(want.numel(), static_cast<std::int64_t>(parameters.size()));
  const double largest = want.max().item<double>();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const double norm = want[static_cast<std::int64_t>(i)].item<double>();
    EXPECT_NEAR(parameters[i].value().grad().norm().item<double>(), norm, 1e-4 * norm + 1e-5 * largest)
        << parameters[i].key();
  }
}

TEST(DeterministicValues, CheckVectors) {
  const auto json = nlohmann::json::parse(read_file(LAV_GOLDEN_DIR "/diffusion/det_testvectors.json"));
  ASSERT_EQ(json.size(), 4U);
  for (const auto& [name, entry] : json.items()) {
    EXPECT_EQ(testing::crc32_of(name), entry.at("crc32").get<std::uint32_t>());
    const auto expect_first = [&](const char* key, const std::vector<float>& got) {
      const auto want = entry.at(key).get<std::vector<double>>();
      for (std::size_t i = 0; i < want.size(); ++i)
        EXPECT_EQ(got.at(i), static_cast<float>(want[i])) << name << " " << key;
    };
    expect_first("u_first8", testing::deterministic(name, 8, Kind::kUnit));
    expect_first("v_first4", testing::deterministic(name, 4, Kind::kSigned));
    expect_first("n_first4", testing::deterministic(name, 4, Kind::kNormal));
    if (!entry.contains("shape")) continue;
    const auto weights = testing::deterministic_weights(name, entry.at("shape").get<std::vector<std::int64_t>>());
    expect_first("w_first4", weights);
    double sum = 0;
    for (const float w : weights) sum += w;
    EXPECT_NEAR(sum, entry.at("w_sum").get<double>(), 1e-9);
  }
}

TEST(UNet, ParametersHaveTheRecordedNamesShapesAndOrder) {
  UNetConfig config;
  config.image_size = {32, 96};
  config.base_channels = 64;
  const auto parameters = UNet(config).named_parameters();
  const auto want = recorded_parameters();
  ASSERT_EQ(parameters.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(parameters[i].key(), want[i].first);
    EXPECT_EQ(parameters[i].value().sizes().vec(), want[i].second) << want[i].first;
  }
}

TEST(UNet, UnfilledItHasTheSameTensors) {
  UNetConfig config;
  config.image_size = {16, 48};
  config.base_channels = 16;
  config.channel_factors = {1, 2};
  config.attention_res = {8};
  config.prior_rank = 2;
  const UNet drawn(config);
  UNet unfilled(config, Fill::kNone);
  const auto own = unfilled.named_parameters();
  ASSERT_EQ(own.size(), drawn.named_parameters().size());
  for (const auto& p : drawn.named_parameters()) EXPECT_EQ(own[p.key()].sizes(), p.value().sizes()) << p.key();
  nn::share_named_tensors(unfilled, nn::named_tensors(drawn), "drawn");
  const torch::Tensor x = torch::rand({1, config.in_channels, 16, 48}), t = torch::full({1}, 500, torch::kInt64);
  EXPECT_EQ(unfilled.forward(x, t).sizes(), x.sizes());
}

TEST(UNet, RecordedOutputAndGradients) {
  const Golden golden("b_unet_small.npz");
  auto unet = recorded_unet();
  torch::Tensor x = named("unet_small.x", {2, 12, 32, 96}, Kind::kNormal).requires_grad_(true);
  const torch::Tensor out = unet->forward(x, golden("t"));
  EXPECT_LT(worst(out, golden("out")), 2e-5);
  (out * named("unet_small.g", {2, 12, 32, 96}, Kind::kNormal)).sum().backward();
  EXPECT_LT(worst(x.grad(), golden("grad_x")), 5e-5);
  expect_recorded_gradient_norms(*unet, golden("grad_norm"));
}

TEST(UNet, RecordedBlocks) {
  const Golden golden("b_unet_small.npz");
  std::vector<std::string> order;
  for (int k = 0; k < 18; ++k) order.push_back("in_blocks." + std::to_string(k));
  order.emplace_back("mid_blocks");
  for (int k = 0; k < 18; ++k) order.push_back("out_blocks." + std::to_string(k));
  auto unet = recorded_unet();
  std::map<std::string, torch::Tensor> outputs;
  unet->observe([&](const std::string& block, const torch::Tensor& output) { outputs[block] = output; });
  const torch::NoGradGuard no_grad;
  unet->forward(named("unet_small.x", {2, 12, 32, 96}, Kind::kNormal), golden("t"));
  ASSERT_EQ(outputs.size(), order.size());
  const torch::Tensor stats = golden("block_stats");
  for (std::size_t i = 0; i < order.size(); ++i) {
    ASSERT_TRUE(outputs.contains(order[i])) << order[i];
    const torch::Tensor o = outputs.at(order[i]).to(torch::kFloat64), want = stats[static_cast<std::int64_t>(i)];
    const double scale = want[1].item<double>();  // the deviation
    const double got[] = {o.mean().item<double>(), o.std(false).item<double>(), o.min().item<double>(), o.max().item<double>()};
    for (std::int64_t k = 0; k < 4; ++k) EXPECT_NEAR(got[k], want[k].item<double>(), 1e-4 * scale) << order[i] << " " << k;
    EXPECT_NEAR(o.norm().item<double>(), want[4].item<double>(), 1e-5 * want[4].item<double>()) << order[i];
  }
  EXPECT_LT(worst(outputs.at("mid_blocks"), golden("block_mid")), 2e-5);
  EXPECT_LT(worst(outputs.at("in_blocks.1").slice(2, 0, 32, 4).slice(3, 0, 96, 4), golden("block_in1")), 2e-5);
  EXPECT_LT(worst(outputs.at("in_blocks.9"), golden("block_in9")), 2e-5);
}

TEST(UNet, TheBatchDoesNotMixItsImages) {
  const Golden golden("b_unet_small.npz");
  auto unet = recorded_unet();
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = named("unet_small.x", {2, 12, 32, 96}, Kind::kNormal);
  EXPECT_LT(worst(unet->forward(x.slice(0, 1, 2), torch::tensor({37})), golden("out").slice(0, 1, 2)), 2e-5);
}

// Rounded activations: near the float32 network in value and in the direction of every gradient, never equal to it.
TEST(UNet, Bfloat16StaysNearFloat32) {
  auto unet = recorded_unet();
  const torch::Tensor t = torch::tensor({37, 900});
  const auto run = [&](Precision precision) {
    unet->set_precision(precision);
    unet->zero_grad();
    torch::Tensor x = named("unet_small.x", {2, 12, 32, 96}, Kind::kNormal).requires_grad_(true);
    const torch::Tensor out = unet->forward(x, t);
    EXPECT_EQ(out.scalar_type(), torch::kFloat32);
    (out * named("unet_small.g", {2, 12, 32, 96}, Kind::kNormal)).sum().backward();
    std::map<std::string, torch::Tensor> all{{"out", out.detach()}, {"x", x.grad().clone()}};
    for (const auto& p : unet->named_parameters()) all[p.key()] = p.value().grad().clone();
    return all;
  };
  const auto want = run(Precision::kFloat32);
  auto got = run(Precision::kBfloat16);
  const double out_error = ((got["out"] - want.at("out")).norm() / want.at("out").norm()).item<double>();
  EXPECT_LT(out_error, 0.02);
  EXPECT_GT(out_error, 1e-4) << "ran in float32";
  double largest = 0;
  for (const auto& [name, gradient] : want) largest = std::max(largest, gradient.norm().item<double>());
  for (const auto& [name, gradient] : want) {
    const double size = gradient.norm().item<double>();
    if (size < 1e-3 * largest) continue;  // a true gradient of zero: the bias before a norm with one channel per group
    EXPECT_GT((got[name] * gradient).sum().item<double>() / (size * got[name].norm().item<double>()), 0.99) << name;
  }
}

// As wide as the default profile's planes: oneDNN 2.6.3 gets the weight gradient wrong there when it pads itself.
TEST(UNet, Bfloat16GradientsOfWideImages) {
  UNetConfig config;
  config.image_size = {16, 288};
  config.base_channels = 64;
  config.channel_factors = {0.75, 1};
  UNet unet(config);
  {
    const torch::NoGradGuard no_grad;
    for (const auto& p : unet.named_parameters())
      p.value().copy_(tensor::from_floats(testing::deterministic_weights("wide." + p.key(), p.value().sizes().vec()),
                                          p.value().sizes()));
  }
  const torch::Tensor x = named("wide.x", {2, 12, 16, 288}, Kind::kNormal), g = named("wide.g", {2, 12, 16, 288}, Kind::kNormal);
  const auto gradients = [&](Precision precision) {
    unet.set_precision(precision);
    unet.zero_grad();
    { const torch::Tensor stale = torch::full({1 << 22}, std::nanf("")); }  // what an unwritten read would find
    (unet.forward(x, torch::tensor({37, 900})) * g).sum().backward();
    std::map<std::string, torch::Tensor> out;
    for (const auto& p : unet.named_parameters())
      if (p.key().ends_with("weight") && p.value().dim() == 4) out[p.key()] = p.value().grad().clone();
    return out;
  };
  const auto want = gradients(Precision::kFloat32), got = gradients(Precision::kBfloat16);
  for (const auto& [name, gradient] : want)
    EXPECT_GT((got.at(name) * gradient).sum().item<double>() / (gradient.norm() * got.at(name).norm()).item<double>(), 0.99)
        << name;
}

TEST(UNet, RefusesWhatCannotBeBuilt) {
  const auto message = [](auto&& change) {
    UNetConfig config;
    change(config);
    try {
      config.check();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kConfig);
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(message([](UNetConfig& c) {
              c.image_size = {144, 384};
            }),
            "unet image_size = 144, must be a multiple of 32");
  EXPECT_EQ(message([](UNetConfig& c) { c.heads = 0; }), "unet heads = 0, must be >= 1");
  EXPECT_EQ(message([](UNetConfig& c) { c.channel_factors = {1e-3}; }),
            "unet channel_factors = 0.001, must be such that its 0 channels are a multiple of 4 heads");
  EXPECT_EQ(message([](UNetConfig& c) { c.channel_factors = {std::nan("")}; }),
            "unet channel_factors = nan, must be in (0, 1024]");
  EXPECT_EQ(message([](UNetConfig& c) { c.attention_res = {0}; }), "unet attention_res = 0, must be >= 1");
  EXPECT_EQ(message([](UNetConfig& c) { c.base_channels = 33; }), "unet base_channels = 33, must be even, in 2..4096");
}

TEST(UNet, StartsAtZero) {
  UNetConfig config;
  config.image_size = {16, 48};
  config.base_channels = 32;
  config.channel_factors = {0.5, 1, 2};
  UNet unet(config);
  EXPECT_EQ(unet.forward(torch::randn({1, 12, 16, 48}), torch::tensor({5})).abs().max().item<float>(), 0.0F);
  // 36 channels: 18 groups, the largest number below 32 that divides them.
  config.channel_factors = {1.125, 1};
  EXPECT_EQ(UNet(config).forward(torch::randn({2, 12, 16, 48}), torch::tensor({5, 7})).sizes().vec(),
            (std::vector<std::int64_t>{2, 12, 16, 48}));
  EXPECT_THROW(unet.forward(torch::randn({1, 12, 16, 32}), torch::tensor({5})), Error);
}

TEST(Sampler, RecordedTimesteps) {
  const auto json = nlohmann::json::parse(read_file(LAV_GOLDEN_DIR "/diffusion/c_timesteps.json"));
  ASSERT_EQ(json.size(), 14U);
  for (const auto& [steps, list] : json.items())
    EXPECT_EQ(sample_timesteps(Schedule(), std::stoi(steps)), list.get<std::vector<std::int64_t>>()) << steps;
  EXPECT_THROW(sample_timesteps(Schedule(), 0), Error);
  EXPECT_THROW(sample_timesteps(Schedule(), 1001), Error);
}

TEST(TrainingLoss, RecordedValueAndGradient) {
  const Golden golden("c_train_loss.npz");
  auto unet = recorded_unet();
  torch::Tensor x0 = (0.5 * named("diff.x0", {4, 12, 32, 96}, Kind::kNormal)).requires_grad_(true);
  const torch::Tensor noise = named("diff.noise", {4, 12, 32, 96}, Kind::kNormal);
  const TrainingLoss loss = training_loss(*unet, Schedule(), x0, golden("t"), noise);
  EXPECT_NEAR(loss.value.item<double>(), golden("loss").item<double>(), 1e-4 * golden("loss").item<double>());
  for (int q = 0; q < 4; ++q)
    EXPECT_NEAR(loss.quartiles[static_cast<std::size_t>(q)], golden("quartile")[q].item<double>(),
                1e-4 * golden("quartile").max().item<double>());
  loss.value.backward();
  EXPECT_LT(worst(x0.grad(), golden("grad_x0")), 1e-4);
  expect_recorded_gradient_norms(*unet, golden("param_grad_norm"));
}

TEST(TrainingLoss, FlatWeightsAreTheMeanOfTheReleases) {
  UNetConfig config;
  config.image_size = {16, 48};
  config.base_channels = 32;
  config.channel_factors = {0.5, 1};
  UNet silent(config);  // predicts zero
  const Schedule s;
  const torch::Tensor x0 = named("flat.x0", {1, 12, 16, 48}, Kind::kNormal), noise = named("flat.n", {1, 12, 16, 48}, Kind::kNormal);
  double mean = 0;
  for (std::int64_t t = 0; t < 1000; ++t) mean += s.signal(t) * s.noise(t) / 1000;
  for (const std::int64_t t : {3, 980}) {
    const auto loss = [&](Weighting weighting) {
      return training_loss(silent, s, x0, torch::tensor({t}), noise, 20.0, weighting).value.item<double>();
    };
    const double ratio = loss(Weighting::kFlat) / loss(Weighting::kSnr);
    EXPECT_NEAR(ratio, mean / (s.signal(t) * s.noise(t)), 1e-4 * ratio) << t;
  }
}

TEST(Sampler, RecordedDdimWithNoiseAndDdpm) {
  auto unet = recorded_unet();
  const torch::NoGradGuard no_grad;
  const Denoiser denoiser = [&](const torch::Tensor& x, std::int64_t t) {
    return unet->forward(x, torch::full({x.size(0)}, t, torch::kInt64));
  };
  SampleOptions options;
  options.steps = 10;
  options.noise = [](int i) { return named("diff.step" + std::to_string(i), {1, 12, 32, 96}, Kind::kNormal); };
  {
    const Golden golden("c_ddpm10_small.npz");
    options.variance = SampleOptions::Variance::kSmall;
    std::vector<torch::Tensor> seen;
    const Denoiser watched = [&](const torch::Tensor& x, std::int64_t t) {
      seen.push_back(x.clone());
      return denoiser(x, t);
    };
    EXPECT_LT(worst(sample_ddpm(watched, Schedule(), golden("noise"), options), golden("final")), 1e-4);
    EXPECT_LT(worst(seen.at(1), golden("x_after_1")), 1e-4);
  }
  {
    // The recorded run ends in NaN at eta = 1; its states before are compared by stopping early.
    const Golden golden("c_ddim10_eta1.npz");
    options.eta = 1.0;
    std::vector<torch::Tensor> seen;
    const Denoiser watched = [&](const torch::Tensor& x, std::int64_t t) {
      seen.push_back(x.clone());
      return denoiser(x, t);
    };
    const torch::Tensor last = sample_ddim(watched, Schedule(), golden("noise"), options);
    EXPECT_LT(worst(seen.at(1), golden("x_after_1")), 1e-4);
    EXPECT_LT(worst(seen.at(5), golden("x_after_5")), 1e-4);
    EXPECT_LT(worst(seen.at(9), golden("x_after_9")), 1e-4);
    EXPECT_TRUE(torch::isfinite(last).all().item<bool>()) << "the last radicand is clamped";
  }
}

// One step from t = 999: what the noise adds is its standard deviation.
TEST(Sampler, AncestralVariances) {
  const Schedule s;
  const Denoiser silent = [](const torch::Tensor& x, std::int64_t) { return torch::zeros_like(x); };
  const auto spread = [&](SampleOptions::Variance variance) {
    SampleOptions options;
    options.steps = 1;
    options.variance = variance;
    const auto end = [&](float z) {
      options.noise = [z](int) { return torch::full({1, 1, 1, 1}, z); };
      return sample_ddpm(silent, s, torch::zeros({1, 1, 1, 1}), options).item<double>();
    };
    return end(1.0F) - end(0.0F);
  };
  EXPECT_NEAR(spread(SampleOptions::Variance::kSmall), std::sqrt(s.posterior_variance(999)), 1e-7);
  EXPECT_NEAR(spread(SampleOptions::Variance::kLarge), std::sqrt(1e-4 + (2e-2 - 1e-4) * 998 / 999), 1e-7);  // beta_998
}

TEST(Sampler, ReportsProgressAndClampsToTheRange) {
  const Schedule s;
  const Denoiser far = [&](const torch::Tensor& x, std::int64_t t) {
    return (s.signal(t) * x - 5.0) / s.noise(t);
  };  // x0 = 5
  SampleOptions options;
  options.steps = 3;
  std::vector<int> done;
  options.progress = [&](int at, int of) { done.push_back(10 * at + of); };
  EXPECT_EQ(sample_ddim(far, s, torch::zeros({1, 1, 1, 1}), options).item<float>(), 2.0F);
  EXPECT_EQ(done, (std::vector<int>{13, 23, 33}));
  options.eta = 0.5;
  EXPECT_THROW(sample_ddim(far, s, torch::zeros({1, 1, 1, 1}), options), Error);
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
