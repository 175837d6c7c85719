#include "layeravatar/diffusion/prior_attributes.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <array>
#include <cmath>
#include <limits>

#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/mixture_prior.h"

namespace layeravatar::diffusion {
namespace {

constexpr std::int64_t kPeople = 60, kRank = 6, kAxes = 16;
constexpr float kOpen = std::numeric_limits<float>::quiet_NaN();

// One part with two classes, people in turn; values 0..2 are known of most, words 0 of class 0, 1 of all, 2 of every fourth.
struct Example {
  PriorAttributes attributes{1, 3, kAxes, kRank};
  Classes own;
  torch::Tensor y, u;

  Example() {
    auto generator = at::detail::createCPUGenerator(5);
    u = torch::randn({kPeople, 3}, generator, torch::TensorOptions()) + 1;
    u.select(1, 1) += 2 * u.select(1, 0);
    const torch::Tensor noise = torch::randn({kPeople, kRank}, generator, torch::TensorOptions()) * 0.3;
    const torch::Tensor slope = torch::randn({kRank, 3}, generator, torch::TensorOptions());
    std::vector<int> cluster;
    for (int i = 0; i < kPeople; ++i) cluster.push_back(i % 2);
    const torch::Tensor of = torch::arange(kPeople).remainder(2).unsqueeze(1);
    y = (u.matmul(slope.t()) + noise + 4.0 * of).to(torch::kFloat64);
    u = u + 0.5 * of;
    u[7][2] = kOpen;
    torch::Tensor words = torch::zeros({kPeople, 3}, torch::kBool);
    words.select(1, 0).copy_(of.squeeze(1) == 0);
    words.select(1, 1).fill_(true);
    words.select(1, 2).copy_(torch::arange(kPeople).remainder(4) == 0);
    attributes.fit_part(0, y, cluster, words, u);
    own = {torch::tensor({0.5F, 0.5F, 0.0F}).unsqueeze(0), torch::zeros({1, 3, kRank}), torch::zeros({1, 3, kAxes, kRank}), torch::zeros({1, 3, kAxes})};
    for (std::int64_t l = 0; l < 2; ++l) own.centre[0][l].copy_(y.slice(0, l, kPeople, 2).mean(0));
  }
  [[nodiscard]] torch::Tensor buffer(const std::string& name) const { return attributes.named_buffers()[name][0].to(torch::kFloat64); }
};

torch::Tensor covariance_of(const torch::Tensor& axes, const torch::Tensor& spread) {
  const torch::Tensor rows = (axes * spread.unsqueeze(1)).to(torch::kFloat64);
  return rows.t().matmul(rows);
}

double largest(const torch::Tensor& difference) { return difference.abs().max().item<double>(); }

TEST(PriorAttributes, NothingAskedForLeavesTheMixtureAsItIs) {
  const Example e;
  const Classes out = e.attributes.given(e.own, no_condition(1));
  EXPECT_TRUE(torch::equal(out.weight, e.own.weight));
  EXPECT_TRUE(torch::equal(out.centre, e.own.centre));
  EXPECT_TRUE(torch::equal(out.axes, e.own.axes));
}

TEST(PriorAttributes, WordsChooseClassesByBayesRule) {
  const Example e;
  const auto weights = [&](std::initializer_list<std::int64_t> words) {
    Condition asked = no_condition(1);
    for (const std::int64_t w : words) asked.words[0][w] = true;
    return e.attributes.given(e.own, asked).weight[0];
  };
  EXPECT_LT(largest(weights({0}) - torch::tensor({1.0F, 0.0F, 0.0F})), 1e-6);
  EXPECT_LT(largest(weights({1}) - torch::tensor({0.5F, 0.5F, 0.0F})), 1e-6);
  EXPECT_LT(largest(weights({1, 2}) - torch::tensor({1.0F, 0.0F, 0.0F})), 1e-6);  // people 0, 4, ...: all of class 0
  EXPECT_THROW(weights({0, 5}), Error);
}

// The model's joint Gaussian of components and values, conditioned by the dense formula.
TEST(PriorAttributes, ValuesConditionTheJointGaussian) {
  const Example e;
  Condition asked = no_condition(1);
  asked.values[0][0] = 1.7;
  asked.values[0][2] = -0.4;
  const Classes out = e.attributes.given(e.own, asked);
  const torch::Tensor keep = torch::arange(3), s = torch::tensor({0, 2}), target = torch::tensor({1.7, -0.4}, torch::kFloat64);
  const torch::Tensor sigma = e.buffer("value_covariance").index_select(0, keep).index_select(1, keep), slope = e.buffer("slope").index_select(1, keep);
  const torch::Tensor s_s = sigma.index_select(0, s).index_select(1, s), y_s = slope.matmul(sigma).index_select(1, s);
  std::vector<double> density;
  for (std::int64_t l = 0; l < 2; ++l) {
    const torch::Tensor off = target - e.buffer("value_mean")[l].index_select(0, s);
    const torch::Tensor centre = e.own.centre[0][l].to(torch::kFloat64) + y_s.matmul(torch::linalg_inv(s_s)).matmul(off);
    EXPECT_LT(largest(out.centre[0][l] - centre), 1e-4) << l;
    const torch::Tensor rest = covariance_of(e.buffer("axes")[l], e.buffer("spread")[l]);
    const torch::Tensor whole = slope.matmul(sigma).matmul(slope.t()) + rest;
    const torch::Tensor left = whole - y_s.matmul(torch::linalg_inv(s_s)).matmul(y_s.t());
    EXPECT_LT(largest(covariance_of(out.axes[0][l], out.spread[0][l]) - left), 1e-3 * largest(left)) << l;
    EXPECT_LT(largest(out.axes[0][l].slice(0, 0, kRank).matmul(out.axes[0][l].slice(0, 0, kRank).t()) - torch::eye(kRank)), 1e-4) << l;
    density.push_back(std::exp(-0.5 * off.matmul(torch::linalg_inv(s_s)).matmul(off).item<double>()));
  }
  EXPECT_NEAR(out.weight[0][0].item<double>(), density[0] / (density[0] + density[1]), 1e-5);
  EXPECT_EQ(out.weight[0][2].item<float>(), 0.0F);
}

// What is asked for is what people with it have: 0.3 of noise where components deviate by 2 and more.
TEST(PriorAttributes, AskedForValuesPredictComponents) {
  const Example e;
  double sum = 0, before = 0;
  for (std::int64_t i = 0; i < kPeople; ++i) {
    if (i == 7) continue;
    Condition asked = no_condition(1);
    asked.words[0][0] = i % 2 == 0;
    asked.values[0].slice(0, 0, 3).copy_(e.u[i]);
    const Classes out = e.attributes.given(e.own, asked);
    sum += (out.centre[0][i % 2] - e.y[i]).square().mean().item<double>();
    before += (e.own.centre[0][i % 2] - e.y[i]).square().mean().item<double>();
  }
  EXPECT_LT(sum, 0.15 * before);
}

// Planes of two kinds that differ by less than people of one kind do: Ward's clusters alone would not find them.
TEST(PriorAttributes, KindsTellTheClassesOfTheMixture) {
  auto generator = at::detail::createCPUGenerator(9);
  std::vector<torch::Tensor> planes;
  PeopleAttributes attributes;
  torch::Tensor kind = torch::arange(24).remainder(2);
  torch::Tensor pattern = torch::full({2, 8, 16}, 0.2);  // one frequency of each block, which the mixture's components keep
  pattern.slice(2, 8).mul_(-1);
  for (int i = 0; i < 24; ++i) {
    const double level = i < 12 ? 1 : -1;
    planes.push_back(torch::randn({2, 8, 16}, generator, torch::TensorOptions()) * 0.05 + level + (i % 2) * pattern);
  }
  for (std::int64_t p = 0; p < MixturePrior::kParts; ++p) {
    attributes.kinds.push_back(p == 0 ? kind : torch::full({24}, -1, torch::kInt64));
    attributes.words.push_back(torch::stack({kind == 0, kind == 1}, 1));
    attributes.values.push_back(torch::zeros({24, 0}));
  }
  MixturePrior prior(2, {8, 16}, 23, true);
  prior.fit(planes, torch::zeros({2, 8, 16}, torch::kUInt8), &attributes);
  const torch::Tensor t = torch::full({1}, 900, torch::kInt64), x = torch::randn({1, 2, 8, 16}, generator, torch::TensorOptions());
  std::array<torch::Tensor, 2> means;
  for (std::size_t k = 0; k < 2; ++k) {
    Condition asked = no_condition(MixturePrior::kParts);
    asked.words[0][static_cast<std::int64_t>(k)] = true;
    const Classes classes = prior.given(asked);
    means[k] = prior.estimate(x, t, &classes);
  }
  const torch::Tensor found = (means[1] - means[0])[0];
  EXPECT_GT((found * pattern).sum().item<double>() / std::sqrt(found.square().sum().item<double>() * pattern.square().sum().item<double>()), 0.9);
  EXPECT_NEAR(found.square().sum().item<double>() / pattern.square().sum().item<double>(), 1, 0.3);
  EXPECT_TRUE(torch::equal(prior.estimate(x, t), prior.estimate(x, t, nullptr)));
  Condition both = no_condition(MixturePrior::kParts);
  both.words[0].slice(0, 0, 2).fill_(true);
  EXPECT_THROW(prior.given(both), Error);
}

TEST(PriorAttributes, ABatchTakesAMixtureForEach) {
  const Example e;
  std::vector<torch::Tensor> planes;
  for (int i = 0; i < 8; ++i) planes.push_back(torch::randn({2, 8, 16}));
  MixturePrior prior(2, {8, 16}, 7, true);
  PeopleAttributes attributes;
  for (std::int64_t p = 0; p < MixturePrior::kParts; ++p) {
    attributes.kinds.push_back(torch::arange(8).remainder(2));
    attributes.words.push_back((torch::arange(8).remainder(2) == 0).unsqueeze(1));
    attributes.values.push_back(torch::randn({8, 2}));
  }
  prior.fit(planes, torch::randint(5, {2, 8, 16}).to(torch::kUInt8), &attributes);
  Condition asked = no_condition(MixturePrior::kParts);
  asked.words[1][0] = true;
  asked.values[4][1] = 0.5;
  const Classes first = prior.given(asked), second = prior.given(no_condition(MixturePrior::kParts)), both = stack({first, second});
  const torch::Tensor x = torch::randn({2, 2, 8, 16}), t = torch::tensor({700, 200});
  const torch::Tensor together = prior.estimate(x, t, &both);
  EXPECT_LT(largest(together.slice(0, 0, 1) - prior.estimate(x.slice(0, 0, 1), t.slice(0, 0, 1), &first)), 1e-5);
  EXPECT_LT(largest(together.slice(0, 1, 2) - prior.estimate(x.slice(0, 1, 2), t.slice(0, 1, 2))), 1e-5);
  EXPECT_GT(largest(prior.estimate(x, t) - together), 1e-4);
}

}  // namespace
}  // namespace layeravatar::diffusion
