#include "layeravatar/eval/inception_sets.h"

#include <torch/torch.h>

#include <algorithm>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/io/pickle_write.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/testing/folder.h"

namespace layeravatar::eval {
namespace {

TEST(InceptionPictures, BytesAreTheReleases) {
  // Every k, its neighbours within a half, and what lies outside of 0..1.
  torch::Tensor image = torch::empty({3, 256, 1});
  for (std::int64_t k = 0; k < 256; ++k) {
    image[0][k][0] = static_cast<float>(k) / 255;
    image[1][k][0] = (static_cast<float>(k) + 0.49F) / 255;
    image[2][k][0] = (static_cast<float>(k) - 0.49F) / 255;
  }
  image[2][0][0] = -3;
  image[1][255][0] = 7;
  const torch::Tensor bytes = byte_picture(image);
  EXPECT_EQ(bytes.sizes(), (std::vector<std::int64_t>{3, 256, 1}));
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t k = 0; k < 256; ++k) {
      ASSERT_EQ(bytes[c][k][0].item<int>(), k) << c;
      const float rounded = static_cast<float>(k) / 255, x = rounded * 2 - 1;
      ASSERT_EQ(static_cast<int>(std::clamp(127.5F * x + 128, 0.0F, 255.0F)), k) << "the release's way to bytes gives k again";
    }
}

TEST(InceptionPictures, TheStripHasSixPanels) {
  splat::RenderOutputs o;
  o.full = torch::full({3, 2, 4}, 0.0F);
  o.components = torch::empty({5, 3, 2, 4});
  for (std::int64_t c = 0; c < 5; ++c) o.components[c] = static_cast<float>(10 * (c + 1)) / 255;
  o.components[4][1] = 2;  // limited
  const torch::Tensor strip = panel_strip(o);
  ASSERT_EQ(strip.sizes(), (std::vector<std::int64_t>{3, 2, 24}));
  for (std::int64_t panel = 0; panel < 6; ++panel) EXPECT_TRUE((strip[0].slice(1, 4 * panel, 4 * panel + 4) == 10 * panel).all().item<bool>()) << panel;
  EXPECT_TRUE((strip[1].slice(1, 20, 24) == 255).all().item<bool>());
}

using Statistics = testing::FolderTest;

TEST_F(Statistics, OfTheReleasesPickle) {
  const auto array = [](const std::vector<std::int64_t>& shape, const std::vector<double>& values) { return io::make_array<double>(shape, values); };
  const auto write = [&](const io::Array& covariance) {
    write_file(folder / "s.pkl", io::format_pickle({{"feats_np", io::make_array<float>({3, 2}, std::vector<float>{1, 0, 2, 2, 3, 4})},
                                                    {"mean", io::make_array<float>({2}, std::vector<float>{2, 2})},
                                                    {"cov", covariance},
                                                    {"size", std::int64_t{3}},
                                                    {"name", std::string(".pkl")}}));
    return testing::message_of(ErrorKind::kInput, [&] { read_statistics_pickle(folder / "s.pkl"); });
  };
  EXPECT_EQ(write(array({2, 2}, {1, 2, 2, 4})), "");
  const RealStatistics s = read_statistics_pickle(folder / "s.pkl");
  EXPECT_EQ(s.features.size(0), 3);
  EXPECT_EQ(s.mean.scalar_type(), torch::kFloat64);
  EXPECT_EQ(s.covariance[0][1].item<double>(), 2);
  EXPECT_NE(write(array({1, 4}, {1, 2, 2, 4})).find("s.pkl: 'cov'; expected (2, 2), found (1, 4)"), std::string::npos);
  EXPECT_NE(write(array({2, 2}, {1, 2, 2, 0.0 / 0.0})).find("not finite"), std::string::npos);
  write_file(folder / "s.pkl", io::format_pickle({{"size", std::int64_t{3}}}));
  EXPECT_NE(testing::message_of(ErrorKind::kInput, [&] { read_statistics_pickle(folder / "s.pkl"); }).find("'mean' is missing"), std::string::npos);
}

}  // namespace
}  // namespace layeravatar::eval
