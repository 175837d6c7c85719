#include "layeravatar/produce/pixels.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>

namespace layeravatar::produce {
namespace {

TEST(Pixels, RoundAsTorchDoes) {
  torch::manual_seed(4);
  torch::Tensor rgb = torch::rand({3, 7, 1001}) * 1.4 - 0.2;
  for (int k = 0; k <= 510; ++k) rgb[1][3][k] = static_cast<float>(k) / 510.0F;  // halves among them
  const torch::Tensor want = (rgb.clamp(0, 1) * 255).round().to(torch::kUInt8).permute({1, 2, 0}).contiguous();
  const io::Image got = picture(rgb);
  EXPECT_EQ(got.width, 1001);
  EXPECT_EQ(got.height, 7);
  EXPECT_EQ(got.channels, 3);
  EXPECT_EQ(got.pixels, std::vector<std::uint8_t>(want.data_ptr<std::uint8_t>(), want.data_ptr<std::uint8_t>() + want.numel()));
}

TEST(Pixels, SideBySideWithAlpha) {
  const torch::Tensor a = torch::full({3, 2, 3}, 0.2F), b = torch::full({3, 2, 300}, 2.0F);
  const io::Image row = picture_row({a, b.slice(2, 0, 299)}, true);
  EXPECT_EQ(row.width, 302);
  EXPECT_EQ(row.channels, 4);
  EXPECT_EQ(row.pixels[4 * 302 + 0], 51);
  EXPECT_EQ(row.pixels[4 * 302 + 3], 255);
  EXPECT_EQ(row.pixels[4 * 302 + 4 * 3], 255);
  const io::Image grey = picture_row({torch::full({1, 1, 1}, std::numeric_limits<float>::quiet_NaN()), torch::full({1, 1, 1}, 0.5F)});
  EXPECT_EQ(grey.pixels, (std::vector<std::uint8_t>{0, 128}));
}

}  // namespace
}  // namespace layeravatar::produce
