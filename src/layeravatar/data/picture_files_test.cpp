#include "layeravatar/data/picture_files.h"

#include <gtest/gtest.h>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/testing/folder.h"

namespace layeravatar::data {
namespace {

namespace fs = std::filesystem;
using testing::message_of;

constexpr int kSide = 8;

// White, with a block of one colour from (2, 2) to (5, 5).
io::Image picture(int channels, std::uint8_t background = 255, int size = kSide) {
  io::Image out{size, size, channels, std::vector<std::uint8_t>(static_cast<std::size_t>(channels * size * size), background)};
  for (int y = 2; y < 6; ++y)
    for (int x = 2; x < 6; ++x)
      for (int c = 0; c < channels; ++c) out.pixels[static_cast<std::size_t>(channels * (y * size + x) + c)] = static_cast<std::uint8_t>(c == 3 ? 255 : 40 * c);
  return out;
}

class PictureFilesTest : public testing::FolderTest {
 protected:
  PictureFiles files;
  void SetUp() override {
    FolderTest::SetUp();
    io::write_png(folder / "a.png", picture(3));
    io::write_png(folder / "b.png", picture(3));
    write_file(folder / "cams.json", R"({"cam_param": [[[1,0,0,0],[0,-1,0,0],[0,0,-1,10],[0,0,0,1]], [[1,0,0,0],[0,-1,0,0],[0,0,-1,9],[0,0,0,1]]]})");
    files = {{folder / "a.png", folder / "b.png"}, folder / "cams.json", {}};
  }
  std::string error(ErrorKind kind = ErrorKind::kInput) {
    return message_of(kind, [&] { (void)read_pictures(files); });
  }
};

TEST_F(PictureFilesTest, WhiteTellsTheSilhouette) {
  const Scene scene = read_pictures(files);
  ASSERT_EQ(scene.views.size(), 2U);
  EXPECT_EQ(scene.views[1].name, "b");
  EXPECT_NEAR(scene.views[1].camera.centre()[2], 9, 1e-6);
  EXPECT_EQ(scene.views[0].camera.focal, 5000.0 / 1024 * kSide);
  EXPECT_EQ(scene.views[0].labels[2 * kSide + 2], 1);
  EXPECT_EQ(scene.views[0].labels[2 * kSide + 6], 0);
  EXPECT_EQ(scene.views[0].colours[3 * (2 * kSide + 2) + 1], 40);
}

TEST_F(PictureFilesTest, AlphaTellsItAndBlendsOnWhite) {
  io::Image image = picture(4, 0);
  image.pixels[4 * (3 * kSide + 3) + 3] = 51;  // a fifth covered: not of the silhouette
  io::write_png(folder / "a.png", image);
  const Scene scene = read_pictures(files);
  EXPECT_EQ(scene.views[0].colours[0], 255);
  EXPECT_EQ(scene.views[0].labels[0], 0);
  EXPECT_EQ(scene.views[0].labels[2 * kSide + 2], 1);
  EXPECT_EQ(scene.views[0].labels[3 * kSide + 3], 0);
  EXPECT_EQ(scene.views[0].colours[3 * (3 * kSide + 3)], 204);  // 0.2 * 0 + 0.8 * 255
}

TEST_F(PictureFilesTest, MasksAreGreyLabelsOrTheReleasesPairsAndClearTheBackground) {
  io::write_png(folder / "a.png", picture(3, 90));
  fs::create_directory(folder / "masks");
  io::Image labels{kSide, kSide, 1, std::vector<std::uint8_t>(kSide * kSide)};
  labels.pixels[2 * kSide + 2] = 5;
  io::write_png(folder / "masks/a.png", labels);
  const auto pair = format_masks(labels.pixels, kSide, kSide);
  write_file(folder / "masks/b_0.png", pair[0]);
  write_file(folder / "masks/b_1.png", pair[1]);
  files.masks = {folder / "masks"};
  const Scene scene = read_pictures(files);
  for (const SceneView& view : scene.views) {
    EXPECT_EQ(view.labels[2 * kSide + 2], 5);
    EXPECT_EQ(view.labels[2 * kSide + 3], 0);
  }
  EXPECT_EQ(scene.views[0].colours[0], 255) << "a background of another colour";
  EXPECT_EQ(scene.views[1].colours[3 * (2 * kSide + 3) + 1], 40) << "on white: as it is";
}

TEST_F(PictureFilesTest, FoldersAreTakenByName) {
  fs::create_directory(folder / "pictures");
  fs::create_directory(folder / "cameras");
  for (const char* name : {"b", "a"}) {
    io::write_png(folder / "pictures" / (std::string(name) + ".png"), picture(3));
    write_file(folder / "cameras" / (std::string(name) + ".json"), R"({"cam_param": [[1,0,0,0],[0,-1,0,0],[0,0,-1,10],[0,0,0,1]]})");
  }
  files = {{folder / "pictures"}, folder / "cameras", {}};
  EXPECT_EQ(read_pictures(files).views[0].name, "a");
  fs::remove(folder / "cameras/b.json");
  EXPECT_NE(error().find("cameras: picture 'b' has no camera file"), std::string::npos);
  files.images = {folder / "cameras"};
  EXPECT_NE(error().find("expected pictures, .png or .jpg, found 0"), std::string::npos);
}

TEST_F(PictureFilesTest, BadPicturesAreOneLine) {
  files.images.pop_back();
  EXPECT_NE(error().find("cams.json: expected 1 camera, found 2"), std::string::npos);
  files.images = {folder / "a.png", folder / "c.png"};
  EXPECT_NE(error().find("c.png"), std::string::npos);
  io::write_png(folder / "c.png", picture(3, 255, 16));
  EXPECT_NE(error().find("c.png: expected 8x8 as a.png, found 16x16"), std::string::npos);
  io::write_png(folder / "c.png", {8, 4, 3, std::vector<std::uint8_t>(96, 255)});
  EXPECT_NE(error().find("c.png: expected a square picture"), std::string::npos);
  io::write_png(folder / "c.png", {8, 8, 3, std::vector<std::uint8_t>(192, 255)});
  EXPECT_NE(error().find("c.png: no person in the picture"), std::string::npos);
  io::write_png(folder / "c.png", picture(3, 90));
  EXPECT_NE(error().find("c.png: the background is not white"), std::string::npos);
  io::write_png(folder / "c.png", picture(3));
  files.images[1] = folder / "a.png";
  EXPECT_NE(error().find("another picture has this name"), std::string::npos);
  files.images[1] = folder / "c.png";
  files.masks = {folder / "c.png"};
  EXPECT_NE(error(ErrorKind::kUsage).find("--masks: expected 2"), std::string::npos);
  files.masks = {folder / "c.png", folder / "c.png"};
  EXPECT_NE(error().find("c.png: expected labels in 1 channel, found 3"), std::string::npos);
  io::write_png(folder / "m.png", {8, 8, 1, std::vector<std::uint8_t>(64, 6)});
  files.masks = {folder / "m.png", folder / "m.png"};
  EXPECT_NE(error().find("m.png: label 6, expected 0..5"), std::string::npos);
  io::write_png(folder / "m.png", {4, 4, 1, std::vector<std::uint8_t>(16, 1)});
  EXPECT_NE(error().find("m.png: expected 8x8 as its picture, found 4x4"), std::string::npos);
}

}  // namespace
}  // namespace layeravatar::data
