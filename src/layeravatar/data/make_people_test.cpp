#include "layeravatar/data/make_people.h"

#include <algorithm>
#include <cstdlib>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/data/scenes_for_test.h"
#include "layeravatar/people/person_attributes.h"

namespace layeravatar::data {
namespace {

namespace fs = std::filesystem;

TEST(DatasetSheet, PlacesFrontBackAndLabels) {
  const fs::path folder = fs::temp_directory_path() / ("lav_sheet_" + std::to_string(::getpid()));
  for (int s = 0; s < 3; ++s) write_small_scene(folder / std::to_string(s), 54, 16, 50 * s);
  const Dataset dataset =
      Dataset::open(folder, {.image_size = 16, .views = 54, .held_out = {}, .reference = false, .cache_file = {}});
  fs::remove_all(folder);
  const io::Image sheet = dataset_sheet(dataset, 9, 16, 2);
  EXPECT_EQ((std::array{sheet.width, sheet.height, sheet.channels}), (std::array{2 * 12, 2 * 3 * 16, 3}));
  const auto at = [&](int x, int y) {
    const auto* p = sheet.pixels.data() + 3 * (y * sheet.width + x);
    return std::array<int, 3>{p[0], p[1], p[2]};
  };
  // Pixel (3, 4) of a picture, label 5, lies at x = 1 of the cell, whose sides of 2 pixels are cut away.
  EXPECT_EQ(at(1, 4), (std::array{50, 1, 255}));        // scene 0, view 000_001
  EXPECT_EQ(at(1, 16 + 4), (std::array{50, 28, 255}));  // 180_001 is view 28
  EXPECT_EQ(at(1, 32 + 4), (std::array{70, 165, 95}));
  EXPECT_EQ(at(12 + 1, 4), (std::array{50, 51, 255}));         // scene 1
  EXPECT_EQ(at(1, 48 + 4), (std::array{50, 101, 255}));        // scene 2, second row
  EXPECT_EQ(at(12 + 1, 48 + 4), (std::array{255, 255, 255}));  // nobody
}

class PeopleOfThePackage : public FolderTest {
 protected:
  static void SetUpTestSuite() {
    if (const char* package = std::getenv("LAV_MAKEHUMAN_DIR"); package != nullptr) {
      auto assets = people::read_human_assets(package);
      auto body = people::build_cc0_body(assets, package, 60);
      wardrobe = new people::Wardrobe(package, std::move(assets), std::move(body));
    }
  }
  static void TearDownTestSuite() { delete wardrobe; }
  void SetUp() override {
    if (wardrobe == nullptr) GTEST_SKIP() << "LAV_MAKEHUMAN_DIR names no unpacked npm package";
    FolderTest::SetUp();
    options.image_size = 128;
    options.count = 2;
  }
  MakePeopleOptions options;
  static inline people::Wardrobe* wardrobe = nullptr;
};

TEST_F(PeopleOfThePackage, BecomeScenesWithAllFiveParts) {
  int calls = 0;
  make_people(*wardrobe, folder, options, [&](int done, int total) {
    EXPECT_EQ(done, ++calls);
    EXPECT_EQ(total, 2);
  });
  EXPECT_EQ(calls, 2);
  const Dataset dataset =
      Dataset::open(folder, {.image_size = 128, .views = 54, .held_out = {}, .reference = false, .cache_file = {}});
  ASSERT_EQ(dataset.scenes().size(), 2U);
  for (const Scene& scene : dataset.scenes()) {
    std::array<int, 6> pixels{};
    for (const SceneView& view : scene.views) {
      EXPECT_GT(view.height, 128 * 6 / 10) << "an adult of at least 1.3 m in 2.05 m";
      for (const auto label : view.labels) ++pixels[label];
    }
    for (std::size_t label = 1; label <= 5; ++label) EXPECT_GT(pixels[label], 54 * 3) << scene.name << ' ' << label;
    // The person stands on both sides of the picture's middle column, feet below, hair above.
    const SceneView& front = scene.views[1];
    const auto mean_row = [&](int label) {
      double sum = 0, count = 0;
      for (std::size_t i = 0; i < front.labels.size(); ++i)
        if (front.labels[i] == label)
          sum += static_cast<double>(front.y) + static_cast<double>(i / static_cast<std::size_t>(front.width)), ++count;
      return sum / count;
    };
    EXPECT_LT(mean_row(3), mean_row(2));
    EXPECT_LT(mean_row(2), mean_row(5));
    EXPECT_LT(mean_row(5), mean_row(4));
    EXPECT_LT(front.x, 60);
    EXPECT_GT(front.x + front.width, 68);
  }
}

TEST_F(PeopleOfThePackage, AreKeptWhenThereAndTheSameWhenMadeAgain) {
  options.count = 1;
  make_people(*wardrobe, folder / "a", options);
  const fs::path manifest = folder / "a/0000001/manifest.json";
  const auto time = fs::last_write_time(manifest);
  options.count = 2;
  make_people(*wardrobe, folder / "a", options);
  EXPECT_EQ(fs::last_write_time(manifest), time);
  EXPECT_TRUE(fs::exists(folder / "a/0000002/manifest.json"));
  const auto known = io::parse_attributes(read_file(folder / "a" / kAttributesFile), "a");
  EXPECT_EQ(known.size(), 2U);
  EXPECT_EQ(known.at("0000002"), people::attributes_of(people::sample_look(2, wardrobe->package())));
  options.seed = 2;
  options.count = 1;
  make_people(*wardrobe, folder / "b", options);
  EXPECT_EQ(read_file(folder / "a/0000002/manifest.json"),
            read_file(folder / "b/0000002/manifest.json"));  // SHA-1 of all files
  options.image_size = 64;
  EXPECT_NE(message_of(ErrorKind::kConfig, [&] { make_people(*wardrobe, folder / "b", options); }), "");
}

TEST_F(PeopleOfThePackage, LabelExactlyWhatTheyCoverByHalf) {
  const auto person = wardrobe->dress(people::sample_look(5, wardrobe->package()), people::sample_pose(5));
  const PersonRenderer renderer(person.mesh);
  for (const auto& camera : {geometry::training_cameras(128)[1], geometry::training_cameras(128)[30]}) {
    const RenderedView view = renderer.view(camera.camera, 2);
    std::size_t inside = 0;
    for (std::size_t i = 0; i < view.labels.size(); ++i) {
      EXPECT_EQ(view.labels[i] != 0, view.colour.pixels[4 * i + 3] >= 127);
      inside += view.labels[i] != 0;
    }
    EXPECT_GT(inside, 128U * 128U / 20);
  }
}

TEST_F(PeopleOfThePackage, RefuseSettingsOutOfRange) {
  options.count = 0;
  EXPECT_EQ(message_of(ErrorKind::kConfig, [&] { make_people(*wardrobe, folder, options); }), "count = 0, must be > 0");
  options = {};
  options.image_size = 8;
  EXPECT_NE(message_of(ErrorKind::kConfig, [&] { make_people(*wardrobe, folder, options); }), "");
}

}  // namespace
}  // namespace layeravatar::data
