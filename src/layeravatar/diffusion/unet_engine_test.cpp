#include "layeravatar/diffusion/unet_engine.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <torch/torch.h>

#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/kernels/unet_layers.h"
#include "layeravatar/diffusion/recorded_for_test.h"

namespace layeravatar::diffusion {
namespace {

// Every parameter from its name, none zero; a fitted prior.
std::shared_ptr<UNet> filled(const UNetConfig& config) {
  auto unet = std::make_shared<UNet>(config);
  const torch::NoGradGuard no_grad;
  for (const auto& p : unet->named_parameters())
    p.value().copy_(tensor::from_floats(testing::deterministic_weights("engine." + p.key(), p.value().sizes().vec()), p.value().sizes()));
  if (unet->prior()) {
    const std::vector<std::int64_t> size{config.in_channels, config.image_size[0], config.image_size[1]};
    std::vector<torch::Tensor> planes;
    for (int i = 0; i < 9; ++i) planes.push_back(named("engine.planes" + std::to_string(i), size, Kind::kNormal) * 0.5);
    unet->prior()->fit(planes, (torch::arange(size[0] * size[1] * size[2]).reshape(size) / 300 % 3).to(torch::kUInt8));
  }
  return unet;
}

UNetConfig sized(std::array<int, 2> image, int in, int base, std::vector<double> factors, int heads, std::vector<int> attention, int prior = 0) {
  UNetConfig c;
  c.image_size = image;
  c.in_channels = in;
  c.base_channels = base;
  c.channel_factors = std::move(factors);
  c.heads = heads;
  c.attention_res = std::move(attention);
  c.prior_rank = prior;
  return c;
}

const std::vector<UNetConfig>& engine_configs() {
  static const std::vector<UNetConfig> all = {
      sized({96, 288}, 12, 64, {0.75, 1.5, 2, 2, 3}, 4, {12, 6}, 8),  // the default profile's, with a prior
      sized({32, 96}, 12, 64, {0.5, 1, 2, 2, 4, 4}, 4, {16, 8, 4}),   // the recorded one's
      sized({20, 28}, 3, 22, {1, 1.5, 1.5}, 1, {20, 5}),              // odd everything: 22 and 33 channels, groups across the halves
      sized({14, 50}, 5, 10, {3, 5}, 2, {7}),                         // sides that no tile divides; heads of 25 channels
      sized({2, 2}, 1, 2, {1}, 1, {2}),                               // one channel per group and fewer pixels than a tile
  };
  return all;
}

struct Steps {
  torch::Tensor x, t;
  Steps(const UNetConfig& c, std::int64_t images)
      : x(named("engine.x", {images, c.in_channels, c.image_size[0], c.image_size[1]}, Kind::kNormal)), t((torch::arange(images) * 431 + 37) % 1000) {}
};

TEST(UNetEngine, Float32IsTheNetwork) {
  const torch::NoGradGuard no_grad;
  std::int64_t images = 1;
  for (const UNetConfig& config : engine_configs()) {
    auto unet = filled(config);
    UNetEngine engine(unet);
    const Steps in(config, images);
    EXPECT_LT(worst(engine.forward(in.x, in.t), unet->forward(in.x, in.t)), 1e-5) << config.image_size[1];
    images = images % 3 + 1;
  }
}

// Operands of the convolutions are rounded where the processor has tiles; elsewhere the numbers are float32's.
TEST(UNetEngine, Bfloat16StaysNearFloat32) {
  const torch::NoGradGuard no_grad;
  for (const UNetConfig& config : engine_configs()) {
    auto unet = filled(config);
    UNetEngine engine(unet);
    const Steps in(config, 2);
    const torch::Tensor want = engine.forward(in.x, in.t);
    unet->set_precision(Precision::kBfloat16);
    const torch::Tensor got = engine.forward(in.x, in.t);
    const double error = ((got - want).norm() / want.norm()).item<double>();
    EXPECT_LT(error, 0.02) << config.image_size[1];
    EXPECT_EQ(error > 1e-5, has_tiles()) << error;
  }
}

TEST(UNetEngine, RecordedOutput) {
  const Golden golden("b_unet_small.npz");
  UNetEngine engine(recorded_unet());
  const torch::Tensor x = named("unet_small.x", {2, 12, 32, 96}, Kind::kNormal);
  EXPECT_LT(worst(engine.forward(x, golden("t")), golden("out")), 2e-5);
}

TEST(UNetEngine, TheBitsDoNotDependOnThreads) {
  const int threads = omp_get_max_threads();
  for (const auto& [i, precision] : {std::pair{1U, Precision::kFloat32}, {2U, Precision::kFloat32}, {1U, Precision::kBfloat16}}) {
    auto unet = filled(engine_configs()[i]);
    unet->set_precision(precision);
    const Steps in(engine_configs()[i], 2);
    torch::Tensor first;
    for (const int n : {1, 2, 3}) {
      omp_set_num_threads(n);
      UNetEngine engine(unet);
      const torch::Tensor out = engine.forward(in.x, in.t);
      if (!first.defined()) first = out;
      EXPECT_TRUE(torch::equal(out, first)) << n;
    }
  }
  omp_set_num_threads(threads);
}

TEST(UNetEngine, FollowsTheParametersAndTheBatch) {
  const torch::NoGradGuard no_grad;
  auto unet = filled(engine_configs()[2]);
  UNetEngine engine(unet);
  const Steps three(engine_configs()[2], 3), one(engine_configs()[2], 1);
  EXPECT_TRUE(torch::equal(engine.forward(three.x, three.t).slice(0, 0, 1), engine.forward(one.x, one.t)));
  for (auto& p : unet->parameters()) p.mul_(0.9);
  EXPECT_LT(worst(engine.forward(three.x, three.t), unet->forward(three.x, three.t)), 1e-5);
}

TEST(UNetEngine, RefusesAnotherSize) {
  UNetEngine engine(filled(engine_configs()[4]));
  EXPECT_THROW(engine.forward(torch::zeros({1, 1, 2, 3}), torch::tensor({5})), Error);
  EXPECT_THROW(engine.forward(torch::zeros({1, 1, 2, 2}), torch::tensor({5, 6})), Error);
}

// Weights as a file may hold them: each parameter in turn missing, or of another size. Most are refused; what is taken must pack and run within its memory.
TEST(PackedUNet, TakesNoSizeOnTrust) {
  for (const int which : {2, 4}) {
    const UNetConfig& config = engine_configs()[static_cast<std::size_t>(which)];
    const std::shared_ptr<UNet> unet = filled(config);
    NamedWeights whole;
    for (const auto& p : unet->named_parameters()) whole[p.key()] = {p.value().data_ptr<float>(), p.value().sizes().vec()};
    const PackedUNet::Sizes sizes{config.image_size[0], config.image_size[1], config.in_channels, config.heads, false, false};
    std::size_t refused = 0, tried = 0;
    const auto try_with = [&](const NamedWeights& weights, const PackedUNet::Sizes& size) {
      ++tried;
      try {
        PackedUNet net(weights, nullptr, size);
        net.pack();
        const std::size_t pixels = static_cast<std::size_t>(size.rows * size.columns * size.channels);
        const std::vector<float> x(pixels), estimate(pixels), waves(static_cast<std::size_t>(net.wave_count()));
        std::vector<float> y(pixels);
        net.forward(x.data(), size.estimate ? estimate.data() : nullptr, waves.data(), 1, y.data());
      } catch (const Error&) {
        ++refused;
      }
    };
    for (const auto& [name, weight] : whole) {
      NamedWeights changed = whole;
      changed.erase(name);
      try_with(changed, sizes);
      for (std::size_t axis = 0; axis <= weight.shape.size(); ++axis)
        for (const std::int64_t size : {0, 1, 2, 3, 17, 400}) {
          std::vector<std::int64_t> shape = weight.shape;
          if (axis < shape.size()) shape[axis] = size;
          else shape.push_back(size);
          if (shape == weight.shape) continue;
          std::size_t count = 1;
          for (const std::int64_t n : shape) count *= static_cast<std::size_t>(n);
          const std::vector<float> values(count, 0.1F);
          changed[name] = {values.data(), shape};
          try_with(changed, sizes);
        }
    }
    EXPECT_GE(refused * 100, tried * 98) << refused << " of " << tried;
    for (const int n : {0, -1, 1 << 20})
      for (int k = 0; k < 4; ++k) {
        PackedUNet::Sizes other = sizes;
        (k == 0 ? other.rows : k == 1 ? other.columns : k == 2 ? other.channels : other.heads) = n;
        EXPECT_THROW(PackedUNet(whole, nullptr, other), Error) << k << " " << n;
      }
    PackedUNet::Sizes other = sizes;
    other.estimate = true;
    EXPECT_THROW(PackedUNet(whole, nullptr, other), Error);
    EXPECT_THROW(PackedUNet({}, nullptr, sizes), Error);
  }
}

}  // namespace
}  // namespace layeravatar::diffusion
