#include "layeravatar/prepare/segment_views.h"

#include <map>
#include <random>

#include "layeravatar/data/render_person.h"
#include "layeravatar/io/glb_for_test.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/people/painted_body_for_test.h"
#include "layeravatar/prepare/part_network.h"
#include "layeravatar/prepare/views_for_test.h"
#include "layeravatar/scan/person_scan.h"
#include "layeravatar/scan/render_scans.h"

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

// A person that was scanned: labels without network, which are wrong in blots, are repaired on the scan itself.
TEST_F(SegmentViews, LabelImagesAreRepairedOnTheScan) {
  constexpr int kSize = 96;
  people::DressedPerson person = people::painted_body(3);
  scan::write_person_scan(folder, "0001", person, scan::ScanSet::kThuman20, nullptr);
  scan::RenderScansOptions render;
  render.scans = folder / "THuman2.0_Release";
  render.out = folder / "views";
  render.size = kSize;
  ASSERT_EQ(scan::render_scans(render).rendered.size(), 1U);
  for (auto& p : person.mesh.vertices)  // as views of this set show everybody
    for (std::size_t k = 0; k < 3; ++k) p[k] += body::kCanonicalOffset[k] - person.params.transl[k];
  const data::PersonRenderer renderer(person.mesh);
  SegmentOptions options;
  options.labels = folder / "labels";
  make_folder(options.labels);
  std::mt19937 random(5);
  std::map<std::string, std::vector<std::uint8_t>> truth, corrupted;
  for (const auto& [name, camera] : geometry::training_cameras(kSize)) {
    truth[name] = corrupted[name] = renderer.view(camera).labels;
    for (int blot = 0; blot < 60; ++blot) {
      const std::size_t x = random() % (kSize - 6), y = random() % (kSize - 6);
      const auto label = static_cast<std::uint8_t>(1 + random() % 5);
      for (std::size_t i = 0; i < 36; ++i)
        if (auto& here = corrupted[name][(y + i / 6) * kSize + x + i % 6]; here > 0) here = label;
    }
    io::write_png(options.labels / (name + ".png"), {kSize, kSize, 1, corrupted[name]});
  }
  const auto mean_iou = [&](const auto& found) {
    std::array<double, 6> both{}, any{};
    for (const auto& [name, labels] : truth)
      for (std::size_t p = 0; p < labels.size(); ++p) {
        const auto a = labels[p], b = found.at(name)[p];
        if (a == b) ++both[a], ++any[a];
        else ++any[a], ++any[b];
      }
    double out = 0;
    for (std::size_t l = 1; l < 6; ++l) out += both[l] / any[l] / 5;
    return out;
  };
  EXPECT_LT(mean_iou(corrupted), 0.65);
  const Surface surface = read_surface(folder / "THuman2.0_Release", "0001", scan::ScanSet::kThuman20, {}, false, nullptr);
  options.surface = &surface;
  const SegmentReport report = segment_views(folder / "views/0001", options);
  EXPECT_GT(report.changed, 0.2);
  std::map<std::string, std::vector<std::uint8_t>> masks;
  const fs::path seg = folder / "views/0001/18views_3_wbg/seg";
  for (const auto& [name, labels] : truth) masks[name] = data::read_masks(seg / (name + "_0.png"), seg / (name + "_1.png"), kSize);
  EXPECT_GT(mean_iou(masks), 0.87) << "from " << mean_iou(corrupted);  // 0.58 to 0.887: borders between pixels of 2 cm are the rest

  // The scan as it lies in its own frame is not where the views show it.
  fs::copy(folder / "THuman2.0_Release/0001/0001.obj", folder / "THuman2.0_Release/0001.obj");
  const Surface elsewhere = read_surface(folder / "THuman2.0_Release", "0001", scan::ScanSet::kThuman20, {}, false, nullptr);
  EXPECT_EQ(elsewhere.triangles.size(), surface.triangles.size());
  options.surface = &elsewhere;
  EXPECT_EQ(said(ErrorKind::kInput, [&] { (void)segment_views(folder / "views/0001", options); }),
            (folder / "views/0001").string() + ": less than half of the labels lie on the mesh; is it in another frame than the views?");
}

TEST_F(SegmentViews, SurfacesAreReadFromGlbAsWell) {
  make_folder(folder / "a");
  write_file(folder / "a/any.glb", io::triangle_glb(io::format_png({1, 1, 4, {9, 9, 9, 0}}, 1)));
  const Surface surface = read_surface(folder, "a", scan::ScanSet::kPlain, {}, false, nullptr);
  EXPECT_EQ(surface.triangles.size(), 1U);
  EXPECT_FALSE(surface.hole(0, {1, 0, 0})) << "materials without alphaMode are opaque";
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
