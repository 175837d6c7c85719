#include "layeravatar/train/reconstruction_loss.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "layeravatar/io/npy.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::train {
namespace {

// The stacks of section 7.2, channels last: [.., 18] images and [.., 9] alphas, as planar outputs of one view.
splat::RenderOutputs outputs_of(const torch::Tensor& image, const torch::Tensor& seg) {
  splat::RenderOutputs out;
  const torch::Tensor planar = image.permute({2, 0, 1}).contiguous();
  const torch::Tensor alphas = seg.permute({2, 0, 1}).contiguous();
  out.full = planar.slice(0, 0, 3).contiguous();
  out.components = planar.slice(0, 3, 18).reshape({5, 3, image.size(0), image.size(1)}).contiguous();
  out.inner_alpha = alphas[0].contiguous();
  out.component_alphas = alphas.slice(0, 4, 9).contiguous();
  return out;
}

torch::Tensor pattern(double a, double b, torch::IntArrayRef shape) {
  const std::int64_t n = torch::zeros(shape).numel();
  return (0.5 + 0.5 * (a * torch::arange(n, torch::kFloat64) + b).sin()).to(torch::kFloat32).reshape(shape);
}

TEST(ReconstructionLoss, ConformanceValuesOfTheSpec) {  // section 15.4
  const torch::Tensor image = pattern(0.7, 0.1, {2, 8, 8, 18}), seg = pattern(0.9, 0.3, {2, 8, 8, 9});
  const torch::Tensor target = pattern(0.31, 0.2, {2, 8, 8, 3});
  const torch::Tensor labels = torch::arange(128).remainder(6).to(torch::kUInt8).reshape({2, 8, 8});
  const torch::Tensor skin = torch::tensor({0.6F, 0.5F, 0.4F});
  const ImageTermScales scales = image_term_scales({}, kappa(0.1 / (1024 * 1024), 8LL * 1024 * 1024), 2, 64);
  std::array<double, kImageTerms> sum{};
  for (int i = 0; i < 2; ++i) {
    const ImageLoss loss = image_loss(outputs_of(image[i], seg[i]), target[i].permute({2, 0, 1}).contiguous(),
                                      labels[i].contiguous(), skin, scales);
    for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += loss.terms[k];
  }
  EXPECT_NEAR(sum[0], 5.7279782, 2e-5);
  EXPECT_NEAR(sum[1], 1.7876979, 1e-5);
  EXPECT_NEAR(sum[2], 0.4164132, 2e-6);
  EXPECT_NEAR(sum[3], 0.0515247, 1e-6);
  EXPECT_NEAR(sum[4], 0.1933738, 1e-6);
  const double reg_offset = LossWeights().offset * 0.01;
  EXPECT_NEAR(reg_offset, 0.05, 1e-12);
  const double tv = 0.2199095;  // TvLoss.ConformanceOfTheSpec
  EXPECT_NEAR(sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + reg_offset + tv, 8.4468975, 3e-5);
  EXPECT_NEAR(kappa(0.1 / (1024 * 1024), 8LL * 1024 * 1024), 0.5506710358827784, 1e-15);  // section 15.1
}

// The full image alone, labels without components: its mean is the pseudo-Huber distance.
double huber(const torch::Tensor& x, const torch::Tensor& y, torch::Tensor* gradient = nullptr) {
  const std::int64_t n = x.numel();
  const auto picture = [&](const torch::Tensor& t) { return t.reshape({1, 1, n}).expand({3, 1, n}).contiguous(); };
  splat::RenderOutputs images;
  images.full = picture(x).requires_grad_(true);
  images.components = torch::zeros({5, 3, 1, n});
  images.component_alphas = torch::zeros({5, 1, n});
  images.inner_alpha = torch::zeros({1, n});
  const ImageLoss loss = image_loss(images, picture(y), torch::zeros({1, n}, torch::kUInt8), torch::zeros({3}),
                                    {.full = static_cast<float>(1.0 / (3.0 * static_cast<double>(n)))});
  loss.value.backward();
  if (gradient != nullptr) *gradient = images.full.grad().sum(0).sum(0);
  return loss.terms[0];
}

TEST(ReconstructionLoss, PseudoHuberOfTheSpecAndOfTheRecordedRun) {
  const std::pair<float, double> rows[] = {{0.05F, 0.0118034}, {0.1F, 0.0414214}, {0.5F, 0.4099019}, {1.0F, 0.9049875}};
  for (const auto& [difference, want] : rows) {  // section 15.1
    EXPECT_NEAR(huber(torch::full({4}, difference), torch::zeros({4})), want, 1.5e-7);
    EXPECT_NEAR(huber(torch::zeros({4}), torch::full({4}, difference)), want, 1.5e-7);
  }
  const io::ArrayMap golden = io::read_npz(std::filesystem::path(LAV_GOLDEN_DIR) / "train" / "h_losses.npz");
  const auto get = [&](const std::string& name) { return tensor::to_tensor(golden.at(name)); };
  torch::Tensor gradient;
  const double want = get("huber.out").item<double>();
  EXPECT_NEAR(huber(get("huber.x"), get("huber.y"), &gradient), want, 1e-6 * want);
  EXPECT_LT((gradient - get("huber.grad")).abs().max().item<double>(), 1e-5 * get("huber.grad").abs().max().item<double>());
}

TEST(ReconstructionLoss, ValuesAndGradientsOfTheRecordedRun) {
  const io::ArrayMap golden = io::read_npz(std::filesystem::path(LAV_GOLDEN_DIR) / "train" / "h_losses.npz");
  const auto get = [&](const std::string& name) { return tensor::to_tensor(golden.at(name)); };
  const torch::Tensor image = get("image"), segs = get("segs"), targets = get("target_rgbs");
  const torch::Tensor labels = get("target_segs").select(-1, 5);
  for (const std::string run : {"full1024", "px16"}) {
    const auto pixels = get(run + ".scale_num_ray").item<std::int64_t>();
    const ImageTermScales scales = image_term_scales({}, kappa(0.1 / (1024 * 1024), pixels), 4, 256);
    std::array<double, kImageTerms> sum{};
    const torch::Tensor grad_image = get(run + ".grad_image"), grad_segs = get(run + ".grad_segs");
    for (int s = 0; s < 2; ++s)
      for (int v = 0; v < 2; ++v) {
        torch::Tensor x = image[s][v].clone().requires_grad_(true), y = segs[s][v].clone().requires_grad_(true);
        const ImageLoss loss = image_loss(outputs_of(x, y), targets[s][v].permute({2, 0, 1}).contiguous(),
                                          labels[s][v].contiguous(), get("reg_color")[s], scales);
        for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += loss.terms[k];
        loss.value.backward();
        EXPECT_LT((x.grad() - grad_image[s][v]).abs().max().item<float>(),
                  2e-5F * grad_image.abs().max().item<float>());
        EXPECT_LT((y.grad() - grad_segs[s][v]).abs().max().item<float>(), 2e-5F * grad_segs.abs().max().item<float>());
      }
    const auto near = [&](std::size_t k, const std::string& name) {
      const double want = get(run + "." + name).item<float>();
      EXPECT_NEAR(sum[k], want, 1e-5 * std::abs(want) + 1e-9) << run << " " << name;
    };
    near(0, "pixel_loss");
    near(1, "seg_loss");
    near(2, "seg_inner_loss");
    near(3, "reg_rgb");
    near(4, "reg_opacity");
    const double reg_offset = LossWeights().offset * get("offset").item<double>();
    EXPECT_NEAR(reg_offset, get(run + ".reg_offset").item<double>(), 1e-6);
    const double total = sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + reg_offset + get(run + ".reg_loss").item<double>();
    EXPECT_NEAR(total, get(run + ".loss").item<double>(), 1e-5 * total) << run;
  }
}

TEST(ReconstructionLoss, OffsetsWeighEachRegionByItsOwnMean) {
  // Three body points (the second a hand, the third outer) and one garment point, |d|^2 = 1, 4, 9, 100.
  const torch::Tensor offset = torch::tensor({{1.F, 0.F, 0.F}, {0.F, 2.F, 0.F}, {0.F, 0.F, 3.F}, {10.F, 0.F, 0.F}});
  const OffsetMasks masks{torch::tensor({1.F, 1.F, 1.F, 0.F}), torch::tensor({0.F, 1.F, 0.F}),
                          torch::tensor({0.F, 0.F, 1.F})};
  EXPECT_FLOAT_EQ(offset_regulariser(offset, masks).item<float>(), 14.0F / 3 + 10.0F + 4.0F + 9.0F);
}

TEST(ReconstructionLoss, AWrongShapeIsNamed) {
  const splat::RenderOutputs out = outputs_of(torch::zeros({4, 4, 18}), torch::zeros({4, 4, 9}));
  try {
    image_loss(out, torch::zeros({3, 4, 5}), torch::zeros({4, 4}, torch::kUInt8), torch::zeros({3}), {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "target: shape [3, 4, 5], expected [3, 4, 4]");
  }
}

}  // namespace
}  // namespace layeravatar::train
