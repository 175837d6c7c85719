#include "layeravatar/train/train_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"

namespace layeravatar::train {
namespace {

std::string config_error(const std::string& text, const std::string& file = "run.json") {
  try {
    TrainConfig config;
    apply_settings(config, text, file);
    config.check();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kConfig);
    return e.what();
  }
  return "";
}

TEST(TrainConfig, GoesRoundThroughJson) {
  TrainConfig config;
  config.dataset = "people";
  config.held_out = {"000_001", "180_001"};
  config.stages = {Stage{}, Stage{}};
  config.stages[1].from = 2000;
  config.stages[1].code_lr = 0.01;
  TrainConfig back;
  apply_json(back, to_json(config), "f");
  EXPECT_EQ(to_json(back), to_json(config));
  EXPECT_EQ(back.stages[1].code_lr, 0.01);
}

TEST(TrainConfig, AStageKeepsWhatItDoesNotName) {
  TrainConfig config;
  apply_json(config, R"({"stage": [{"pixel": 7, "tv": 0.25}, {"from": 10, "pixel": 3}]})", "f");
  EXPECT_EQ(config.stage_at(9).weights.pixel, 7);
  EXPECT_EQ(config.stage_at(10).weights.pixel, 3);
  EXPECT_EQ(config.stage_at(10).weights.tv, 0.25);
  apply_json(config, R"({"stage": [{"refit-steps": 7, "fit-prior": true}, {"from": 10}]})", "f");
  EXPECT_EQ(config.stage_at(9).refit_steps, 7);
  EXPECT_TRUE(config.stage_at(9).fit_prior);
  EXPECT_EQ(config.stage_at(10).refit_steps, 0) << "done once";
  EXPECT_FALSE(config.stage_at(10).fit_prior);
}

TEST(TrainConfig, MessagesNameTheField) {
  EXPECT_EQ(config_error(R"({"iteration": 5})"), "run.json.iteration: no such setting");
  EXPECT_EQ(config_error(R"({"iterations": -5})"), "iterations = -5, must be > 0");
  EXPECT_EQ(config_error(R"({"iterations": 1.5})"), "run.json.iterations: expected a whole number, found 1.5");
  EXPECT_EQ(config_error(R"({"seed": -1})"), "run.json.seed: expected a whole number, found -1");
  EXPECT_EQ(config_error(R"({"dataset": 3})"), "run.json.dataset: cannot use the value 3");
  EXPECT_EQ(config_error(R"({"stage": [{"from": 1}]})"), "stage[0].from = 1, must be 0");
  EXPECT_EQ(config_error(R"({"stage": [{"perceptual": -0.1}]})"), "stage.perceptual = -0.1, must be >= 0");
  EXPECT_EQ(config_error("{"), "run.json: not valid JSON (byte 2)");
}

TEST(TrainConfig, NumbersThatNoFieldHolds) {
  EXPECT_EQ(config_error(R"({"seed": 1e999})"), "run.json: not valid JSON (a number is out of range)");
  EXPECT_EQ(config_error(R"({"iterations": 1e300})"), "run.json.iterations: expected a whole number, found 1e+300");
  EXPECT_EQ(config_error(R"({"scenes-per-step": 4294967297})"),
            "run.json.scenes-per-step: expected a whole number up to 2147483647, found 4294967297");
  EXPECT_EQ(config_error(R"({"unet-attention": [16, 4294967297]})"),
            "run.json.unet-attention[1]: expected a whole number up to 2147483647, found 4294967297");
  EXPECT_EQ(config_error(R"({"unet-attention": [1.5]})"), "run.json.unet-attention[0]: expected a whole number, found 1.5");
  EXPECT_EQ(config_error(R"({"unet-attention": 16})"), "run.json.unet-attention: expected a list, found 16");
}

TEST(TrainConfig, DeepNestingCostsNoStack) {
  constexpr int kDepth = 1000000;
  const std::string deep = std::string(kDepth, '[') + std::string(kDepth, ']');
  EXPECT_EQ(config_error("{\"dataset\": " + deep + "}"), "run.json.dataset: cannot use the value a list");
}

TEST(TrainConfig, TomlSaysTheSameAsJson) {
  TrainConfig from_toml, from_json;
  apply_settings(from_toml, R"(
dataset = "people"  # where
iterations = 300
unet-channel-factors = [0.5, 1, 2]
held-out = ["000_001"]
reference = true

[[stage]]
pixel = 7
tv = 0.25

[[stage]]
from = 10
diffusion = false
)", "run.toml");
  apply_settings(from_json, R"({
    "dataset": "people", "iterations": 300, "unet-channel-factors": [0.5, 1, 2], "held-out": ["000_001"],
    "reference": true, "stage": [{"pixel": 7, "tv": 0.25}, {"from": 10, "diffusion": false}]
})", "run.json");
  EXPECT_EQ(to_json(from_toml), to_json(from_json));
  EXPECT_EQ(from_toml.stages.at(1).weights.tv, 0.25);
  EXPECT_EQ(from_toml.iterations, 300);
}

TEST(TrainConfig, TomlMessagesNameTheField) {
  const auto error = [](const std::string& toml) { return config_error(toml, "run.toml"); };
  EXPECT_EQ(error("iteration = 5"), "run.toml.iteration: no such setting");
  EXPECT_EQ(error("iterations = 1.5"), "run.toml.iterations: expected a whole number, found 1.5");
  EXPECT_EQ(error("dataset = 3"), "run.toml.dataset: cannot use the value 3");
  EXPECT_EQ(error("dataset = 2021-01-01"), "run.toml.dataset: cannot use a date");
  EXPECT_EQ(error("loss-coef = nan"), "run.toml.loss-coef: cannot use a number that is not finite");
  EXPECT_EQ(error("[[stage]]\nform = 1"), "run.toml.stage[0].form: no such setting");
  EXPECT_EQ(error("[stage]\nfrom = 0"), "run.toml.stage: expected a list of tables");
  const std::string syntax = error("iterations = 5\nseed = = 3\n");
  EXPECT_TRUE(syntax.starts_with("run.toml:2: not valid TOML: ")) << syntax;
  EXPECT_EQ(syntax.find('\n'), std::string::npos) << syntax;
  EXPECT_EQ(config_error("", "run.yaml"), "run.yaml: settings are read from .json or .toml, not from '.yaml'");
}

TEST(TrainConfig, SingleSettingsFromACommandLine) {
  TrainConfig config;
  apply_setting(config, "iterations=12");
  apply_setting(config, "dataset=some/people");  // no TOML: a text
  apply_setting(config, "held-out=[\"000_001\"]");
  apply_setting(config, "unet-precision = \"bf16\"");
  EXPECT_EQ(config.iterations, 12);
  EXPECT_EQ(config.dataset, "some/people");
  EXPECT_EQ(config.held_out, std::vector<std::string>{"000_001"});
  const auto error = [](const std::string& setting) {
    try {
      TrainConfig other;
      apply_setting(other, setting);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(error("iteration=5"), "--set.iteration: no such setting");
  EXPECT_EQ(error("iterations=many"), "--set.iterations: cannot use the value \"many\"");
  EXPECT_EQ(error("iterations"), "--set iterations: expected key=value");
}

// The table of spec section 1.4, by column: iterations 0, s1, 50000, 100000.
TEST(TrainConfig, TheReleasesTwoConfigurations) {
  for (const bool composite : {false, true}) {
    TrainConfig c;
    const std::string file = std::string(LAV_GOLDEN_DIR "/../../configs/official-") + (composite ? "composite" : "thuman") + ".toml";
    apply_settings(c, read_file(file), file);
    c.check();
    EXPECT_EQ(c.scenes_per_step, composite ? 4 : 1);
    EXPECT_EQ(c.iterations, 200000);
    EXPECT_EQ(c.planes_height, 128);
    const std::int64_t s1 = composite ? 8000 : 2000;
    const std::int64_t first[] = {0, s1, 50000, 100000};
    struct Column {
      double extra, code_lr, offset, pixel, seg, inner, skin, opacity, tv, perceptual;
    };
    const Column columns[] = {{3, 0.04, 5, 18, 18, 5, 0.5, 0.5, 0.5, composite ? 0 : 0.1},
                              {1, 0.04, 5, 18, 18, 5, 0.5, 0.5, 0.5, 0.1},
                              {1, 0.04, 1, 10, 10, 2.5, 0.25, 0.25, composite ? 0.25 : 0.125, 0.05},
                              {1, 0.01, 0.5, 5, 5, 1.25, 0.125, 0.05, 0.125, 0.025}};
    for (std::size_t k = 0; k < 4; ++k)
      for (const std::int64_t at : {first[k], (k < 3 ? first[k + 1] : c.iterations) - 1}) {
        const Stage& s = c.stage_at(at);
        const Column& want = columns[k];
        const double got[] = {static_cast<double>(s.extra_scene_step), s.code_lr, s.weights.offset, s.weights.pixel, s.weights.seg, s.weights.inner, s.weights.skin, s.weights.opacity,
                              s.weights.tv, s.weights.perceptual};
        const double all[] = {want.extra, want.code_lr, want.offset, want.pixel, want.seg, want.inner, want.skin, want.opacity, want.tv, want.perceptual};
        for (std::size_t i = 0; i < std::size(got); ++i) EXPECT_EQ(got[i], all[i]) << file << " iteration " << at << " value " << i;
        EXPECT_TRUE(s.diffusion && s.batch_norm);
        EXPECT_EQ(s.image_size, 1024);
      }
  }
}

TEST(TrainConfig, LearningRateOfTheSpec) {  // section 15.1, times 1e-4
  const TrainConfig config;
  EXPECT_NEAR(config.lr_factor(0), 1.0e-3, 1e-12);
  EXPECT_NEAR(config.lr_factor(1), 2.998e-3, 1e-12);
  EXPECT_NEAR(config.lr_factor(250), 0.5005, 1e-12);
  EXPECT_NEAR(config.lr_factor(499), 0.998002, 1e-12);
  EXPECT_EQ(config.lr_factor(500), 1.0);
  EXPECT_EQ(config.lr_factor(100000), 0.5);
  const auto recorded = nlohmann::json::parse(read_file(LAV_GOLDEN_DIR "/train/i_lr_schedule.json"));
  ASSERT_EQ(recorded.at("rows").size(), 12U);
  for (const auto& row : recorded.at("rows")) {
    const double factor = config.lr_factor(row[0].get<std::int64_t>());
    EXPECT_NEAR(config.unet_lr * factor, row[1].get<double>(), 1e-12 * row[1].get<double>()) << row[0];
    EXPECT_NEAR(config.decoder_lr * factor, row[2].get<double>(), 1e-12 * row[2].get<double>()) << row[0];
  }
}

}  // namespace
}  // namespace layeravatar::train
