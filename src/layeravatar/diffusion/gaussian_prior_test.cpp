#include "layeravatar/diffusion/gaussian_prior.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <numbers>

#include "layeravatar/core/error.h"
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

// Every plane of the 8 x 8 cosine transform, [256 frequencies, 256 texels], by hand.
torch::Tensor cosine_planes() {
  torch::Tensor out = torch::zeros({2 * kRows * kColumns, 2, kRows, kColumns}, torch::kFloat64);
  std::int64_t i = 0;
  for (int channel = 0; channel < 2; ++channel)
    for (int block = 0; block < kColumns / 8; ++block)
      for (int u = 0; u < 8; ++u)
        for (int v = 0; v < 8; ++v, ++i)
          for (int r = 0; r < 8; ++r)
            for (int c = 0; c < 8; ++c)
              out[i][channel][r][8 * block + c] = (u == 0 ? std::sqrt(0.125) : 0.5) * (v == 0 ? std::sqrt(0.125) : 0.5) *
                                                  std::cos((r + 0.5) * u * std::numbers::pi / 8) * std::cos((c + 0.5) * v * std::numbers::pi / 8);
  return out.flatten(1);
}

TEST(BlockCosine, IsOrthonormalAndHasAnInverse) {
  const torch::Tensor x = torch::stack(planes_of(3, 8)), frequencies = block_cosine(x);
  EXPECT_EQ(frequencies.sizes(), torch::IntArrayRef({3, 2, 1, 2, 8, 8}));
  EXPECT_LT((frequencies.flatten(1) - x.to(torch::kFloat64).flatten(1).matmul(cosine_planes().t())).abs().max().item<double>(), 1e-5);
  EXPECT_LT((inverse_block_cosine(frequencies) - x).abs().max().item<double>(), 1e-5);
  EXPECT_THROW(block_cosine(x.slice(3, 0, 12)), Error);
}

// Posterior mean and covariance written with dense matrices of texels: mu + a S (a^2 S + s^2 I)^-1 (x - a mu) and
// S - a^2 S (a^2 S + s^2 I)^-1 S.
TEST(GaussianPrior, IsTheDenseGaussian) {
  const auto planes = planes_of(6, 3);
  GaussianPrior prior(2, {kRows, kColumns}, 16);
  EXPECT_FALSE(prior.fitted());
  prior.fit(planes);
  ASSERT_TRUE(prior.fitted());
  constexpr std::int64_t kTexels = 2 * kRows * kColumns, kKept = kTexels / 9;
  const torch::Tensor stack = torch::stack(planes).to(torch::kFloat64).flatten(1), frequencies = cosine_planes();
  const torch::Tensor strength = stack.matmul(frequencies.t()).square().mean(0), order = strength.argsort(0, true);
  const torch::Tensor kept = frequencies.index_select(0, order.slice(0, 0, kKept));
  const torch::Tensor z = stack.matmul(kept.t()).matmul(kept), mu = z.mean(0), known = (z - mu).t().matmul(z - mu) / 6;
  const torch::Tensor span = (z - mu).t().matmul(torch::linalg_pinv((z - mu).t()));  // projection on the five components
  torch::Tensor covariance = known + GaussianPrior::kDrift * GaussianPrior::kDrift * (kept.t().matmul(kept) - span);
  for (std::int64_t group = 0; group < 2 * 64; ++group) {  // channel and frequency; two blocks each
    double sum = 0;
    std::vector<std::int64_t> others;
    for (std::int64_t block = 0; block < 2; ++block) {
      const std::int64_t i = (group / 64) * 128 + block * 64 + group % 64;
      if ((order.slice(0, 0, kKept) == i).any().item<bool>()) continue;
      others.push_back(i);
      sum += strength[i].item<double>();
    }
    for (const std::int64_t i : others) covariance += sum / static_cast<double>(others.size()) * frequencies[i].outer(frequencies[i]);
  }
  EXPECT_LT((prior.mean().flatten() - mu).abs().max().item<double>(), 1e-5);
  const torch::Tensor x = torch::stack(planes_of(3, 4)), t = torch::tensor({20, 400, 900});
  const torch::Tensor got = prior.estimate(x, t), velocity = prior.velocity(x, got, t), deviation = prior.deviation(t);
  const Schedule schedule;
  for (std::int64_t b = 0; b < 3; ++b) {
    const double a = schedule.signal(t[b].item<int>()), s = schedule.noise(t[b].item<int>());
    const torch::Tensor y = x[b].flatten().to(torch::kFloat64);
    const torch::Tensor gain = a * torch::linalg_solve(a * a * covariance + s * s * torch::eye(kTexels, torch::kFloat64), covariance);
    const torch::Tensor moved = gain.t().matmul((y - a * mu).unsqueeze(1)).squeeze(1), mean = mu + moved;
    const double size = moved.abs().max().item<double>();
    EXPECT_GT(size, 0.002) << b;
    EXPECT_LT((got[b].flatten() - mean).abs().max().item<double>(), 0.01 * size) << b;  // basis in 8 bits
    EXPECT_LT((velocity[b].flatten() - (a * (y - a * mean) / s - s * mean)).abs().max().item<double>(), 0.01 * size / s) << b;
    const double left = (covariance - a * gain.t().matmul(covariance)).trace().item<double>() / kTexels;
    EXPECT_NEAR(deviation[b].item<double>(), std::sqrt(left) / s, 0.01 * std::sqrt(left) / s) << b;
  }
}

// of_components of unit normal numbers has the covariance of the planes' strong frequencies; to_components is its transpose.
TEST(GaussianPrior, ComponentsMakePlanes) {
  const auto planes = planes_of(6, 3);
  GaussianPrior prior(2, {kRows, kColumns}, 16);
  prior.fit(planes);
  const torch::Tensor stack = torch::stack(planes).to(torch::kFloat64).flatten(1), frequencies = cosine_planes();
  const torch::Tensor kept = frequencies.index_select(0, stack.matmul(frequencies.t()).square().mean(0).argsort(0, true).slice(0, 0, 2 * kRows * kColumns / 9));
  const torch::Tensor z = stack.matmul(kept.t()).matmul(kept), centred = z - z.mean(0), want = centred.t().matmul(centred) / 6;
  torch::Tensor got = torch::zeros_like(want);
  for (std::int64_t k = 0; k < prior.rank(); ++k) {
    const torch::Tensor part = prior.of_components(torch::eye(prior.rank())[k]).flatten().to(torch::kFloat64);
    got += part.outer(part);
  }
  EXPECT_LT((got - want).abs().max().item<double>(), 0.01 * want.abs().max().item<double>());  // 8 bits
  const torch::Tensor c = torch::randn({prior.rank()}), y = planes_of(1, 9)[0];
  EXPECT_NEAR((prior.of_components(c) * y).sum().item<double>(), (c * prior.to_components(y)).sum().item<double>(), 1e-4);
}

TEST(GaussianPrior, RefusesAnIndexOutsideThePlanes) {
  GaussianPrior prior(2, {kRows, kColumns}, 4);
  prior.check("file");
  prior.named_buffers()["index"][3] = 2 * kRows * kColumns;
  try {
    prior.check("file");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "file: tensor 'prior.index': found 0..256, expected 0..255");
  }
}

TEST(GaussianPrior, ANetworkWithoutTrainingIsTheGaussiansDenoiser) {
  UNetConfig config;
  config.image_size = {16, 48};
  config.in_channels = 4;
  config.base_channels = 8;
  config.channel_factors = {1, 2};
  config.attention_res = {};
  config.prior_rank = 5;
  UNet unet(config);
  std::vector<torch::Tensor> planes;
  for (int i = 0; i < 8; ++i) planes.push_back(torch::randn({4, 16, 48}));
  unet.prior()->fit(planes);
  const torch::Tensor x = torch::randn({2, 4, 16, 48}), t = torch::tensor({999, 3});
  const torch::Tensor v = unet.forward(x, t), wanted = unet.prior()->velocity(x, unet.prior()->estimate(x, t), t);
  EXPECT_GT(wanted.abs().max().item<float>(), 0.1);
  EXPECT_TRUE(v.equal(wanted));
  const torch::Tensor bias = unet.named_parameters()["out.conv.bias"];
  const torch::NoGradGuard no_grad;
  bias.fill_(2);
  EXPECT_TRUE(torch::allclose(unet.forward(x, t) - wanted, 2 * unet.prior()->deviation(t).expand_as(x), 1e-4, 1e-4));
}

TEST(GaussianPrior, HasNoMoreComponentsThanPlanesAllow) {
  GaussianPrior prior(2, {kRows, kColumns}, 16);
  prior.fit(planes_of(4, 8));
  const auto buffers = prior.named_buffers();
  EXPECT_EQ((buffers["deviation"] > 0).sum().item<int>(), 3);
  const torch::Tensor basis = (buffers["basis"] * buffers["step"].unsqueeze(1)).slice(0, 0, 3);
  EXPECT_LT((basis.matmul(basis.t()) - torch::eye(3)).abs().max().item<double>(), 0.02);  // 8 bits
}

}  // namespace
}  // namespace layeravatar::diffusion
