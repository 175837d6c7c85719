// How well pictures match (spec/model.md section 11.4 and 16).
#pragma once
#include <torch/types.h>

#include <array>

namespace layeravatar::eval {

/// Rows y0..y1 and columns x0..x1, the ends excluded.
struct Box {
  std::int64_t y0 = 0, y1 = 0, x0 = 0, x1 = 0;
  [[nodiscard]] bool empty() const { return y1 <= y0 || x1 <= x0; }
};

/// Smallest box of the non-zero pixels of mask [H, W], widened by `margin` within the image.
Box box_of(const torch::Tensor& mask, std::int64_t margin);

/// 10 log10(1 / (mse + 1e-6)) over the box of two [3, H, W] images.
double psnr(const torch::Tensor& a, const torch::Tensor& b, const Box& box);
/// The same over the pixels of a mask [H, W] bool.
double masked_psnr(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& mask);

/// Gaussian window 11 x 11 with sigma 1.5, valid borders, C1 = 0.01^2, C2 = 0.03^2, mean over channels; 0 in a smaller box.
double ssim(const torch::Tensor& a, const torch::Tensor& b, const Box& box);
/// The other usual definition, scikit-image's: uniform window 7 x 7, (co)variances divided by 48, else the same.
double ssim_uniform(const torch::Tensor& a, const torch::Tensor& b, const Box& box);

/// Pixels where both and where any of two label images [H, W] uint8 say label 1..5, to be summed over pictures.
struct Overlap {
  std::array<double, 5> both{}, any{};
  void add(const torch::Tensor& a, const torch::Tensor& b);
  /// Intersection over union of a label 1..5; 1 where it never occurs.
  [[nodiscard]] double iou(int label) const;
};

}  // namespace layeravatar::eval
