#include "layeravatar/eval/metrics.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/core/error.h"

namespace layeravatar::eval {
namespace {

torch::Tensor crop(const torch::Tensor& image, const Box& b) {
  return image.slice(1, b.y0, b.y1).slice(2, b.x0, b.x1).to(torch::kFloat64);
}

double psnr_of(const torch::Tensor& difference) {
  return 10 * std::log10(1 / (difference.square().mean().item<double>() + 1e-6));
}

// Of windows [n] x [n] with these weights along each side, valid borders; `factor` of variances and covariances.
double windowed_ssim(const torch::Tensor& a, const torch::Tensor& b, const Box& box, const torch::Tensor& line, double factor) {
  LAV_CHECK(a.sizes() == b.sizes(), "ssim needs two equal images");
  const std::int64_t n = line.size(0);
  if (box.y1 - box.y0 < n || box.x1 - box.x0 < n) return 0;
  const torch::Tensor down = line.reshape({1, 1, n, 1}), across = line.reshape({1, 1, 1, n});
  const auto blur = [&](const torch::Tensor& t) { return torch::conv2d(torch::conv2d(t.unsqueeze(1), down), across); };
  const torch::Tensor p = crop(a, box), q = crop(b, box), mp = blur(p), mq = blur(q);
  const torch::Tensor vp = factor * (blur(p * p) - mp * mp), vq = factor * (blur(q * q) - mq * mq), c = factor * (blur(p * q) - mp * mq);
  constexpr double kC1 = 1e-4, kC2 = 9e-4;
  return ((2 * mp * mq + kC1) * (2 * c + kC2) / ((mp * mp + mq * mq + kC1) * (vp + vq + kC2))).mean().item<double>();
}

}  // namespace

Box box_of(const torch::Tensor& mask, std::int64_t margin) {
  const torch::Tensor at = mask.nonzero();
  if (at.size(0) == 0) return {};
  const auto low = [&](int axis) { return at.select(1, axis).min().item<std::int64_t>(); };
  const auto high = [&](int axis) { return at.select(1, axis).max().item<std::int64_t>(); };
  return {std::max<std::int64_t>(low(0) - margin, 0), std::min(high(0) + 1 + margin, mask.size(0)),
          std::max<std::int64_t>(low(1) - margin, 0), std::min(high(1) + 1 + margin, mask.size(1))};
}

double psnr(const torch::Tensor& a, const torch::Tensor& b, const Box& box) {
  LAV_CHECK(a.sizes() == b.sizes() && !box.empty(), "psnr needs two equal images and a box");
  return psnr_of(crop(a, box) - crop(b, box));
}

double masked_psnr(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& mask) {
  LAV_CHECK(a.sizes() == b.sizes() && a.dim() == 3 && a[0].sizes() == mask.sizes() && mask.any().item<bool>(),
            "masked_psnr needs two equal images and a mask of them");
  return psnr_of((a.to(torch::kFloat64) - b.to(torch::kFloat64)).masked_select(mask));
}

double ssim(const torch::Tensor& a, const torch::Tensor& b, const Box& box) {
  const torch::Tensor x = torch::arange(11, torch::kFloat64) - 5, g = torch::exp(-x.square() / (2 * 1.5 * 1.5));
  return windowed_ssim(a, b, box, g / g.sum(), 1);
}

double ssim_uniform(const torch::Tensor& a, const torch::Tensor& b, const Box& box) {
  constexpr std::int64_t kWindow = 7, kPixels = kWindow * kWindow;
  return windowed_ssim(a, b, box, torch::full({kWindow}, 1.0 / kWindow, torch::kFloat64), static_cast<double>(kPixels) / (kPixels - 1));
}

void Overlap::add(const torch::Tensor& a, const torch::Tensor& b) {
  for (int label = 1; label <= 5; ++label) {
    const torch::Tensor p = a == label, q = b == label;
    both[static_cast<std::size_t>(label - 1)] += (p & q).sum().item<double>();
    any[static_cast<std::size_t>(label - 1)] += (p | q).sum().item<double>();
  }
}

double Overlap::iou(int label) const {
  const auto k = static_cast<std::size_t>(label - 1);
  return any.at(k) == 0 ? 1.0 : both[k] / any[k];
}

}  // namespace layeravatar::eval
