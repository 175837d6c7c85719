#include "layeravatar/prepare/segment_views.h"

#include "layeravatar/io/npy.h"
#include "layeravatar/prepare/part_network.h"
#include "layeravatar/prepare/views_for_test.h"

namespace layeravatar::prepare {
namespace {

namespace fs = std::filesystem;

using SegmentViews = ScanTest;

// Reads the class from the red of the picture.
fs::path write_network(const fs::path& file) {
  torch::jit::Module module("colours");
  module.define(R"(
def forward(self, x):
    wanted = torch.round((x[:, 0:1] * 58.5 + 123.5) / 10.0)
    return 0.0 - torch.abs(torch.arange(28).view(1, 28, 1, 1) - wanted)
)");
  module.save(file.string());
  return file;
}

PartNetworkOptions small_network() {
  PartNetworkOptions out;
  out.height = out.width = 16;
  return out;
}

std::uint8_t want_label(int x, int y) {
  static constexpr std::uint8_t kLabels[] = {1, 2, 3, 4, 5};
  return x >= 4 && x < 12 && y >= 4 && y < 12 ? kLabels[(y - 4) * 5 / 8] : 0;
}

TEST_F(SegmentViews, NetworkToClassesLabelsAndMasks) {
  const fs::path scan = write_small_views(folder, "0000", 6);  // a full batch and a part of one
  PartNetwork network(write_network(folder / "net.pt"), torch::kCPU, small_network());
  EXPECT_EQ(network.sha256().size(), 64U);
  SegmentOptions options;
  options.network = &network;
  EXPECT_EQ(segment_views(scan, options).views, 6);
  const fs::path root = scan / "18views_3_wbg";
  const auto names = find_views(scan).names;
  ASSERT_EQ(names.size(), 6U);
  EXPECT_TRUE(has_masks(find_views(scan)));
  for (const auto& name : names) {
    const auto labels = data::read_masks(root / "seg" / (name + "_0.png"), root / "seg" / (name + "_1.png"), 16);
    for (int y = 0; y < 16; ++y)
      for (int x = 0; x < 16; ++x) ASSERT_EQ(labels[static_cast<std::size_t>(16 * y + x)], want_label(x, y)) << name << ' ' << x << ' ' << y;
    EXPECT_EQ(io::read_npy(root / "mask" / (name + "_seg.npy")).dtype, io::DType::kI64);
    EXPECT_EQ(io::read_npy(root / "mask" / (name + ".npy")).dtype, io::DType::kBool);
    EXPECT_EQ(io::read_png(root / "new_mask_viz" / (name + ".png")).pixels[3 * (11 * 16 + 5)], 250);
  }
  // The same masks from the classes that the network left.
  const std::string before = read_file(root / "seg/000_000_1.png");
  EXPECT_EQ(segment_views(scan, {}).views, 6);
  EXPECT_EQ(read_file(root / "seg/000_000_1.png"), before);
}

// The release's scripts on a random label image of 1024 x 1024.
TEST_F(SegmentViews, MasksOfTheReleaseAreTheRecordedOnes) {
  const fs::path root = folder / "a/18views_3_wbg";
  make_folder(root / "image");
  make_folder(root / "mask");
  fs::copy(golden / "data/masks/image_000_000.png", root / "image/000_000.png");
  const io::Image want = io::read_png(golden / "data/masks/new_mask_000_000.png");
  io::Array classes = io::make_array(io::DType::kI64, {want.height, want.width});
  static constexpr std::int64_t kClassOf[] = {0, 21, 22, 3, 9, 12};
  for (std::size_t i = 0; i < classes.count(); ++i) classes.at<std::int64_t>()[i] = kClassOf[want.pixels[static_cast<std::size_t>(want.channels) * i]];
  io::write_npy(root / "mask/000_000_seg.npy", classes);
  (void)segment_views(folder / "a", {});
  const auto found = read_label_image(root / "new_mask/000_000.png", 1024, 1024);
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], want.pixels[static_cast<std::size_t>(want.channels) * i]) << i;
  for (const char* name : {"000_000_0.png", "000_000_1.png"})
    EXPECT_EQ(io::read_png(root / "seg" / name).pixels, io::read_png(golden / "data/masks" / ("seg_" + std::string(name))).pixels) << name;
}

TEST_F(SegmentViews, SaysWhatIsWrong) {
  const fs::path scan = write_small_views(folder, "0000", 1);
  const auto run = [&](const SegmentOptions& options) { return said(ErrorKind::kInput, [&] { (void)segment_views(scan, options); }); };
  SegmentOptions options;
  options.labels = folder / "labels";
  make_folder(options.labels);
  io::write_png(options.labels / "000_000.png", {16, 16, 1, std::vector<std::uint8_t>(256, 6)});
  EXPECT_EQ(run(options), (options.labels / "000_000.png").string() + ": expected a label image of values 0..5, found 6");
  EXPECT_EQ(run({}).find((scan / "18views_3_wbg/mask/000_000_seg.npy").string() + ": cannot open"), 0U);
  EXPECT_FALSE(fs::exists(scan / "18views_3_wbg/seg"));
  write_file(folder / "bad.pt", "no network");
  EXPECT_EQ(said(ErrorKind::kInput, [&] { PartNetwork(folder / "bad.pt", torch::kCPU, {}); }).find((folder / "bad.pt").string() + ": not a TorchScript network: "), 0U);
  EXPECT_EQ(said(ErrorKind::kInput, [&] { (void)find_views(folder); }), folder.string() + ": expected views in 18views_3_wbg/image, found 0");
}

}  // namespace
}  // namespace layeravatar::prepare
