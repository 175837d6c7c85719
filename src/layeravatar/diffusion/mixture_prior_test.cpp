#include "layeravatar/diffusion/mixture_prior.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <torch/torch.h>

#include <cmath>
#include <numbers>

#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/kernels/prior_kernel.h"
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

// Part 0 has the left block of both channels, part 3 the right one.
torch::Tensor two_owners() {
  torch::Tensor out = torch::zeros({2, kRows, kColumns}, torch::kUInt8);
  out.slice(2, 8) = 3;
  return out;
}

// Frequencies that are kept: [n, 256 texels], and their numbers.
struct Kept {
  torch::Tensor rows, numbers;
};
Kept kept_of(const torch::Tensor& stack) {
  const torch::Tensor order = stack.matmul(cosine_planes().t()).square().mean(0).argsort(0, true).slice(0, 0, 2 * kRows * kColumns / 9);
  return {cosine_planes().index_select(0, order), order};
}

// The covariance of texels around a class: of its members in the kept frequencies, kDrift across, and the others' own.
torch::Tensor covariance_of(const torch::Tensor& stack, const torch::Tensor& own_part, const std::vector<std::int64_t>& members) {
  const Kept kept = kept_of(stack);
  const torch::Tensor mask = own_part.flatten().to(torch::kFloat64);
  const torch::Tensor of_part = kept.rows.index_select(0, ((kept.rows * mask).abs().sum(1) > 1e-9).nonzero().squeeze(1));
  const torch::Tensor z = stack.index_select(0, torch::tensor(members)).matmul(of_part.t()).matmul(of_part), around = z - z.mean(0);
  constexpr double kDrift2 = MixturePrior::kDrift * MixturePrior::kDrift;
  return around.t().matmul(around) / static_cast<double>(members.size()) + kDrift2 * of_part.t().matmul(of_part);
}

torch::Tensor rest_covariance(const torch::Tensor& stack) {
  const torch::Tensor frequencies = cosine_planes(), strength = stack.matmul(frequencies.t()).square().mean(0);
  const torch::Tensor numbers = kept_of(stack).numbers;
  torch::Tensor out = torch::zeros({2 * kRows * kColumns, 2 * kRows * kColumns}, torch::kFloat64);
  for (std::int64_t group = 0; group < 2 * 64; ++group) {  // channel and frequency; two blocks each
    double sum = 0;
    std::vector<std::int64_t> others;
    for (std::int64_t block = 0; block < 2; ++block) {
      const std::int64_t i = (group / 64) * 128 + block * 64 + group % 64;
      if ((numbers == i).any().item<bool>()) continue;
      others.push_back(i);
      sum += strength[i].item<double>();
    }
    for (const std::int64_t i : others) out += sum / static_cast<double>(others.size()) * frequencies[i].outer(frequencies[i]);
  }
  return out;
}

// Six planes are one class of each part: the parts are independent Gaussians, here with dense matrices of texels.
TEST(MixturePrior, OfOneClassIsTheDenseGaussianOfEachPart) {
  const auto planes = planes_of(6, 3);
  MixturePrior prior(2, {kRows, kColumns}, 16);
  EXPECT_FALSE(prior.fitted());
  prior.fit(planes, two_owners());
  ASSERT_TRUE(prior.fitted());
  constexpr std::int64_t kTexels = 2 * kRows * kColumns;
  const torch::Tensor stack = torch::stack(planes).to(torch::kFloat64).flatten(1), kept = kept_of(stack).rows;
  const torch::Tensor mu = stack.mean(0).matmul(kept.t()).matmul(kept), rest = rest_covariance(stack);
  torch::Tensor covariance = rest.clone();
  for (const int part : {0, 3}) covariance += covariance_of(stack, two_owners() == part, {0, 1, 2, 3, 4, 5});
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

// Planes of two kinds in part 0, each with its own directions: the posterior weighs the two Gaussians by their evidence.
TEST(MixturePrior, OfTwoClassesIsTheDenseMixture) {
  const auto owner = two_owners();
  const auto kinds = planes_of(4, 21), noise = planes_of(16, 22);
  std::vector<torch::Tensor> planes;
  for (std::int64_t i = 0; i < 16; ++i) {
    const std::int64_t kind = i % 2;
    planes.push_back(torch::where(owner == 0, (kind == 0 ? 1.0 : -1.0) * kinds[0] + noise[static_cast<std::size_t>(i)][0][0][0] * kinds[static_cast<std::size_t>(2 + kind)],
                                  0.1 * noise[static_cast<std::size_t>(i)]));
  }
  MixturePrior prior(2, {kRows, kColumns}, 15);
  prior.fit(planes, owner);
  std::vector<std::int64_t> even, odd;
  for (std::int64_t i = 0; i < 16; ++i) (i % 2 == 0 ? even : odd).push_back(i);
  const torch::Tensor weight = prior.named_buffers()["weight"];
  ASSERT_EQ(weight[0][0].item<double>(), 0.5);
  ASSERT_EQ(weight[0][1].item<double>(), 0.5);
  const torch::Tensor stack = torch::stack(planes).to(torch::kFloat64).flatten(1), kept = kept_of(stack).rows, rest = rest_covariance(stack);
  const torch::Tensor mask = (owner == 0).flatten().to(torch::kFloat64), eye = torch::eye(2 * kRows * kColumns, torch::kFloat64);
  const Schedule schedule;
  const auto x0 = planes_of(1, 23)[0];
  for (const int t : {500, 700, 900, 990}) {
    const double a = schedule.signal(t), s = schedule.noise(t);
    const torch::Tensor y = (0.05 * a * planes[1] + s * x0).flatten().to(torch::kFloat64);
    std::vector<torch::Tensor> means, evidence;
    for (const auto& members : {even, odd}) {
      const torch::Tensor mu = stack.index_select(0, torch::tensor(members)).mean(0).matmul(kept.t()).matmul(kept);
      const torch::Tensor covariance = covariance_of(stack, owner == 0, members) + rest * mask * mask.unsqueeze(1), d = (y - a * mu) * mask;
      const torch::Tensor sum = a * a * covariance + s * s * eye, solved = torch::linalg_solve(sum, d.unsqueeze(1)).squeeze(1);
      means.push_back((mu + a * covariance.matmul(solved)) * mask);
      evidence.push_back(-0.5 * (d.dot(solved) + torch::logdet(sum)));
    }
    const torch::Tensor share = torch::softmax(torch::stack(evidence), 0);
    const torch::Tensor want = share[0] * means[0] + share[1] * means[1];
    const torch::Tensor got = prior.estimate(y.reshape({1, 2, kRows, kColumns}).to(torch::kFloat32), torch::tensor({t})).flatten() * mask;
    EXPECT_LT((got - want).abs().max().item<double>(), 0.015 * want.abs().max().item<double>()) << t << " share " << share[0].item<double>();
    if (t == 900) {  // both are possible there
      EXPECT_GT(share[0].item<double>(), 0.05);
      EXPECT_LT(share[0].item<double>(), 0.95);
    }
  }
}

// Blocks that two parts share: what is seen of one says nothing of the other.
TEST(MixturePrior, PartsAreIndependentTexelByTexel) {
  torch::Tensor owner = torch::zeros({2, kRows, kColumns}, torch::kUInt8);
  owner.slice(2, 5) = 1;
  owner[1].slice(0, 3) = 4;
  MixturePrior prior(2, {kRows, kColumns}, 8);
  prior.fit(planes_of(9, 5), owner);
  const torch::Tensor t = torch::tensor({200}), x = planes_of(1, 6)[0].unsqueeze(0), other = planes_of(1, 7)[0].unsqueeze(0);
  const torch::Tensor before = prior.estimate(x, t)[0];
  for (const int part : {0, 1, 4}) {
    const torch::Tensor after = prior.estimate(torch::where(owner == part, other[0], x[0]).unsqueeze(0), t)[0], moved = (after - before).abs();
    EXPECT_EQ(moved.masked_select(owner != part).max().item<float>(), 0) << part;
    EXPECT_GT(moved.masked_select(owner == part).max().item<float>(), 0.01) << part;
  }
}

// of_components of unit normal numbers has the covariance of the planes' strong frequencies in each part; to_components is
// its transpose.
TEST(MixturePrior, ComponentsMakePlanes) {
  const auto planes = planes_of(6, 3);
  MixturePrior prior(2, {kRows, kColumns}, 16);
  prior.fit(planes, two_owners());
  const torch::Tensor stack = torch::stack(planes).to(torch::kFloat64).flatten(1), kept = kept_of(stack).rows;
  const torch::Tensor z = stack.matmul(kept.t()).matmul(kept), centred = z - z.mean(0), mask = (two_owners() == 0).flatten();
  const torch::Tensor want = centred.t().matmul(centred) / 6 * (mask == mask.unsqueeze(1));
  torch::Tensor got = torch::zeros_like(want);
  const std::int64_t count = MixturePrior::kParts * prior.rank();
  for (std::int64_t k = 0; k < count; ++k) {
    const torch::Tensor part = prior.of_components(torch::eye(count)[k].reshape({MixturePrior::kParts, -1})).flatten().to(torch::kFloat64);
    got += part.outer(part);
  }
  EXPECT_LT((got - want).abs().max().item<double>(), 0.01 * want.abs().max().item<double>());  // 8 bits
  const torch::Tensor c = torch::randn({MixturePrior::kParts, prior.rank()}), y = planes_of(1, 9)[0];
  EXPECT_NEAR((prior.of_components(c) * y).sum().item<double>(), (c * prior.to_components(y)).sum().item<double>(), 1e-4);
}

TEST(PriorKernels, TransformMaskedBlocksAndBack) {
  const std::vector<std::int64_t> block{1, 0, 3, 1}, order{1, 0, 3, 2}, begin{0, 1, 3, 3, 4};
  const torch::Tensor x = torch::stack({planes_of(1, 31)[0], planes_of(1, 32)[0]}), masks = torch::rand({4, 8, 8}), cosine = cosine_matrix(torch::kFloat32);
  const PriorBlocks blocks{2, 2, kRows, kColumns, 4, cosine.data_ptr<float>(), block.data(), masks.data_ptr<float>(), order.data(), begin.data()};
  const torch::Tensor got = torch::empty({2, 4, 8, 8});
  prior_frequencies_cpu(blocks, x.data_ptr<float>(), got.data_ptr<float>());
  const torch::Tensor frequencies = torch::randn({2, 4, 8, 8});
  torch::Tensor back = torch::zeros_like(x), planes = torch::empty_like(x);
  for (std::int64_t image = 0; image < 2; ++image)
    for (std::int64_t q = 0; q < 4; ++q) {
      const std::int64_t b = block[static_cast<std::size_t>(q)];
      const auto texels = [&](const torch::Tensor& of) { return of[image][b / 2].slice(1, b % 2 * 8, b % 2 * 8 + 8); };
      EXPECT_LT((got[image][q] - block_cosine((texels(x) * masks[q]).reshape({1, 1, 8, 8})).reshape({8, 8})).abs().max().item<float>(), 1e-6);
      texels(back) += masks[q] * inverse_block_cosine(frequencies[image][q].reshape({1, 1, 1, 1, 8, 8}))[0][0];
    }
  prior_planes_cpu(blocks, frequencies.data_ptr<float>(), planes.data_ptr<float>());
  EXPECT_LT((planes - back).abs().max().item<float>(), 2e-6);
}

TEST(PriorKernels, MultiplyByTheBasisOfEachPart) {
  constexpr std::int64_t kRank = 5, kWidth = 300;
  const std::vector<std::int64_t> columns{0, 7, 7, 300};
  const torch::Tensor basis = torch::randint(-127, 128, {kRank, kWidth}).to(torch::kInt8), step = torch::rand({3, kRank}) / 127;
  const PriorBasis args{2, 3, kRank, kWidth, columns.data(), basis.data_ptr<std::int8_t>(), step.data_ptr<float>()};
  const torch::Tensor x = torch::randn({2, kWidth}), y = torch::randn({2, 3, kRank}), to = torch::empty({2, 3, kRank}), of = torch::empty({2, kWidth});
  prior_to_basis_cpu(args, x.data_ptr<float>(), to.data_ptr<float>());
  prior_of_basis_cpu(args, y.data_ptr<float>(), of.data_ptr<float>());
  for (std::int64_t p = 0; p < 3; ++p) {
    const auto own = [&](const torch::Tensor& t) { return t.slice(1, columns[static_cast<std::size_t>(p)], columns[static_cast<std::size_t>(p + 1)]).to(torch::kFloat64); };
    const torch::Tensor matrix = own(basis) * step[p].unsqueeze(1);
    EXPECT_TRUE(torch::allclose(to.select(1, p).to(torch::kFloat64), own(x).matmul(matrix.t()), 1e-5, 1e-5)) << p;
    EXPECT_TRUE(torch::allclose(own(of), y.select(1, p).to(torch::kFloat64).matmul(matrix), 1e-5, 1e-5)) << p;
  }
}

TEST(MixturePrior, TheEstimateHasAGradient) {
  MixturePrior prior(2, {kRows, kColumns}, 8);
  prior.fit(planes_of(9, 5), two_owners());
  const torch::Tensor x = torch::stack(planes_of(2, 6)), along = torch::stack(planes_of(2, 7)), by = torch::stack(planes_of(2, 8)), t = torch::tensor({200, 700});
  const auto value = [&](const torch::Tensor& at) { return (prior.estimate(at, t) * by).to(torch::kFloat64).sum(); };
  const torch::Tensor source = x.clone().requires_grad_(true);
  const double got = (torch::autograd::grad({value(source)}, {source})[0] * along).sum().item<double>();
  constexpr double kApart = 1e-2;
  EXPECT_NEAR(got, ((value(x + kApart * along) - value(x - kApart * along)) / (2 * kApart)).item<double>(), 2e-3 * std::abs(got));
}

TEST(WardClusters, JoinsWhatAddsLeastToTheSquaredDistances) {
  const torch::Tensor x = torch::tensor({0.0, 10.0, 0.1, 10.2, 30.0, 0.3, 10.1}, torch::kFloat64);
  const torch::Tensor distances = (x.unsqueeze(0) - x.unsqueeze(1)).square();
  EXPECT_EQ(ward_clusters(distances, 3, 1), (std::vector<int>{0, 1, 0, 1, 2, 0, 1}));
  EXPECT_EQ(ward_clusters(distances, 3, 2), (std::vector<int>{0, 1, 0, 1, 1, 0, 1}));  // 30 is alone and joins the nearest
  EXPECT_EQ(ward_clusters(distances, 1, 1), (std::vector<int>(7, 0)));
  EXPECT_EQ(ward_clusters(distances, 7, 1), (std::vector<int>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(ward_clusters(distances, 7, 8), (std::vector<int>(7, 0)));
}

TEST(MixturePrior, RefusesAnIndexOutsideThePlanes) {
  MixturePrior prior(2, {kRows, kColumns}, 4);
  prior.check("file");
  prior.named_buffers()["index"][3] = MixturePrior::kParts * 2 * kRows * kColumns;
  try {
    prior.check("file");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "file: tensor 'prior.index': found 0..1280, expected 0..1279");
  }
  prior.named_buffers()["index"][3] = 1;
  EXPECT_THROW(prior.check("file"), Error);  // falls after
  prior.named_buffers()["index"][3] = 0;
  prior.check("file");
  prior.named_buffers()["owner"][1][2][3] = MixturePrior::kParts;
  EXPECT_THROW(prior.check("file"), Error);
}

TEST(MixturePrior, ANetworkWithoutTrainingIsTheMixturesDenoiser) {
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
  unet.prior()->fit(planes, torch::randint(5, {4, 16, 48}).to(torch::kUInt8));
  const torch::Tensor x = torch::randn({2, 4, 16, 48}), t = torch::tensor({999, 3});
  const torch::Tensor v = unet.forward(x, t), wanted = unet.prior()->velocity(x, unet.prior()->estimate(x, t), t);
  EXPECT_GT(wanted.abs().max().item<float>(), 0.1);
  EXPECT_TRUE(v.equal(wanted));
  const torch::Tensor bias = unet.named_parameters()["out.conv.bias"];
  const torch::NoGradGuard no_grad;
  bias.fill_(2);
  EXPECT_TRUE(torch::allclose(unet.forward(x, t) - wanted, 2 * unet.prior()->deviation(t).expand_as(x), 1e-4, 1e-4));
}

TEST(MixturePrior, GivesTheSameBitsForAnyNumberOfThreads) {
  constexpr std::int64_t kHeight = 96, kWidth = 288;  // a default pack's planes: smaller products stay on one thread anyway
  MixturePrior prior(12, {kHeight, kWidth}, 24);
  auto generator = at::detail::createCPUGenerator(11);
  std::vector<torch::Tensor> planes;
  for (int i = 0; i < 25; ++i) planes.push_back(torch::randn({12, kHeight, kWidth}, generator, torch::TensorOptions()));
  prior.fit(planes, torch::randint(MixturePrior::kParts, {12, kHeight, kWidth}, generator).to(torch::kUInt8));
  const torch::Tensor x = torch::stack({planes[3], planes[7]}), t = torch::tensor({700, 20});
  const int threads = omp_get_max_threads();
  torch::Tensor estimate, deviation;
  for (const int count : {1, 2, 3}) {
    omp_set_num_threads(count);
    const torch::Tensor one = prior.estimate(x, t), other = prior.deviation(t);
    EXPECT_EQ(omp_get_max_threads(), count);
    if (estimate.defined()) {
      EXPECT_TRUE(one.equal(estimate)) << count;
      EXPECT_TRUE(other.equal(deviation)) << count;
    }
    estimate = one;
    deviation = other;
  }
  omp_set_num_threads(threads);
}

TEST(MixturePrior, HasNoMoreComponentsThanPlanesAllow) {
  MixturePrior prior(2, {kRows, kColumns}, 16);
  prior.fit(planes_of(4, 8), torch::zeros({2, kRows, kColumns}, torch::kUInt8));
  const auto buffers = prior.named_buffers();
  EXPECT_EQ((buffers["deviation"] > 0).sum().item<int>(), 3);
  const torch::Tensor basis = (buffers["basis"] * buffers["step"][0].unsqueeze(1)).slice(0, 0, 3);
  EXPECT_LT((basis.matmul(basis.t()) - torch::eye(3)).abs().max().item<double>(), 0.02);  // 8 bits
}

}  // namespace
}  // namespace layeravatar::diffusion
