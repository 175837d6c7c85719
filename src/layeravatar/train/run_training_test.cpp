#include "layeravatar/train/run_training.h"

#include <gtest/gtest.h>

#include "layeravatar/avatar/pack.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/data/scenes_for_test.h"
#include "layeravatar/templates/template_folder.h"
#include "layeravatar/testing/folder.h"
#include "layeravatar/train/report.h"
#include "layeravatar/train/small_run_for_test.h"

namespace layeravatar::train {
namespace {

class RunTraining : public testing::FolderTest, protected SmallBody {};

// An SMPL-X model and the release's template arrays instead of the CC0 body.
TEST_F(RunTraining, OnSmplxAndTheReleasesTemplate) {
  for (const char* name : {"a", "b"}) data::write_small_scene(folder / "people" / name, 54);
  templates::write_template_folder(folder / "template", layers);
  TrainingFiles files;
  TrainConfig config = small_config(2);
  config.dataset = (folder / "people").string();
  files.config_text = to_json(config);
  files.config_name = "config.json";
  files.body = LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz";
  files.templates = folder / "template";
  files.run = folder / "run";
  std::int64_t last = 0;
  files.progress = [&](std::int64_t done, std::int64_t of) {
    EXPECT_EQ(of, 2);
    last = done;
  };
  std::vector<std::string> said;
  EXPECT_TRUE(run_training(files, [&](const std::string& line) { said.push_back(line); }, nullptr));
  EXPECT_EQ(last, 2);
  const avatar::ModelPack pack = avatar::read_pack(folder / "run" / "pack.safetensors");
  EXPECT_EQ(pack.layers.labels, layers.labels);
  EXPECT_EQ(pack.body.v_template.size(), body.v_template.size());
  const std::string page = html_report(folder / "run");
  for (const char* part : {"train_psnr", "Iteration 2 of 2", "data_sha1", "planes-height"}) EXPECT_NE(page.find(part), std::string::npos) << part;

  files.templates = folder / "none";
  files.resume = true;
  EXPECT_NE(testing::message_of(ErrorKind::kInput, [&] { run_training(files, [](const std::string&) {}, nullptr); }).find("none"), std::string::npos);
}

// Without a network the perceptual term is left out, and said so.
TEST_F(RunTraining, ThePerceptualTermNeedsANetwork) {
  const auto train = [&](const std::string& name, const std::string& network) {
    TrainConfig c = small_config(1);
    c.stages[0].weights.perceptual = 0.1;
    c.perceptual_network = network;
    std::string said;
    RunOptions options;
    options.folder = folder / name;
    options.say = [&](const std::string& line) { said += line + "\n"; };
    Trainer(c, body, layers, std::make_shared<RandomScenes>(), options).run();
    return said;
  };
  const std::string without = train("without", "");
  EXPECT_NE(without.find("perceptual-network is not given"), std::string::npos);
  EXPECT_EQ(without.find("per_loss"), std::string::npos);
  torch::jit::Module module("features");
  module.define("def forward(self, x, resize_images: bool = True, return_lpips: bool = False):\n    return x.flatten(1) / 255\n");
  module.save((folder / "net.pt").string());
  const std::string with = train("with", (folder / "net.pt").string());
  EXPECT_NE(with.find("per_loss"), std::string::npos);
  EXPECT_NE(read_file(newest_checkpoint(folder / "with") / "codes.safetensors"), read_file(newest_checkpoint(folder / "without") / "codes.safetensors"));
}

}  // namespace
}  // namespace layeravatar::train
