#include "layeravatar/prepare/inception_statistics.h"

#include "layeravatar/io/npy.h"
#include "layeravatar/io/pickle.h"
#include "layeravatar/prepare/views_for_test.h"

namespace layeravatar::prepare {
namespace {

using Statistics = ScanTest;

TEST_F(Statistics, MeanAndCovarianceByHand) {
  torch::jit::Module module("means");  // features: red and green of the first pixel
  module.define(R"(
def forward(self, x, return_features: bool = False):
    if not return_features:
        return x[:, :, 0, 0].float()
    return x[:, 0:2, 0, 0].float()
)");
  module.save((folder / "net.pt").string());
  for (int i = 0; i < 3; ++i) {
    make_folder(folder / "data/s/rgb");
    const auto red = static_cast<std::uint8_t>(i + 1), green = static_cast<std::uint8_t>(2 * i);  // 1 2 3, 0 2 4
    io::write_png(folder / "data/s/rgb" / (std::to_string(i) + ".png"), {1, 1, 4, {red, green, 9, 0}});
  }
  auto network = nn::load_script(folder / "net.pt", torch::kCPU);
  const auto found = inception_statistics(network, training_pictures(folder / "data"), 2);
  write_statistics_pickle(folder / "s.pkl", found);
  write_statistics_npz(folder / "s.npz", found);
  const auto read = io::read_pickle(folder / "s.pkl");
  EXPECT_EQ(read.find("name").text(), ".pkl");
  EXPECT_EQ(read.find("size").integer(), 3);
  EXPECT_EQ(read.find("feats_np").array().shape, (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ(read.find("mean").array().dtype, io::DType::kF32);
  EXPECT_EQ(read.find("cov").array().dtype, io::DType::kF64);
  EXPECT_EQ(io::to_floats(read.find("mean").array()), (std::vector<float>{2, 2}));
  EXPECT_EQ(io::to_floats(read.find("cov").array()), (std::vector<float>{1, 2, 2, 4}));
  EXPECT_EQ(io::to_floats(io::NpzReader(folder / "s.npz").read("covariance")), (std::vector<float>{1, 2, 2, 4}));
}

}  // namespace
}  // namespace layeravatar::prepare
