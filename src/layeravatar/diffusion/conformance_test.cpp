// The conformance values of spec/model.md section 15 and the recorded noise levels.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/diffusion/recorded_for_test.h"
#include "layeravatar/diffusion/sampler.h"

namespace layeravatar::diffusion {
namespace {

TEST(UNet, OfficialSizeHasTheReleasesParameters) {
  const UNet unet({});
  const auto parameters = unet.named_parameters();
  const auto want = nlohmann::json::parse(read_file(LAV_GOLDEN_DIR "/diffusion/a_state_dict_unet.json"));
  ASSERT_EQ(parameters.size(), 488U);
  ASSERT_EQ(want.size(), 488U);
  std::int64_t count = 0;
  for (std::size_t i = 0; i < 488; ++i) {
    EXPECT_EQ(parameters[i].key(), want[i][0].get<std::string>());
    EXPECT_EQ(parameters[i].value().sizes().vec(), want[i][1].get<std::vector<std::int64_t>>()) << parameters[i].key();
    count += parameters[i].value().numel();
  }
  EXPECT_EQ(count, 123318988);
  EXPECT_TRUE(unet.buffers().empty());
}

// Section 15.2: every parameter and the input follow from sines.
TEST(UNet, OfficialSizeGivesTheSpecifiedOutputs) {
  struct Row {
    std::int64_t t;
    double mean, deviation, largest, first, second, third, last, embedding;
  };
  const Row rows[] = {{0, -0.0519677, 0.7103165, 1.618443, 0.303298, -0.463278, -0.979512, 0.077248, 5.515771},
                      {499, -0.0534184, 0.7348066, 1.843374, 0.089563, -0.050427, -0.363595, 0.063987, 0.652772},
                      {999, -0.0525835, 0.7214472, 1.663877, 0.266386, -0.364686, -0.948093, 0.073547, 5.032995}};
  const torch::NoGradGuard no_grad;
  UNet unet({});
  std::map<std::string, torch::Tensor> sorted;
  for (const auto& p : unet.named_parameters()) sorted[p.key()] = p.value();
  int k = 0;
  for (auto& [name, value] : sorted) {
    torch::Tensor s =
        torch::sin(torch::arange(value.numel(), torch::kFloat64) * 0.37 + 0.11 * k++).reshape(value.sizes());
    if (value.dim() == 2)
      s = s * (8.0 / std::sqrt(static_cast<double>(value.size(1))));
    else if (value.dim() > 2)
      s = s / std::sqrt(static_cast<double>(value.numel() / value.size(0)));
    else
      s = name.ends_with("weight") ? 1 + 0.1 * s : 0.1 * s;
    value.copy_(s);
  }
  const torch::Tensor x =
      torch::sin(torch::arange(12 * 128 * 384, torch::kFloat64) * 0.013).to(torch::kFloat32).reshape({1, 12, 128, 384});
  for (const Row& row : rows) {
    const torch::Tensor y = unet.forward(x, torch::tensor({row.t}))[0];
    EXPECT_NEAR(y.mean().item<double>(), row.mean, 1e-4);
    EXPECT_NEAR(y.std(false).item<double>(), row.deviation, 1e-4);
    EXPECT_NEAR(y.abs().max().item<double>(), row.largest, 1e-4);
    EXPECT_NEAR(y[0][0][0].item<double>(), row.first, 1e-4);
    EXPECT_NEAR(y[3][17][200].item<double>(), row.second, 1e-4);
    EXPECT_NEAR(y[6][64][192].item<double>(), row.third, 1e-4);
    EXPECT_NEAR(y[11][127][383].item<double>(), row.last, 1e-4);
    EXPECT_NEAR(unet.embed_time(torch::tensor({row.t}))[0][0].item<double>(), row.embedding, 1e-4);
  }
}

TEST(UNet, RecordedEmbeddingsOfTheStep) {
  const Golden golden("b_unet_small.npz");
  EXPECT_LT(worst(sinusoidal_embedding(golden("t"), 32), golden("sin_embedding")), 2e-5);
  auto unet = recorded_unet();
  const torch::NoGradGuard no_grad;
  EXPECT_LT(worst(unet->embed_time(golden("t")), golden("time_embedding")), 2e-5);
}

TEST(UNet, SinusoidalEmbeddingOfTheSpec) {  // section 15.1, float32 arithmetic
  const torch::Tensor e = sinusoidal_embedding(torch::tensor({999}), 64)[0];
  ASSERT_EQ(e.numel(), 128);
  const std::pair<int, double> want[] = {{0, 0.9996498},   {1, -0.3990206},  {63, 0.9933531},
                                         {64, -0.0264608}, {65, -0.9169420}, {127, 0.1151070}};
  for (const auto& [i, value] : want) EXPECT_NEAR(e[i].item<double>(), value, 1e-6) << i;
}

TEST(Schedule, ConformanceOfTheSpec) {  // section 15.1, nine digits
  struct Row {
    std::int64_t t;
    double alpha_bar, signal, noise, weight;
  };
  const Row rows[] = {{0, 0.9999, 0.999949999, 0.01, 0.00999949999},
                      {19, 0.994230952, 0.997111304, 0.0759542515, 0.0757348427},
                      {259, 0.497613812, 0.705417474, 0.708792063, 0.499994306},
                      {499, 0.0785872429, 0.280334163, 0.959902473, 0.269093456},
                      {759, 0.00287678293, 0.0536356498, 0.998560573, 0.0535584452},
                      {979, 6.02191042e-05, 0.00776009692, 0.99996989, 0.00775986326},
                      {999, 4.03582977e-05, 0.00635281809, 0.999979821, 0.00635268989}};
  const Schedule s;
  for (const Row& row : rows) {
    EXPECT_NEAR(s.alpha_bar(row.t), row.alpha_bar, 2e-9 * row.alpha_bar) << row.t;
    EXPECT_NEAR(s.signal(row.t), row.signal, 2e-9 * row.signal) << row.t;
    EXPECT_NEAR(s.noise(row.t), row.noise, 2e-9 * row.noise) << row.t;
    EXPECT_NEAR(s.signal(row.t) * s.noise(row.t), row.weight, 2e-9 * row.weight) << row.t;
  }
  std::int64_t best = 0;
  double sum = 0;
  for (std::int64_t t = 0; t < 1000; ++t) {
    const double w = s.signal(t) * s.noise(t);
    if (w > s.signal(best) * s.noise(best)) best = t;
    sum += w;
  }
  EXPECT_EQ(best, 258);
  EXPECT_NEAR(s.signal(best) * s.noise(best), 0.49999994, 5e-9);
  EXPECT_NEAR(sum / 1000, 0.2266621, 5e-8);
}

TEST(Schedule, RecordedTables) {
  const Golden golden("c_schedule.npz");
  const Schedule s;
  const auto expect = [&](const std::string& name, double relative, const std::function<double(std::int64_t)>& value) {
    const torch::Tensor want = golden(name).to(torch::kFloat64);
    ASSERT_EQ(want.numel(), 1000) << name;
    for (std::int64_t t = 0; t < 1000; ++t) {
      const double w = want[t].item<double>();
      ASSERT_NEAR(value(t), w, relative * std::abs(w) + 1e-15) << name << " " << t;
    }
  };
  expect("betas", 1e-13, [&](auto t) { return s.beta(t); });
  expect("alphas", 1e-15, [&](auto t) { return 1 - s.beta(t); });
  expect("alphas_bar", 1e-12, [&](auto t) { return s.alpha_bar(t); });
  expect("alphas_bar_prev", 1e-12, [&](auto t) { return s.alpha_bar(t - 1); });
  expect("alphas_bar_next", 1e-12, [&](auto t) { return t < 999 ? s.alpha_bar(t + 1) : 0.0; });
  expect("sqrt_alphas_bar", 1e-12, [&](auto t) { return s.signal(t); });
  expect("sqrt_one_minus_alphas_bar", 1e-12, [&](auto t) { return s.noise(t); });
  expect("log_one_minus_alphas_bar", 1e-12, [&](auto t) { return std::log(1 - s.alpha_bar(t)); });
  expect("sqrt_recip_alplas_bar", 1e-12, [&](auto t) { return 1 / s.signal(t); });
  expect("sqrt_recipm1_alphas_bar", 1e-11, [&](auto t) { return s.noise(t) / s.signal(t); });
  expect("tilde_betas_t", 1e-11, [&](auto t) { return s.posterior_variance(t); });
  expect("sampler_weight_f32", 1e-7, [&](auto t) { return s.signal(t) * s.noise(t); });
  expect("sampler_weight_EPS", 1e-7, [&](auto t) { return s.noise(t) / s.signal(t); });
  expect("sampler_weight_START_X", 1e-7, [&](auto t) { return s.signal(t) / s.noise(t); });
  const Schedule cosine = Schedule::cosine();
  expect("cosine_betas", 1e-10, [&](auto t) { return cosine.beta(t); });
}

// The ancestral sampler walks all 1000 steps with two signals: x0 = 0.5 shows both coefficients of the mean, noise 1 the
// variance.
TEST(Sampler, AncestralStepsFollowTheRecordedTables) {
  const Golden golden("c_schedule.npz");
  const torch::Tensor of_x0 = golden("tilde_mu_t_coef1"), of_x = golden("tilde_mu_t_coef2"),
                      log_variance = golden("log_tilde_betas_t_clipped");
  const Schedule s;
  for (const double z : {0.0, 1.0}) {
    std::vector<std::pair<std::int64_t, double>> seen;
    const Denoiser towards_half = [&](const torch::Tensor& x, std::int64_t t) {
      seen.emplace_back(t, x.item<double>());
      return (s.signal(t) * x - 0.5) / s.noise(t);
    };
    SampleOptions options;
    options.steps = 1000;
    options.variance = SampleOptions::Variance::kSmall;
    options.noise = [z](int) { return torch::full({1, 1, 1, 1}, z, torch::kFloat64); };
    const double last = sample_ddpm(towards_half, s, torch::ones({1, 1, 1, 1}, torch::kFloat64), options).item<double>();
    ASSERT_EQ(seen.size(), 1000U);
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const auto [t, x] = seen[i];
      ASSERT_EQ(t, 999 - static_cast<std::int64_t>(i));
      const double deviation = t > 0 ? std::exp(0.5 * log_variance[t].item<double>()) : 0.0;  // none at the end
      const double want = of_x0[t].item<double>() * 0.5 + of_x[t].item<double>() * x + z * deviation;
      ASSERT_NEAR(i + 1 < seen.size() ? seen[i + 1].second : last, want, 1e-9) << t;
    }
  }
}

}  // namespace
}  // namespace layeravatar::diffusion
