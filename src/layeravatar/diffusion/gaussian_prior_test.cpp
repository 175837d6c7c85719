#include "layeravatar/diffusion/gaussian_prior.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "layeravatar/diffusion/unet.h"

namespace layeravatar::diffusion {
namespace {

constexpr int kRows = 8, kColumns = 16;

std::vector<torch::Tensor> planes_of(int count, std::uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  std::vector<torch::Tensor> out;
  for (int i = 0; i < count; ++i) out.push_back(torch::randn({2, kRows, kColumns}, generator, torch::TensorOptions()) * 0.3 + 0.2);
  return out;
}

torch::Tensor block_means(const torch::Tensor& x) {  // [n, 2, 8, 16] -> [n, 16], by hand
  torch::Tensor out = torch::zeros({x.size(0), 2, 2, 4}, torch::kFloat64);
  for (std::int64_t r = 0; r < kRows; ++r)
    for (std::int64_t c = 0; c < kColumns; ++c) out.select(2, r / 4).select(2, c / 4) += x.select(2, r).select(2, c).to(torch::kFloat64) / 16;
  return out.flatten(1);
}

// The posterior mean written with dense covariances: mu + a S (a^2 S + s^2/16 I)^-1 (y - a mu).
TEST(GaussianPrior, EstimateIsTheDensePosteriorMean) {
  const auto planes = planes_of(6, 3);
  GaussianPrior prior(2, {kRows, kColumns}, 16);
  EXPECT_FALSE(prior.fitted());
  prior.fit(planes);
  ASSERT_TRUE(prior.fitted());
  const torch::Tensor z = block_means(torch::stack(planes)), mu = z.mean(0), d = z - mu;
  const torch::Tensor covariance = d.t().matmul(d) / 6;
  const torch::Tensor x = torch::stack(planes_of(3, 4)), t = torch::tensor({20, 400, 900});
  const torch::Tensor got = block_means(prior.estimate(x, t));
  const Schedule schedule;
  for (std::int64_t b = 0; b < 3; ++b) {
    const double a = schedule.signal(t[b].item<int>()), s = schedule.noise(t[b].item<int>());
    const torch::Tensor y = block_means(x)[b] - a * mu;
    const torch::Tensor inner = a * a * covariance + s * s / 16 * torch::eye(16, torch::kFloat64);
    const torch::Tensor want = mu + a * covariance.matmul(torch::linalg_solve(inner, y.unsqueeze(1))).squeeze(1);
    EXPECT_LT((got[b] - want).abs().max().item<double>(), 1e-5) << b;
  }
}

TEST(GaussianPrior, ANetworkWithoutTrainingGivesThePriorsVelocityUnderStrongNoise) {
  UNetConfig config;
  config.image_size = {16, 48};
  config.in_channels = 4;
  config.base_channels = 8;
  config.channel_factors = {1, 2};
  config.attention_res = {};
  config.prior_rank = 5;
  UNet unet(config);
  const torch::Tensor x = torch::randn({2, 4, 16, 48}), t = torch::tensor({999, 0});
  EXPECT_EQ(unet.forward(x, t).abs().max().item<float>(), 0);  // not fitted: nothing is added
  std::vector<torch::Tensor> planes;
  for (int i = 0; i < 8; ++i) planes.push_back(torch::randn({4, 16, 48}));
  unet.prior()->fit(planes);
  const torch::Tensor v = unet.forward(x, t), wanted = unet.prior()->mean() - unet.prior()->estimate(x, t);
  EXPECT_GT(wanted[0].abs().max().item<float>(), 0);
  EXPECT_LT((v[0] - wanted[0]).abs().max().item<float>(), 1e-3);  // s is almost 1
  EXPECT_LT(v[1].abs().max().item<float>(), 1e-3);                // s is almost 0
}

TEST(GaussianPrior, HasNoMoreComponentsThanPlanesAllow) {
  GaussianPrior prior(2, {kRows, kColumns}, 16);
  prior.fit(planes_of(4, 8));
  const auto buffers = prior.named_buffers();
  EXPECT_EQ((buffers["variance"] > 0).sum().item<int>(), 3);
  const torch::Tensor basis = buffers["basis"].flatten(1).slice(0, 0, 3);
  EXPECT_LT((basis.matmul(basis.t()) - torch::eye(3)).abs().max().item<double>(), 1e-5);
}

}  // namespace
}  // namespace layeravatar::diffusion
