#include "layeravatar/eval/metrics.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <functional>

#include "layeravatar/eval/variety.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::eval {
namespace {

TEST(Metrics, BoxOfAMaskWithMargin) {
  torch::Tensor mask = torch::zeros({10, 20}, torch::kUInt8);
  mask[3][4] = 1;
  mask[6][18] = 2;
  const Box b = box_of(mask, 2);
  EXPECT_EQ(b.y0, 1);
  EXPECT_EQ(b.y1, 9);
  EXPECT_EQ(b.x0, 2);
  EXPECT_EQ(b.x1, 20) << "cut at the border";
  EXPECT_TRUE(box_of(torch::zeros({4, 4}), 2).empty());
}

TEST(Metrics, PsnrOfAKnownError) {
  const torch::Tensor a = torch::zeros({3, 8, 8}), b = torch::full({3, 8, 8}, 0.1F);
  EXPECT_NEAR(psnr(a, b, {0, 8, 0, 8}), 10 * std::log10(1 / (0.01 + 1e-6)), 1e-4);
  torch::Tensor half = a.clone();
  half.slice(2, 4, 8) += 1.0;  // outside of the box
  EXPECT_NEAR(psnr(a, half, {0, 8, 0, 4}), 60.0, 1e-6);
}

TEST(Metrics, RecordedPsnrOfThreeScenes) {
  const io::ArrayMap golden = io::read_npz(LAV_GOLDEN_DIR "/train/h_losses.npz");
  const auto get = [&](const std::string& name) { return tensor::to_tensor(golden.at(name)); };
  for (std::int64_t s = 0; s < 3; ++s) {
    const auto planar = [&](const std::string& name) { return get(name)[s].permute({2, 0, 1}).contiguous(); };
    EXPECT_NEAR(psnr(planar("psnr.a"), planar("psnr.b"), {0, 4, 0, 5}), get("psnr")[s].item<double>(), 1e-5) << s;
  }
}

TEST(Metrics, MaskedPsnrCountsItsPixelsAlone) {
  torch::Tensor a = torch::zeros({3, 4, 6}), b = a.clone(), mask = torch::zeros({4, 6}, torch::kBool);
  mask[1][2] = true;
  mask[3][5] = true;
  b[0][1][2] = 0.3F;  // one of six values
  b[1][0][0] = 1;     // not in the mask
  EXPECT_NEAR(masked_psnr(a, b, mask), 10 * std::log10(1 / (0.09 / 6 + 1e-6)), 1e-5);
  EXPECT_NEAR(masked_psnr(a, b, torch::ones({4, 6}, torch::kBool)), psnr(a, b, {0, 4, 0, 6}), 1e-9);
  EXPECT_ANY_THROW(masked_psnr(a, b, torch::zeros({4, 6}, torch::kBool)));
}

TEST(Metrics, SsimOfEqualConstantAndOppositeImages) {
  torch::manual_seed(1);
  const torch::Tensor a = torch::rand({3, 20, 20});
  const Box all{0, 20, 0, 20};
  EXPECT_NEAR(ssim(a, a, all), 1.0, 1e-9);
  // Two constants: only the first factor is left, (2 p q + C1) / (p^2 + q^2 + C1).
  const torch::Tensor p = torch::full({3, 20, 20}, 0.5F), q = torch::full({3, 20, 20}, 0.25F);
  EXPECT_NEAR(ssim(p, q, all), (2 * 0.125 + 1e-4) / (0.25 + 0.0625 + 1e-4), 1e-5);
  EXPECT_LT(ssim(a, 1 - a, all), 0.0);
  EXPECT_EQ(ssim(a, a, {0, 5, 0, 5}), 0.0);
}

// Window by window as written down, with weights w: means, then sums of weighted squares around them times `factor`.
double slow_ssim(const torch::Tensor& a, const torch::Tensor& b, const Box& box, std::int64_t n, const std::function<double(std::int64_t, std::int64_t)>& w, double factor) {
  double total = 0;
  int windows = 0;
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t y = box.y0; y + n <= box.y1; ++y)
      for (std::int64_t x = box.x0; x + n <= box.x1; ++x, ++windows) {
        double ma = 0, mb = 0, va = 0, vb = 0, cov = 0;
        const auto each = [&](const auto& f) {
          for (std::int64_t v = 0; v < n; ++v)
            for (std::int64_t u = 0; u < n; ++u) f(w(v, u), a[c][y + v][x + u].item<double>(), b[c][y + v][x + u].item<double>());
        };
        each([&](double k, double p, double q) { ma += k * p, mb += k * q; });
        each([&](double k, double p, double q) { va += k * (p - ma) * (p - ma), vb += k * (q - mb) * (q - mb), cov += k * (p - ma) * (q - mb); });
        va *= factor, vb *= factor, cov *= factor;
        total += (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma * ma + mb * mb + 1e-4) * (va + vb + 9e-4));
      }
  return total / windows;
}

TEST(Metrics, BothSsimsWindowByWindow) {
  torch::manual_seed(4);
  const torch::Tensor a = torch::rand({3, 14, 16}), b = (a + 0.3 * torch::rand({3, 14, 16})).clamp(0, 1);
  const Box box{1, 14, 2, 15};
  EXPECT_NEAR(ssim_uniform(a, b, box), slow_ssim(a, b, box, 7, [](std::int64_t, std::int64_t) { return 1.0 / 49; }, 49.0 / 48), 1e-9);
  double sum = 0;
  const auto bell = [](std::int64_t v, std::int64_t u) { return std::exp(-static_cast<double>((v - 5) * (v - 5) + (u - 5) * (u - 5)) / 4.5); };
  for (std::int64_t v = 0; v < 11; ++v)
    for (std::int64_t u = 0; u < 11; ++u) sum += bell(v, u);
  EXPECT_NEAR(ssim(a, b, box), slow_ssim(a, b, box, 11, [&](std::int64_t v, std::int64_t u) { return bell(v, u) / sum; }, 1), 1e-9);
  EXPECT_NEAR(ssim_uniform(a, a, box), 1, 1e-12);
  EXPECT_EQ(ssim_uniform(a, a, {0, 6, 0, 6}), 0);
}

TEST(Metrics, OverlapCountsByLabel) {
  const torch::Tensor a = torch::tensor({1, 1, 2, 0}, torch::kUInt8), b = torch::tensor({1, 2, 2, 2}, torch::kUInt8);
  Overlap o;
  o.add(a, b);
  EXPECT_DOUBLE_EQ(o.iou(1), 0.5);
  EXPECT_DOUBLE_EQ(o.iou(2), 1.0 / 3);
  EXPECT_DOUBLE_EQ(o.iou(4), 1.0);
}

TEST(Variety, CopiesCollapseAndFarNoise) {
  torch::manual_seed(2);
  const torch::Tensor people = torch::randn({20, 50});
  const Variety copies = variety_of(people.clone(), people);
  EXPECT_NEAR(copies.sample_spread, 1.0, 1e-5);
  EXPECT_LT(copies.nearest_ratio, 1e-2);
  const Variety collapsed = variety_of(people.slice(0, 0, 1).repeat({20, 1}), people);
  EXPECT_LT(collapsed.sample_spread, 1e-2);
  const Variety alike = variety_of(torch::randn({20, 50}), people);
  EXPECT_NEAR(alike.sample_spread, 1.0, 0.1);
  EXPECT_NEAR(alike.nearest_ratio, 1.0, 0.15);
}

}  // namespace
}  // namespace layeravatar::eval
