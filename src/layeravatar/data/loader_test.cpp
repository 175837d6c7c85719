#include "layeravatar/data/loader.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>

#include "layeravatar/data/scenes_for_test.h"

namespace layeravatar::data {
namespace {

TEST(Prefetch, KeepsTheOrderWhateverTheThreads) {
  for (const int threads : {1, 4}) {
    Prefetch<std::int64_t> values(
        [](std::int64_t i) {
          std::this_thread::sleep_for(std::chrono::microseconds(i % 3 == 0 ? 800 : 10));
          return i * i;
        },
        threads, 3);
    for (std::int64_t i = 0; i < 40; ++i) EXPECT_EQ(values.next(), i * i);
  }
}

TEST(Prefetch, PassesAnExceptionOnInItsTurn) {
  Prefetch<int> values(
      [](std::int64_t i) -> int {
        if (i == 1) throw Error(ErrorKind::kInput, "scene 1 is gone");
        return static_cast<int>(i);
      },
      2, 4);
  EXPECT_EQ(values.next(), 0);
  EXPECT_EQ(message_of(ErrorKind::kInput, [&] { (void)values.next(); }), "scene 1 is gone");
  EXPECT_EQ(values.next(), 2);
}

TEST(Prefetch, GoesNoFurtherAheadThanAsked) {
  std::atomic<std::int64_t> started{0};
  Prefetch<int> values([&](std::int64_t) { return static_cast<int>(++started); }, 3, 5);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(started.load(), 5);
  (void)values.next();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(started.load(), 6);
}

TEST(SceneShard, CutsContiguousShares) {
  EXPECT_EQ(scene_shard(10, 0, 1), std::pair(std::int64_t{0}, std::int64_t{10}));
  EXPECT_EQ(scene_shard(10, 0, 3), std::pair(std::int64_t{0}, std::int64_t{3}));  // 3.33, 6.67
  EXPECT_EQ(scene_shard(10, 1, 3), std::pair(std::int64_t{3}, std::int64_t{7}));
  EXPECT_EQ(scene_shard(10, 2, 3), std::pair(std::int64_t{7}, std::int64_t{10}));
  EXPECT_EQ(scene_shard(5, 0, 2), std::pair(std::int64_t{0}, std::int64_t{2}));  // 2.5 to even
}

TEST(PlanStep, ShowsEveryOwnSceneOnceAnEpochAndFillsUp) {
  LoaderOptions options;
  options.scenes_per_step = 3;
  options.rank = 1;
  options.world = 2;  // scenes 4..7 of 8: two steps an epoch, two repeats
  std::vector<std::vector<std::int64_t>> epochs;
  for (std::int64_t step = 0; step < 8; ++step) {
    const LoaderStep plan = plan_step(step, 8, options);
    EXPECT_EQ(plan.epoch, step / 2);
    ASSERT_EQ(plan.scenes.size(), 3U);
    if (step % 2 == 0) epochs.emplace_back();
    epochs.back().insert(epochs.back().end(), plan.scenes.begin(), plan.scenes.end());
  }
  for (const auto& scenes : epochs) {
    EXPECT_EQ(scenes[4], scenes[0]);
    EXPECT_EQ(scenes[5], scenes[1]);
    std::vector<std::int64_t> first(scenes.begin(), scenes.begin() + 4);
    std::sort(first.begin(), first.end());
    EXPECT_EQ(first, (std::vector<std::int64_t>{4, 5, 6, 7}));
  }
  EXPECT_FALSE(epochs[0] == epochs[1] && epochs[1] == epochs[2] && epochs[2] == epochs[3]);
  options.world = 9;
  options.rank = 0;
  EXPECT_THROW((void)plan_step(0, 4, options), Error);  // round(4/9) = 0 scenes
}

class LoaderOfSmallScenes : public FolderTest {
 protected:
  std::shared_ptr<const Dataset> dataset;
  void SetUp() override {
    FolderTest::SetUp();
    for (int s = 0; s < 4; ++s) write_small_scene(folder / std::to_string(s), 6, 16, 10 * s);
    dataset = std::make_shared<const Dataset>(Dataset::open(
        folder, {.image_size = 16, .views = 6, .held_out = {"000_000"}, .reference = false, .cache_file = {}}));
  }
};

TEST_F(LoaderOfSmallScenes, ReturnsTheStoredBytesMasksAndCameraRows) {
  const SceneViews got = load_views(*dataset, 2, {5, 1});
  EXPECT_EQ(got.size, 16);
  ASSERT_EQ(got.images.size(), 2U * 16 * 16 * 3);
  const std::size_t label5 = 4 * 16 + 3;  // pixel (3, 4)
  EXPECT_EQ(got.images[3 * label5], 50);
  EXPECT_EQ(got.images[3 * label5 + 1], 25);  // tone of scene 2, view 5
  EXPECT_EQ(got.images[3 * (256 + label5) + 1], 21);
  EXPECT_EQ(got.images[3 * label5 + 2], 255);
  EXPECT_EQ(got.images[0], 255);
  EXPECT_EQ(got.labels[256 + label5], 5);
  const auto masks = got.masks();
  EXPECT_EQ((std::vector<int>(masks.begin() + 6 * 67, masks.begin() + 6 * 67 + 6)),
            (std::vector<int>{0, 0, 0, 0, 1, 5}));
  EXPECT_EQ((std::vector<int>(masks.begin(), masks.begin() + 6)), (std::vector<int>{0, 0, 0, 0, 0, 0}));
  // 000_001: ten metres along +z; x right, y down, z forward.
  const std::array<float, 19> level = {0, 0, 10, 1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 10, 0, 0, 0, 1};
  for (std::size_t k = 0; k < 19; ++k) EXPECT_NEAR(got.camera_rows[1][k], level[k], 1e-6) << k;
  EXPECT_EQ(got.params, small_params());
  const SceneViews small = load_views(*dataset, 2, {5}, 8);
  EXPECT_EQ(small.cameras[0].focal, got.cameras[0].focal / 2);
  EXPECT_EQ(small.cameras[0].width, 8);
  EXPECT_EQ(small.images[3 * 9], 135);  // (255 + 255 + 10 + 20) / 4
}

TEST_F(LoaderOfSmallScenes, GivesTheSameStepsWithAnyThreadsAndAfterResuming) {
  LoaderOptions one, many;
  one.views = many.views = 3;
  one.scenes_per_step = many.scenes_per_step = 2;
  many.threads = 3;
  Loader a(dataset, one), b(dataset, many), resumed(dataset, one, 5);
  for (int step = 0; step < 9; ++step) {
    const auto x = a.next(), y = b.next();
    ASSERT_EQ(x.size(), 2U);
    const LoaderStep plan = plan_step(step, 4, one);
    for (std::size_t s = 0; s < 2; ++s) {
      EXPECT_EQ(x[s].scene, plan.scenes[s]);
      EXPECT_EQ(x[s].views, dataset->draw_views(plan.epoch, 3));
      EXPECT_EQ(std::count(x[s].views.begin(), x[s].views.end(), 0), 0);  // held out
      EXPECT_EQ(x[s].scene, y[s].scene);
      EXPECT_EQ(x[s].views, y[s].views);
      EXPECT_EQ(x[s].images, y[s].images);
    }
    if (step >= 5) {
      EXPECT_EQ(resumed.next()[1].images, x[1].images);
    }
  }
}

TEST_F(LoaderOfSmallScenes, SaysWhenTheSizeDoesNotFit) {
  LoaderOptions options;
  options.views = 2;
  options.image_size = 5;
  Loader loader(dataset, options);
  EXPECT_EQ(message_of(ErrorKind::kConfig, [&] { (void)loader.next(); }), "image size 5 does not divide the data's 16");
}

}  // namespace
}  // namespace layeravatar::data
