#include "layeravatar/data/dataset.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <set>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/data/scene_folders.h"
#include "layeravatar/data/scenes_for_test.h"

namespace layeravatar::data {
namespace {

namespace fs = std::filesystem;

class DatasetOfSmallScenes : public FolderTest {
 protected:
  DatasetOptions options{.image_size = 16, .views = 0, .held_out = {}, .reference = false, .cache_file = {}};
  fs::path data = folder / "data";
  void write(const std::string& name, int views, int tone = 0) { write_small_scene(data / name, views, 16, tone); }
  void SetUp() override {
    FolderTest::SetUp();
    fs::create_directories(data);
  }
};

TEST_F(DatasetOfSmallScenes, DrawsTheReleasesViews) {
  write("a", 54);
  options.reference = true;
  options.views = 54;
  const Dataset frozen = Dataset::open(data, options);
  const std::vector<std::int64_t> wanted = {26, 33, 3, 36, 17, 21, 25, 51};  // spec section 9.2
  EXPECT_EQ(frozen.draw_views(0, 8), wanted);
  EXPECT_EQ(frozen.draw_views(77, 8), wanted);
  EXPECT_EQ(frozen.scenes()[0].views[26].name, "160_002");
  options.reference = false;
  const Dataset fresh = Dataset::open(data, options);
  EXPECT_EQ(fresh.draw_views(0, 8), wanted);
  EXPECT_NE(fresh.draw_views(1, 8), wanted);
  EXPECT_EQ(fresh.draw_views(1, 8), fresh.draw_views(1, 8));
}

TEST_F(DatasetOfSmallScenes, NeverDrawsHeldOutViews) {
  write("a", 9);
  options.held_out = {"000_001", "040_002"};
  const Dataset dataset = Dataset::open(data, options);
  EXPECT_EQ(dataset.held_out_views(), (std::vector<std::int64_t>{1, 8}));
  std::set<std::int64_t> seen;
  for (int epoch = 0; epoch < 60; ++epoch)
    for (const auto view : dataset.draw_views(epoch, 3)) seen.insert(view);
  EXPECT_EQ(seen, (std::set<std::int64_t>{0, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(message_of(ErrorKind::kConfig, [&] { (void)dataset.draw_views(0, 8); }),
            "8 views wanted, 7 are for training");
  options.held_out = {"000_007"};
  EXPECT_EQ(message_of(ErrorKind::kConfig, [&] { (void)Dataset::open(data, options); }),
            "held-out view '000_007': no such view");
}

TEST_F(DatasetOfSmallScenes, SortsScenesAndLeavesOthersOut) {
  write("b", 2);
  write("a", 2);
  write("c.partial", 2);
  fs::create_directories(data / "notes");
  const Dataset dataset = Dataset::open(data, options);
  ASSERT_EQ(dataset.scenes().size(), 2U);
  EXPECT_EQ(dataset.scenes()[0].name, "a");
  EXPECT_EQ(dataset.scenes()[1].name, "b");
}

TEST_F(DatasetOfSmallScenes, KnowsWhatTheFileSaysAndWhatPicturesShow) {
  write("a", 3, 10);
  write("b", 3, 90);
  std::ofstream(data / kAttributesFile) << R"({"a": {"sex": "female", "top-colour": [0, 0, 0]}, "elsewhere": {"sex": "male"}})";
  options.held_out = {"000_001"};
  const Dataset dataset = Dataset::open(data, options);
  const auto people = dataset.attributes();
  ASSERT_EQ(people.size(), 2U);
  EXPECT_EQ(std::get<std::vector<std::string>>(people[0].at("sex")), std::vector<std::string>{"female"});
  EXPECT_FALSE(people[1].contains("sex"));
  // By hand: the mean over the pixels of each label in the views that are not held out.
  constexpr std::array<const char*, 5> kNames = {"skin-colour", "top-colour", "hair-colour", "shoes-colour", "bottom-colour"};
  for (std::size_t i = 0; i < 2; ++i)
    for (int label = 1; label <= 5; ++label) {
      std::array<double, 3> sum{};
      double count = 0;
      for (const std::int64_t v : dataset.training_views()) {
        const SceneView& view = dataset.scenes()[i].views[static_cast<std::size_t>(v)];
        for (std::size_t k = 0; k < view.labels.size(); ++k) {
          if (view.labels[k] != label) continue;
          ++count;
          for (std::size_t c = 0; c < 3; ++c) sum[c] += view.colours[3 * k + c] / 255.0;
        }
      }
      const char* name = kNames[static_cast<std::size_t>(label - 1)];
      ASSERT_EQ(people[i].contains(name), count > 0) << name;
      for (std::size_t c = 0; count > 0 && c < 3; ++c) EXPECT_NEAR((std::get<std::array<double, 3>>(people[i].at(name))[c]), sum[c] / count, 1e-9) << name;
    }
  std::ofstream(data / kAttributesFile) << "{";
  EXPECT_EQ(message_of(ErrorKind::kInput, [&] { (void)dataset.attributes(); }), (data / kAttributesFile).string() + ": not valid JSON");
}

TEST_F(DatasetOfSmallScenes, NamesEveryBadSceneAndCountsThem) {
  for (const char* name : {"a", "b", "c"}) write(name, 2);
  fs::remove(data / "a/pose/000_000.json");
  fs::remove(data / "c/seg/000_001_1.png");
  EXPECT_EQ(message_of(ErrorKind::kInput, [&] { (void)Dataset::open(data, options); }),
            (data / "a").string() + ": view '000_000' has no pose file; " + (data / "c").string() +
                ": view '000_001' has no mask file; 2 of 3 scenes cannot be used");
}

TEST_F(DatasetOfSmallScenes, WantsTheSameViewsEverywhere) {
  write("a", 3);
  write("b", 2);
  EXPECT_EQ(message_of(ErrorKind::kInput, [&] { (void)Dataset::open(data, options); }),
            (data / "b").string() + ": expected 3 views, found 2");
  options.views = 54;
  EXPECT_EQ(message_of(ErrorKind::kInput, [&] { (void)Dataset::open(data, options); }),
            (data / "a").string() + ": expected 54 views, found 3");
  EXPECT_NE(message_of(ErrorKind::kInput, [&] { (void)Dataset::open(folder / "none", options); }).find("cannot open"),
            std::string::npos);
  EXPECT_NE(message_of(ErrorKind::kInput, [&] { (void)Dataset::open(folder, options); }).find("found none"),
            std::string::npos);
}

class CachedDataset : public DatasetOfSmallScenes {
 protected:
  std::size_t decoded = 0;  // scenes read by the last open
  Dataset open() {
    decoded = 0;
    return Dataset::open(data, options, [&](std::size_t, std::size_t) { ++decoded; });
  }
  void SetUp() override {
    DatasetOfSmallScenes::SetUp();
    write("a", 3, 40);
    write("b", 3, 90);
    options.cache_file = folder / "scenes.bin";
  }
};

TEST_F(CachedDataset, GivesTheSameScenesWithoutDecoding) {
  const Dataset plain =
      Dataset::open(data, {.image_size = 16, .views = 0, .held_out = {}, .reference = false, .cache_file = {}});
  for (const std::size_t wanted : {2U, 0U}) {
    const Dataset cached = open();
    EXPECT_EQ(decoded, wanted);
    ASSERT_EQ(cached.scenes().size(), 2U);
    for (std::size_t s = 0; s < 2; ++s) {
      const Scene &a = plain.scenes()[s], &b = cached.scenes()[s];
      EXPECT_EQ(a.name, b.name);
      EXPECT_EQ(a.params, b.params);
      ASSERT_EQ(b.views.size(), 3U);
      for (std::size_t v = 0; v < 3; ++v) {
        EXPECT_EQ(a.views[v].name, b.views[v].name);
        EXPECT_EQ(a.views[v].camera.camera_from_world, b.views[v].camera.camera_from_world);
        EXPECT_EQ(a.views[v].camera.focal, b.views[v].camera.focal);
        EXPECT_EQ(a.views[v].camera.width, b.views[v].camera.width);
        EXPECT_EQ((std::array{a.views[v].x, a.views[v].y, a.views[v].width, a.views[v].height}),
                  (std::array{b.views[v].x, b.views[v].y, b.views[v].width, b.views[v].height}));
        EXPECT_TRUE(std::ranges::equal(a.views[v].colours, b.views[v].colours));
        EXPECT_TRUE(std::ranges::equal(a.views[v].labels, b.views[v].labels));
      }
    }
  }
}

TEST_F(CachedDataset, IsMadeAgainWhenAFileChanges) {
  (void)open();
  fs::last_write_time(data / "b/seg/000_001_0.png", fs::file_time_type::clock::now() + std::chrono::seconds(5));
  (void)open();
  EXPECT_EQ(decoded, 2U);
  fs::remove_all(data / "a");
  EXPECT_EQ(open().scenes().size(), 1U);
  EXPECT_EQ(decoded, 1U);
}

TEST_F(CachedDataset, IsMadeAgainWhenDamaged) {
  (void)open();
  const std::string good = read_file(options.cache_file);
  const auto damage = [&](std::size_t size, std::size_t at, const std::string& text) {
    std::string bad = good.substr(0, size);
    bad.replace(at, text.size(), text);
    write_file(options.cache_file, bad);
    EXPECT_EQ(open().scenes().size(), 2U) << size << ' ' << at;
    EXPECT_EQ(decoded, 2U) << size << ' ' << at;
  };
  damage(good.size() - 1, 0, "");  // pixels cut off
  damage(good.size() / 2, 0, "");  // in the header
  damage(10, 0, "");
  damage(good.size(), 3, "?");                               // another format
  damage(good.size(), 15, "\x7f");                           // header longer than the file
  damage(good.size(), 16, "[");                              // not JSON
  damage(good.size(), good.find("[2,3,3,2]"), "[9,3,9,2]");  // beyond the picture
}

TEST_F(DatasetOfSmallScenes, AreTheSameReadOneByOne) {
  for (const char* name : {"b", "a"}) write(name, 4, name[0]);
  fs::create_directories(data / "c.partial" / "rgb");
  const Dataset all = Dataset::open(data, options);
  const SceneFolders one(data);
  ASSERT_EQ(one.size(), 2U);
  EXPECT_EQ(one.image_size(), 16);
  for (std::size_t s = 0; s < 2; ++s) {
    const Scene scene = one.read(s);
    EXPECT_EQ(one.name(s), all.scenes()[s].name);
    EXPECT_EQ(one.params(s), all.scenes()[s].params);
    EXPECT_TRUE(std::ranges::equal(scene.views[3].colours, all.scenes()[s].views[3].colours));
  }
  const Scene scene = one.read(0);
  EXPECT_EQ(named_views(scene, {"020_000", "000_001"}), (std::vector<std::int64_t>{3, 1}));
  EXPECT_EQ(other_views(scene, {"020_000", "000_001"}), (std::vector<std::int64_t>{0, 2}));
  EXPECT_NE(message_of(ErrorKind::kConfig, [&] { named_views(scene, {"040_000"}); }).find("held-out view '040_000': scene a"), std::string::npos);
}

}  // namespace
}  // namespace layeravatar::data
