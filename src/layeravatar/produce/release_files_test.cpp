#include "layeravatar/produce/release_files.h"

#include <gtest/gtest.h>
#include <torch/torch.h>
#include <unistd.h>

#include <array>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/io/torch_file.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::produce {
namespace {

// Two rows of three pixels.
splat::RenderOutputs outputs() {
  splat::RenderOutputs o;
  o.full = torch::zeros({3, 2, 3});
  o.components = torch::zeros({5, 3, 2, 3});
  o.component_alphas = torch::zeros({5, 2, 3});
  o.component_weights = torch::zeros({5, 2, 3});
  return o;
}

std::array<int, 4> pixel(const io::Image& image, int x, int y) {
  std::array<int, 4> out{};
  for (int c = 0; c < image.channels; ++c) out[static_cast<std::size_t>(c)] = image.pixels[static_cast<std::size_t>((y * image.width + x) * image.channels + c)];
  return out;
}

TEST(ReleaseFiles, SixPanelsWithAlpha) {
  splat::RenderOutputs o = outputs();
  o.full[0][1][2] = 1.0;
  o.full[1][1][2] = 0.5F / 255;  // halves go to the even neighbour
  o.full[2][1][2] = 1.5F / 255;
  o.components[4][1][0][1] = 7.0;  // clamped
  o.components[4][2][0][1] = -1.0;
  const io::Image panels = release_panels(o);
  EXPECT_EQ(panels.width, 18);
  EXPECT_EQ(panels.height, 2);
  EXPECT_EQ(panels.channels, 4);
  EXPECT_EQ(pixel(panels, 2, 1), (std::array<int, 4>{255, 0, 2, 255}));
  EXPECT_EQ(pixel(panels, 15 + 1, 0), (std::array<int, 4>{0, 255, 0, 255}));
  EXPECT_EQ(pixel(panels, 0, 0), (std::array<int, 4>{0, 0, 0, 255}));
}

TEST(ReleaseFiles, LabelsAndAlphas) {
  splat::RenderOutputs o = outputs();
  o.component_weights[1][0][0] = 0.5;   // half top, label 2
  o.component_weights[4][0][0] = 0.25;  // a quarter bottom, label 5
  o.component_weights[4][1][2] = 1.0;
  o.component_alphas[2][1][1] = 0.4;
  const io::Image grey = release_labels(o, false);
  EXPECT_EQ(grey.channels, 1);
  EXPECT_EQ(grey.width, 18);
  EXPECT_EQ(pixel(grey, 0, 0)[0], 115);  // 0.5 * 0.4 + 0.25 * 1 = 0.45: 114.75
  EXPECT_EQ(pixel(grey, 2, 1)[0], 255);
  EXPECT_EQ(pixel(grey, 9 + 1, 1)[0], 102);
  const io::Image colours = release_labels(o, true);
  EXPECT_EQ(colours.channels, 4);
  EXPECT_EQ(pixel(colours, 1, 0), (std::array<int, 4>{68, 1, 84, 255}));
  EXPECT_EQ(pixel(colours, 2, 1), (std::array<int, 4>{253, 231, 36, 255}));
}

// The range is the picture's own: values of a tenth and two tenths take both ends of the map.
TEST(ReleaseFiles, FalseColoursSpanThePicture) {
  splat::RenderOutputs o = outputs();
  o.component_weights[0].fill_(0.5);
  o.component_alphas.fill_(0.1);
  o.component_alphas[3][0][0] = 0.2;
  const io::Image colours = release_labels(o, true);
  EXPECT_EQ(pixel(colours, 0, 0), (std::array<int, 4>{68, 1, 84, 255}));
  EXPECT_EQ(pixel(colours, 12, 0), (std::array<int, 4>{253, 231, 36, 255}));
}

TEST(ReleaseFiles, PlanesAsAPicture) {
  constexpr std::int64_t kH = 4;
  torch::Tensor planes = torch::full({12, kH, 3 * kH}, -2.0F);
  planes[6][1][2 * kH + 3] = 2.0;  // texture channel 6, layer 2, row 1, column 3
  planes[5][0][0] = 2.0;           // odd channels are not shown
  const io::Image picture = release_planes(planes);
  ASSERT_EQ(picture.width, 24);
  ASSERT_EQ(picture.height, 12);
  int lit = 0;
  for (int y = 0; y < 12; ++y)
    for (int x = 0; x < 24; ++x) lit += pixel(picture, x, y)[0] == 253 ? 1 : 0;
  EXPECT_EQ(lit, 1);
  EXPECT_EQ(pixel(picture, 3 * 4 + 3, 2 * 4 + 2)[0], 253);  // fourth column, third row, row 1 from the bottom
}

// LibTorch reads what was written, and so does our reader.
TEST(ReleaseFiles, CodesAreFilesOfTorchSave) {
  torch::manual_seed(1);
  const torch::Tensor planes = torch::randn({12, 4, 12});
  const auto path = std::filesystem::temp_directory_path() / ("lav_code_" + std::to_string(::getpid()) + ".pth");
  io::write_torch_tensor(path, tensor::to_array(planes));
  const std::string bytes = read_file(path);
  std::filesystem::remove(path);
  const torch::Tensor theirs = torch::pickle_load({bytes.begin(), bytes.end()}).toTensor();
  EXPECT_TRUE(torch::equal(theirs, planes));
  EXPECT_FALSE(theirs.requires_grad());
  EXPECT_TRUE(torch::equal(tensor::to_tensor(io::parse_torch_file(bytes, "f").array()), planes));
}

TEST(ReleaseFiles, Names) { EXPECT_EQ(release_name(12), "scene_scene_0012"); }

}  // namespace
}  // namespace layeravatar::produce
