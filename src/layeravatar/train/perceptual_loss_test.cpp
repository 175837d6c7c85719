#include "layeravatar/train/perceptual_loss.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "layeravatar/testing/folder.h"

namespace layeravatar::train {
namespace {

class Perceptual : public testing::FolderTest {
 protected:
  // Features are the image's own numbers over 255, or of another call zeros.
  std::filesystem::path network(const std::string& code) const {
    torch::jit::Module module("features");
    module.define(code);
    module.save((folder / "net.pt").string());
    return folder / "net.pt";
  }
};

constexpr const char* kPixels = R"(
def forward(self, x, resize_images: bool = True, return_lpips: bool = False):
    if resize_images or not return_lpips:
        return x * 0
    return x.flatten(1) / 255
)";

TEST_F(Perceptual, IsTheSquaredDistanceInTheCropAndHasAGradientThereAlone) {
  PerceptualLoss loss(network(kPixels));
  torch::Tensor image = torch::rand({3, 20, 20}) * 1.4 - 0.2;
  const torch::Tensor target = torch::rand({3, 20, 20});
  image.requires_grad_(true);
  const Crop crop{4, 2, 10};
  const torch::Tensor value = loss.distance(image, target, crop);
  const auto cut = [&](const torch::Tensor& x) { return x.slice(1, 4, 14).slice(2, 2, 12); };
  EXPECT_NEAR(value.item<double>(), (cut(image.detach().clamp(0, 1)) - cut(target)).square().sum().item<double>(), 1e-4);
  value.backward();
  torch::Tensor outside = image.grad().clone();
  EXPECT_GT(cut(outside).abs().max().item<double>(), 0.1);
  cut(outside).zero_();
  EXPECT_EQ(outside.abs().max().item<double>(), 0);
}

TEST_F(Perceptual, WrongFilesAreNamed) {
  EXPECT_NE(testing::message_of(ErrorKind::kInput, [&] { PerceptualLoss(folder / "none.pt"); }).find("none.pt: cannot open"), std::string::npos);
  PerceptualLoss loss(network("def forward(self, x):\n    return x\n"));
  const torch::Tensor image = torch::rand({3, 8, 8});
  EXPECT_NE(testing::message_of(ErrorKind::kInput, [&] { loss.distance(image, image, {0, 0, 4}); }).find("net.pt: the network failed"), std::string::npos);
}

TEST(Crops, LieWhereTheReleasesDo) {
  std::mt19937_64 engine(3);
  std::int64_t least[2] = {1024, 1024}, most[2] = {0, 0};
  double sum = 0;
  constexpr int kDraws = 20000;
  for (int k = 0; k < kDraws; ++k) {
    const Crop c = draw_crop(engine, 1024);
    EXPECT_EQ(c.side, 512);
    least[0] = std::min(least[0], c.row), most[0] = std::max(most[0], c.row);
    least[1] = std::min(least[1], c.column), most[1] = std::max(most[1], c.column);
    sum += static_cast<double>(c.column);
  }
  EXPECT_EQ(least[0], 20);
  EXPECT_EQ(most[0], 275);
  EXPECT_EQ(least[1], 0);
  EXPECT_EQ(most[1], 238);
  EXPECT_NEAR(sum / kDraws, 118.5, 1);
  const Crop half = draw_crop(engine, 512);
  EXPECT_EQ(half.side, 256);
  EXPECT_LE(half.row, 137);
}

}  // namespace
}  // namespace layeravatar::train
