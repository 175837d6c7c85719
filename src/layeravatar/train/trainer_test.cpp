#include "layeravatar/train/trainer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>
#include <unistd.h>

#include <cmath>

#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/png.h"
#include "layeravatar/nn/named_tensors.h"

namespace layeravatar::train {
namespace {

// Two scenes of random pictures that depend on scene and epoch.
class RandomScenes : public SceneSource {
 public:
  [[nodiscard]] std::vector<std::string> names() const override { return {"a", "b"}; }
  [[nodiscard]] SceneBatch load(std::int64_t scene, std::int64_t epoch, int) override {
    auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(10 * scene + epoch));
    SceneBatch out;
    out.images = torch::rand({4, 3, 32, 32}, generator, torch::TensorOptions().dtype(torch::kFloat32));
    out.labels = torch::randint(6, {4, 32, 32}, generator, torch::kInt64).to(torch::kUInt8);
    for (int v = 0; v < 4; ++v) out.cameras.push_back(geometry::turntable_cameras(32)[static_cast<std::size_t>(9 * v)]);
    out.params = body::default_viewing_pose();
    return out;
  }
};

class TrainerRun : public ::testing::Test {
 protected:
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("lav_run_" + std::to_string(::getpid()));
  body::BodyModel body = body::read_smplx_npz(LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz").model;
  templates::LayeredTemplate layers =
      templates::from_arrays(io::read_npz(LAV_GOLDEN_DIR "/avatar/d_template_small.npz"), "d_template_small.npz");
  void TearDown() override { std::filesystem::remove_all(folder); }

  static TrainConfig config(std::int64_t iterations) {
    TrainConfig c;
    c.iterations = iterations;
    c.planes_height = 16;
    c.views_per_scene = 4;
    c.unet_base_channels = 32;
    c.unet_channel_factors = {0.5, 1};
    c.unet_attention = {8};
    c.unet_scenes = 2;
    c.checkpoint_every = 2;
    c.log_every = 1;
    return c;
  }
  Trainer open(const std::string& name, std::int64_t iterations, bool resume) {
    RunOptions options;
    options.folder = folder / name;
    options.resume = resume;
    return {config(iterations), body, layers, std::make_shared<RandomScenes>(), options};
  }
};

TEST_F(TrainerRun, AResumedRunContinuesExactly) {
  Trainer whole = open("whole", 5, false);
  whole.run();
  open("parts", 3, false).run();
  Trainer rest = open("parts", 5, true);
  EXPECT_EQ(rest.iteration(), 3);
  rest.run();
  for (std::int64_t s = 0; s < 2; ++s) EXPECT_TRUE(torch::equal(whole.codes().code(s), rest.codes().code(s))) << s;
  const auto a = whole.learned().unet_ema->parameters(), b = rest.learned().unet_ema->parameters();
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::equal(a[i], b[i])) << i;
  EXPECT_EQ(newest_checkpoint(folder / "parts").filename(), "iter_00000005");
  std::size_t kept = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "parts" / "checkpoints")) kept += entry.is_directory() ? 1U : 0U;
  EXPECT_EQ(kept, 2U) << "older checkpoints are removed, none is partial";
}

TEST_F(TrainerRun, ARunIsNotOverwrittenAndAnotherTemplateIsRefused) {
  open("run", 2, false).run();
  EXPECT_THROW(open("run", 2, false), Error);
  layers.uvs[0] = 1 - layers.uvs[0];
  try {
    open("run", 2, true);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_NE(std::string(e.what()).find("another template"), std::string::npos) << e.what();
  }
}

TEST_F(TrainerRun, ANewRunStartsFromAPacksNetworks) {
  Trainer first = open("first", 3, false);
  first.run();
  auto pack = std::make_shared<avatar::ModelPack>();
  pack->layers = layers;
  pack->decoder = nn::named_tensors(*first.learned().decoder_ema);
  pack->unet = nn::named_tensors(*first.learned().unet_ema);
  pack->activation = first.learned().activation;
  RunOptions options;
  options.folder = folder / "second";
  options.start = pack;
  const auto start = [&] { return Trainer(config(3), body, layers, std::make_shared<RandomScenes>(), options); };
  {
    const Trainer second = start();
    EXPECT_EQ(second.iteration(), 0);
    for (const auto& net : {second.learned().decoder, second.learned().decoder_ema})
      for (const auto& [name, value] : nn::named_tensors(*net)) EXPECT_TRUE(torch::equal(value, pack->decoder.at(name))) << name;
    for (const auto& net : {second.learned().unet, second.learned().unet_ema})
      for (const auto& [name, value] : nn::named_tensors(*net)) EXPECT_TRUE(torch::equal(value, pack->unet.at(name))) << name;
    EXPECT_TRUE(torch::equal(second.learned().activation.running_var(), pack->activation.running_var()));
  }
  pack->layers.uvs[0] = 1 - pack->layers.uvs[0];
  EXPECT_THROW(start(), Error);
  pack->layers = layers;
  pack->unet.begin()->second = torch::zeros({3, 2});
  EXPECT_THROW(start(), Error);
}

// Codes of one number each: a mixed one has one number in each component, and not the same in all.
TEST(DrawCode, TakesEachComponentFromAPersonOfItsOwn) {
  CodeCache codes({"a", "b", "c", "d"}, {12, 8, 24}, 1);
  for (std::int64_t i = 0; i < 4; ++i) {
    const torch::Tensor code = torch::full({12, 8, 24}, static_cast<double>(i)), zero = torch::zeros_like(code);
    codes.store(i, {code, zero, zero, 0});
  }
  const torch::Tensor owner = torch::randint(5, {12, 8, 24}).to(torch::kUInt8);
  std::mt19937_64 engine(3);
  bool mixed = false;
  for (int draw = 0; draw < 8; ++draw) {
    const torch::Tensor whole = draw_code(codes, {}, engine), parts = draw_code(codes, owner, engine);
    EXPECT_EQ(whole.min().item<float>(), whole.max().item<float>());
    for (int part = 0; part < 5; ++part) {
      const torch::Tensor own = parts.masked_select(owner == part);
      EXPECT_EQ(own.min().item<float>(), own.max().item<float>()) << part;
    }
    mixed = mixed || parts.min().item<float>() != parts.max().item<float>();
  }
  EXPECT_TRUE(mixed);
}

// The second stage fits codes and prior anew before its first iteration; networks stay, and a stopped fit changes nothing.
TEST_F(TrainerRun, AStageCanFitCodesAndPriorAnew) {
  TrainConfig c = config(3);
  c.unet_prior_rank = 1;
  c.stages = {Stage{}, Stage{}};
  c.stages[0].diffusion = false;
  c.stages[1].from = 2;
  std::atomic<bool> stop = false;
  std::vector<std::string> said;
  RunOptions options;
  options.folder = folder / "run";
  options.stop = &stop;
  const auto resume = [&](std::int64_t iterations) {
    c.iterations = iterations;
    options.resume = iterations > 2;
    auto out = std::make_unique<Trainer>(c, body, layers, std::make_shared<RandomScenes>(), options);
    return out;
  };
  const auto first = resume(2);
  first->run();
  const torch::Tensor before = first->codes().code(1);
  EXPECT_FALSE(first->learned().unet->prior()->fitted());
  c.stages[1].refit_steps = 7;
  c.stages[1].fit_prior = true;
  options.say = [&](const std::string& line) {
    said.push_back(line);
    stop = line.find("fitted") != std::string::npos;  // all codes are fitted then
  };
  const auto second = resume(3);
  second->run();
  EXPECT_EQ(second->iteration(), 3);
  EXPECT_EQ(said.front(), "fitted 2 of 2 codes anew");
  EXPECT_TRUE(second->learned().unet->prior()->fitted());
  EXPECT_GT((second->codes().code(1) - before).abs().max().item<float>(), 0.05);
  std::filesystem::remove_all(folder / "run" / "checkpoints" / "iter_00000003");
  stop = true;
  const auto third = resume(3);
  third->run();
  EXPECT_EQ(third->iteration(), 2);
  EXPECT_TRUE(torch::equal(third->codes().code(1), before));
}

TEST_F(TrainerRun, PreviewsAreWrittenAndChangeNothing) {
  TrainConfig c = config(4);
  c.stages = {Stage{}, Stage{}};
  c.stages[0].diffusion = false;
  c.stages[1].from = 2;
  const auto trained = [&](const std::string& name, std::int64_t preview_every) {
    RunOptions options;
    options.folder = folder / name;
    c.preview_every = preview_every;
    auto out = std::make_unique<Trainer>(c, body, layers, std::make_shared<RandomScenes>(), options);
    out->run();
    return out;
  };
  const auto plain = trained("plain", 0), shown = trained("shown", 2);
  EXPECT_FALSE(std::filesystem::exists(folder / "plain" / "previews"));
  EXPECT_FALSE(std::filesystem::exists(folder / "shown" / "previews" / "iter_00000001.png"));
  const io::Image without = io::read_png(folder / "shown" / "previews" / "iter_00000002.png");
  EXPECT_EQ(without.width, 7 * 32);
  EXPECT_EQ(without.height, 2 * 32) << "two scenes, no samples before diffusion is trained";
  EXPECT_EQ(io::read_png(folder / "shown" / "previews" / "iter_00000004.png").height, 3 * 32);
  RandomScenes source;
  const torch::Tensor target = source.load(0, 0, 0).images[0];
  EXPECT_EQ(without.pixels[0], std::lround(255 * target[0][0][0].item<float>()));

  for (std::int64_t s = 0; s < 2; ++s) EXPECT_TRUE(torch::equal(plain->codes().code(s), shown->codes().code(s))) << s;
  const auto expect_equal = [](const torch::nn::Module& a, const torch::nn::Module& b) {
    const auto other = nn::named_tensors(b);
    for (const auto& [name, value] : nn::named_tensors(a)) EXPECT_TRUE(torch::equal(value, other.at(name))) << name;
  };
  expect_equal(*plain->learned().decoder, *shown->learned().decoder);
  expect_equal(*plain->learned().decoder_ema, *shown->learned().decoder_ema);
  expect_equal(*plain->learned().unet, *shown->learned().unet);
  expect_equal(*plain->learned().unet_ema, *shown->learned().unet_ema);
  std::string events;
  for (const auto& file : std::filesystem::directory_iterator(folder / "shown" / "events")) events += read_file(file);
  for (const char* name : {"load", "decode", "deform", "splat", "losses", "unet", "optimiser"})
    EXPECT_NE(events.find(std::string("time/") + name), std::string::npos) << name;
}

TEST_F(TrainerRun, DrawsEverySceneOncePerEpoch) {
  const TrainConfig c = config(10);
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int> seen(7, 0);
    for (std::int64_t i = 0; i < 7; ++i) {
      const Draw d = draw_scenes(c, 7, 7 * epoch + i);
      EXPECT_EQ(d.epoch, epoch);
      ++seen[static_cast<std::size_t>(d.scenes.at(0))];
    }
    EXPECT_EQ(seen, std::vector<int>(7, 1));
  }
}

}  // namespace
}  // namespace layeravatar::train
