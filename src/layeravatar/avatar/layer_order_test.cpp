#include "layeravatar/avatar/layer_order.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>

#include "layeravatar/avatar/template_for_test.h"

namespace layeravatar::avatar {
namespace {

// The pairs and the sum, pair by pair in double.
double twin(const templates::LayeredTemplate& t, const torch::Tensor& offset, const torch::Tensor& opacity) {
  const std::vector<float> p = t.shifted_positions();
  double total = 0;
  const std::int64_t body = t.body_count(), outer = t.count() - body;
  for (std::int64_t i = body; i < t.count(); ++i) {
    double nearest = std::numeric_limits<double>::infinity();
    std::int64_t b = 0;
    for (std::int64_t j = 0; j < body; ++j) {
      double square = 0;
      for (std::int64_t k = 0; k < 3; ++k) {
        const double d = static_cast<double>(p[3 * i + k]) - static_cast<double>(p[3 * j + k]);
        square += d * d;
      }
      if (square < nearest) nearest = square, b = j;
    }
    double along = 0;
    for (std::int64_t k = 0; k < 3; ++k)
      along += t.frames[static_cast<std::size_t>(9 * b + 3 * k + 2)] *
               (p[static_cast<std::size_t>(3 * i + k)] + offset[i][k].item<double>() - p[static_cast<std::size_t>(3 * b + k)] -
                offset[b][k].item<double>());
    const double missing = std::max(0.0, 1 - along / LayerOrder::kMargin);
    total += opacity[i].item<double>() * missing * missing;
  }
  return total / static_cast<double>(outer);
}

TEST(LayerOrder, MatchesTheTwinWithGradientAndLeavesOpacityAlone) {
  const templates::LayeredTemplate layers = small_template();
  const LayerOrder order(layers);
  torch::manual_seed(5);
  torch::Tensor offset = (0.02 * torch::randn({layers.count(), 3})).requires_grad_(true);
  torch::Tensor opacity = torch::rand({layers.count()}).requires_grad_(true);
  const torch::Tensor loss = order.loss(offset, opacity);
  const double want = twin(layers, offset, opacity);
  ASSERT_GT(want, 0.0);
  EXPECT_NEAR(loss.item<double>(), want, 1e-5 * want);
  loss.backward();
  EXPECT_FALSE(opacity.grad().defined());
  const torch::NoGradGuard no_grad;
  const torch::Tensor direction = torch::randn_like(offset), step = 1e-5 * direction;
  const double slope = (twin(layers, offset + step, opacity) - twin(layers, offset - step, opacity)) / 2e-5;
  EXPECT_NEAR((offset.grad() * direction).sum().item<double>(), slope, 2e-3 * std::abs(slope));
}

TEST(LayerOrder, TheSkinsGradientIsThatOfTheLossWithoutTheGarments) {
  const templates::LayeredTemplate layers = small_template();
  torch::manual_seed(6);
  for (const bool shoes : {true, false}) {
    const LayerOrder order(layers, shoes);
    const torch::Tensor samples = torch::cat({torch::rand({layers.count(), 1}), 0.02 * torch::randn({layers.count(), 3})}, 1), got = order.skin_gradient(samples, 0.01);
    torch::Tensor offset = samples.slice(1, 1).clone().requires_grad_(true);
    torch::Tensor want = torch::autograd::grad({order.loss(offset, samples.select(1, 0), 0.01)}, {offset})[0];
    want.slice(0, layers.body_count()).zero_();
    EXPECT_GT(want.abs().max().item<float>(), 0.1F);
    EXPECT_TRUE(torch::allclose(got.slice(1, 1), want, 1e-4, 1e-5));
    EXPECT_EQ(got.select(1, 0).abs().max().item<float>(), 0);
  }
}

TEST(LayerOrder, NothingIsAskedOfWhatLiesFarEnoughOutOrCannotBeSeen) {
  const templates::LayeredTemplate layers = small_template();
  const LayerOrder order(layers);
  const torch::Tensor still = torch::zeros({layers.count(), 3});
  torch::Tensor sunk = still.clone();
  for (std::int64_t b = 0; b < layers.body_count(); ++b)
    for (std::int64_t k = 0; k < 3; ++k) sunk[b][k] = -1.0F * layers.frames[static_cast<std::size_t>(9 * b + 3 * k + 2)];
  EXPECT_EQ(order.loss(sunk, torch::ones({layers.count()})).item<float>(), 0.0F);
  EXPECT_GT(order.loss(-sunk, torch::ones({layers.count()})).item<float>(), 0.0F);
  EXPECT_EQ(order.loss(-sunk, torch::zeros({layers.count()})).item<float>(), 0.0F);
}

}  // namespace
}  // namespace layeravatar::avatar
