#include "layeravatar/train/evaluate.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/mapped_file.h"
#include "layeravatar/data/scenes_for_test.h"
#include "layeravatar/eval/frechet.h"
#include "layeravatar/io/pickle_write.h"
#include "layeravatar/templates/template_folder.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/train/small_run_for_test.h"

namespace layeravatar::train {
namespace {

// A run of one step on three scenes, its pack, and networks of a line each.
class Evaluate : public testing::FolderTest, protected SmallBody {
 protected:
  EvaluationFiles files;
  std::vector<std::string> said;

  void SetUp() override {
    FolderTest::SetUp();
    constexpr int kTones = 60;
    for (int i = 0; i < 3; ++i) data::write_small_scene(folder / "people" / std::string(1, static_cast<char>('a' + i)), 12, 16, kTones * i);
    templates::write_template_folder(folder / "template", layers);
    TrainConfig config = small_config(1);
    config.dataset = (folder / "people").string();
    config.held_out = {"000_001", "060_000"};
    files.run.config_text = to_json(config);
    files.run.config_name = "config.json";
    files.run.body = LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz";
    files.run.templates = folder / "template";
    files.run.run = folder / "run";
    run_training(files.run, [](const std::string&) {}, nullptr);
    files.run.config_text.clear();  // the run has it
    files.samples = 2;
    files.fit_steps = 1;
    files.batch = 5;
  }
  void give_networks() {
    files.inception = network("inception.pt", "def forward(self, x, return_features: bool = False):\n    y = x.float()\n    return torch.stack([y.mean([1, 2, 3]), y[:, 0].mean([1, 2]), y.std([1, 2, 3])], 1)\n");
    files.lpips = network("vgg.pt", "def forward(self, x, resize_images: bool = True, return_lpips: bool = False):\n    return x.flatten(1) / 255\n");
    for (int t = 0; t < 4; ++t) {
      files.motion.push_back(body::default_viewing_pose());
      files.motion.back().body_pose[2] = 0.1F * static_cast<float>(t * t);
    }
  }
  std::filesystem::path network(const std::string& name, const std::string& code) const {
    torch::jit::Module module("network");
    module.define(code);
    module.save((folder / name).string());
    return folder / name;
  }
  Evaluation run(const std::atomic<bool>* stop = nullptr) {
    said.clear();
    return evaluate(files, [&](const std::string& line) { said.push_back(line); }, stop);
  }
  [[nodiscard]] long said_with(const std::string& part) const {
    return std::count_if(said.begin(), said.end(), [&](const std::string& line) { return line.find(part) != std::string::npos; });
  }
  static std::map<std::string, double> numbers(const Evaluation& found) { return {found.numbers.begin(), found.numbers.end()}; }
};

TEST_F(Evaluate, ARunWithoutNetworksSaysWhatItLacks) {
  const Evaluation found = run();
  EXPECT_TRUE(found.whole);
  const auto got = numbers(found);
  for (const char* name : {"iteration", "psnr", "psnr_box", "psnr_box_of_mean_avatar", "psnr_head_box", "ssim", "ssim_box", "ssim_uniform", "ssim_uniform_box", "iou_body", "iou_top",
                           "iou_hair", "iou_shoes", "iou_bottom", "silhouette_iou", "variety_of_samples", "nearest_training_ratio", "one_silhouette_share", "largest_hole_px"})
    EXPECT_TRUE(got.contains(name)) << name;
  for (const char* name : {"lpips", "fid", "fid_strip", "kid_x1000", "jitter_mm"}) EXPECT_FALSE(got.contains(name)) << name;
  EXPECT_EQ(numbers(found).at("pictures"), 6) << "three people in two views";
  std::map<std::string, std::string> needs(found.left_out.begin(), found.left_out.end());
  EXPECT_EQ(needs.size(), 5U);
  EXPECT_EQ(needs["fid"], "--inception FILE");
  EXPECT_EQ(needs["fid_strip"], "--inception FILE");
  EXPECT_EQ(needs["kid"], "--inception FILE");
  EXPECT_EQ(needs["lpips"], "--lpips FILE");
  EXPECT_EQ(needs["jitter"], "--motion FILE");
}

TEST_F(Evaluate, WrongAndUnmetMetricsAreNamed) {
  files.metrics = {"psnr", "fad"};
  EXPECT_NE(testing::message_of(ErrorKind::kConfig, [&] { run(); }).find("metrics: 'fad', must be of psnr, ssim, lpips"), std::string::npos);
  files.metrics = {"psnr", "fid"};
  EXPECT_NE(testing::message_of(ErrorKind::kUsage, [&] { run(); }).find("metric fid needs --inception FILE"), std::string::npos);
  files.metrics = {"psnr"};
  files.run.settings = {"held-out=[]"};
  EXPECT_NE(testing::message_of(ErrorKind::kUsage, [&] { run(); }).find("metric psnr needs held-out views"), std::string::npos);
  files.run.run = folder / "template";
  files.run.config_text = "{}";
  files.run.settings = {"dataset=" + (folder / "people").string(), "held-out=[\"000_001\"]"};
  EXPECT_NE(testing::message_of(ErrorKind::kInput, [&] { run(); }).find("holds no checkpoint"), std::string::npos);
}

TEST_F(Evaluate, APackGoesOnWhereItWasStopped) {
  give_networks();
  files.model = folder / "run" / "pack.safetensors";
  files.run.config_text = read_file(folder / "run" / "config.json");
  files.run.run.clear();
  files.output = folder / "whole";
  const Evaluation whole = run();
  const auto all = numbers(whole);
  EXPECT_TRUE(whole.left_out.empty());
  for (const char* name : {"lpips", "jitter_mm", "jitter_of_body_mm", "fid", "fid_mean", "fid_cov", "fid_strip", "kid_x1000"}) ASSERT_TRUE(all.contains(name)) << name;
  EXPECT_EQ(all.at("fid_pictures"), 36) << "three people in all of their twelve views";
  EXPECT_GT(all.at("lpips"), 0);
  EXPECT_NE(all.at("fid"), all.at("fid_strip"));

  // By the features that it left behind.
  const auto features = [&](const std::string& name) {
    const std::string bytes = read_file(files.output / name);
    return torch::from_blob(const_cast<char*>(bytes.data()), {static_cast<std::int64_t>(bytes.size()) / 12, 3}).clone();
  };
  eval::Moments generated, real;
  generated.add(features("generated.f32"));
  real.add(features("real.f32"));
  EXPECT_EQ(real.count(), 36);
  EXPECT_NEAR(eval::frechet_distance(generated.mean(), generated.covariance(), real.mean(), real.covariance()).total(), all.at("fid"), 1e-6 * all.at("fid"));
  EXPECT_NEAR(1000 * eval::kernel_distance(features("generated.f32"), features("real.f32")), all.at("kid_x1000"), 1e-6 * std::abs(all.at("kid_x1000")));
  // A first picture of person b: white but for six pixels (10 label, 60, 255), the sixth black where nothing is labelled.
  const double white = 255, mean = (3 * 250 * white + 5 * (30 + 60 + white) + (0 + 60 + white)) / (3 * 256);
  EXPECT_NEAR(features("real.f32")[12][0].item<double>(), mean, 1e-3);

  // Stopped at each part in turn, in another folder.
  files.output = folder / "pieces";
  int calls = 0;
  for (Evaluation found{{}, {}, false}; !found.whole; ++calls) {
    ASSERT_LT(calls, 40);
    std::atomic<bool> stop = false;
    said.clear();
    found = evaluate(files, [&](const std::string& line) {
      said.push_back(line);
      if (line.find(" of ") != std::string::npos) stop = true;
    }, &stop);
    EXPECT_LE(said_with("features of"), 1);
    if (found.whole) {
      EXPECT_EQ(numbers(found), all);
    }
  }
  EXPECT_GT(calls, 6);

  // What is there is not made again; other settings are refused; more metrics are not.
  const Evaluation again = run();
  EXPECT_EQ(said_with("fitted") + said_with("compared") + said_with("features of"), 0);
  EXPECT_EQ(numbers(again), all);
  files.stride = 2;
  EXPECT_NE(testing::message_of(ErrorKind::kConfig, [&] { run(); }).find("made with stride = 1, now 2"), std::string::npos);
}

TEST_F(Evaluate, StatisticsOfTheReleasesFormGiveTheSameDistance) {
  give_networks();
  files.output = folder / "own";
  files.metrics = {"fid", "kid"};
  files.views = 4;
  const auto own = numbers(run());
  EXPECT_EQ(own.at("fid_pictures"), 12);
  EXPECT_FALSE(own.contains("fid_strip"));
  EXPECT_FALSE(own.contains("psnr"));
  const std::string bytes = read_file(files.output / "real.f32");
  const torch::Tensor features = torch::from_blob(const_cast<char*>(bytes.data()), {12, 3}).clone();
  eval::Moments moments;
  moments.add(features);
  files.real = folder / "stats.pkl";
  const auto write = [&](bool with_features) {
    std::vector<std::pair<std::string, io::PickleEntry>> entries = {{"mean", tensor::to_array(moments.mean())}, {"cov", tensor::to_array(moments.covariance())}};
    if (with_features) entries.emplace_back("feats_np", tensor::to_array(features));
    write_file(files.real, io::format_pickle(entries));
  };
  write(true);
  files.output.clear();
  const auto given = numbers(run());
  EXPECT_NEAR(given.at("fid"), own.at("fid"), 1e-9 * own.at("fid"));
  EXPECT_NEAR(given.at("kid_x1000"), own.at("kid_x1000"), 1e-9 * std::abs(own.at("kid_x1000")));
  write(false);
  EXPECT_NE(testing::message_of(ErrorKind::kUsage, [&] { run(); }).find("metric kid needs a --real file with feats_np"), std::string::npos);
}

}  // namespace
}  // namespace layeravatar::train
