#include "layeravatar/nn/named_tensors.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "layeravatar/core/error.h"

namespace layeravatar::nn {
namespace {

torch::nn::Sequential small_net() { return torch::nn::Sequential(torch::nn::Linear(3, 2), torch::nn::BatchNorm1d(2)); }

TEST(Ema, MomentumOfTheSpec) {  // section 15.1
  EXPECT_NEAR(ema_momentum(0), 9.5367e-07, 1e-10);
  EXPECT_NEAR(ema_momentum(1), 9.765625e-04, 1e-12);
  EXPECT_NEAR(ema_momentum(9), 0.25, 1e-12);
  EXPECT_NEAR(ema_momentum(99), 0.870550563, 1e-9);
  EXPECT_NEAR(ema_momentum(9999), 0.998614666, 1e-9);
}

TEST(Ema, ParametersAverageAndBuffersAreCopied) {
  auto average = small_net(), value = small_net();
  const torch::NoGradGuard no_grad;
  for (auto& p : average->parameters()) p.fill_(1.0);
  for (auto& p : value->parameters()) p.fill_(3.0);
  value->named_buffers()["1.running_mean"].fill_(7.0);
  update_ema(*average, *value, 0.75);
  for (const auto& p : average->parameters()) EXPECT_NEAR(p.max().item<float>(), 1.5F, 1e-6);
  EXPECT_EQ(average->named_buffers()["1.running_mean"].max().item<float>(), 7.0F);
}

TEST(NamedTensors, GoRoundAndNameWhatIsWrong) {
  auto a = small_net(), b = small_net();
  load_named_tensors(*b, named_tensors(*a), "net");
  EXPECT_TRUE(torch::equal(a->parameters()[0], b->parameters()[0]));
  const auto message = [&](NamedTensors tensors) {
    try {
      load_named_tensors(*b, tensors, "net");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  NamedTensors missing = named_tensors(*a), extra = missing, shape = missing;
  missing.erase("0.bias");
  extra["2.bias"] = torch::zeros({1});
  shape["0.weight"] = torch::zeros({2, 4});
  for (auto& [name, tensor] : shape) tensor = tensor.to(torch::kFloat64) + 1;  // copies that must not arrive
  EXPECT_EQ(message(missing), "net: tensor '0.bias' is missing");
  EXPECT_EQ(message(extra), "net: unknown tensor '2.bias'");
  EXPECT_EQ(message(shape), "net: tensor '0.weight': expected [2, 3], found [2, 4]");
  EXPECT_TRUE(torch::equal(a->parameters()[1], b->parameters()[1]));
}

TEST(NamedTensors, AreSharedWhereTheTypeIsTheSame) {
  torch::nn::Linear layer(2, 2);
  const NamedTensors given{{"weight", torch::rand({2, 2})}, {"bias", torch::rand({2}, torch::kFloat64)}};
  share_named_tensors(*layer, given, "a.pt");
  EXPECT_EQ(layer->weight.data_ptr(), given.at("weight").data_ptr());
  EXPECT_TRUE(layer->weight.requires_grad());
  EXPECT_TRUE(torch::equal(layer->bias.detach(), given.at("bias").to(torch::kFloat32)));
  EXPECT_THROW(share_named_tensors(*layer, {{"weight", torch::rand({2, 2})}}, "a.pt"), Error);
}

TEST(AdamState, ARestoredOptimiserTakesTheSameSteps) {
  torch::manual_seed(1);
  auto a = small_net();
  torch::optim::Adam adam(a->parameters(), torch::optim::AdamOptions(0.1));
  const torch::Tensor x = torch::randn({5, 3});
  const auto step = [&](torch::nn::Sequential& net, torch::optim::Adam& optimiser) {
    optimiser.zero_grad();
    net->forward(x).square().sum().backward();
    optimiser.step();
  };
  step(a, adam);
  step(a, adam);
  auto b = small_net();
  load_named_tensors(*b, named_tensors(*a), "net");
  torch::optim::Adam other(b->parameters(), torch::optim::AdamOptions(0.1));
  NamedTensors state;
  for (const auto& [name, tensor] : adam_state(adam, *a)) state[name] = tensor.clone();
  load_adam_state(other, *b, state, "adam");
  step(a, adam);
  step(b, other);
  for (std::size_t i = 0; i < a->parameters().size(); ++i)
    EXPECT_TRUE(torch::equal(a->parameters()[i], b->parameters()[i]));
  NamedTensors broken = state;
  broken["1.bias.exp_avg_sq"] = torch::zeros({3});
  EXPECT_THROW(load_adam_state(other, *b, broken, "adam"), Error);
  broken = state;
  broken.erase("0.bias.exp_avg");
  EXPECT_THROW(load_adam_state(other, *b, broken, "adam"), Error);
  broken = state;
  broken["0.bias.step"] = torch::full({}, -1.0);
  EXPECT_THROW(load_adam_state(other, *b, broken, "adam"), Error);
  state["9.weight.step"] = torch::zeros({});
  EXPECT_THROW(load_adam_state(other, *b, state, "adam"), Error);
  // What failed to load left the optimiser as it was.
  step(a, adam);
  step(b, other);
  for (std::size_t i = 0; i < a->parameters().size(); ++i)
    EXPECT_TRUE(torch::equal(a->parameters()[i], b->parameters()[i]));
}

}  // namespace
}  // namespace layeravatar::nn
