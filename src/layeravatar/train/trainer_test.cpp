#include "layeravatar/train/trainer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/io/png.h"
#include "layeravatar/nn/named_tensors.h"
#include "layeravatar/produce/sampling.h"
#include "layeravatar/testing/folder.h"
#include "layeravatar/train/export_pack.h"
#include "layeravatar/train/small_run_for_test.h"

namespace layeravatar::train {
namespace {

class TrainerRun : public testing::FolderTest, protected SmallBody {
 protected:
  static TrainConfig config(std::int64_t iterations) { return small_config(iterations); }
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

// A damaged checkpoint makes place for an older one, from which the run comes to the same end; without a whole one the run does not begin anew.
TEST_F(TrainerRun, ADamagedCheckpointIsSkipped) {
  Trainer whole = open("run", 5, false);
  whole.run();
  const auto checkpoints = folder / "run" / "checkpoints";
  const auto damage = [&](const std::string& file, const std::function<void(std::string&)>& how) {
    std::string bytes = read_file(checkpoints / file);
    how(bytes);
    write_file(checkpoints / file, bytes);
  };
  damage("iter_00000005/codes.safetensors", [](std::string& bytes) { bytes[bytes.size() - 3] ^= 4; });
  std::vector<std::string> said;
  RunOptions options;
  options.folder = folder / "run";
  options.resume = true;
  options.say = [&](const std::string& line) { said.push_back(line); };
  const auto resume = [&] { return Trainer(config(5), body, layers, std::make_shared<RandomScenes>(), options); };
  Trainer rest = resume();
  EXPECT_EQ(rest.iteration(), 4);
  ASSERT_EQ(said.size(), 1U);
  EXPECT_NE(said[0].find("iter_00000005 is damaged"), std::string::npos) << said[0];
  EXPECT_NE(said[0].find("codes.safetensors: CRC-32"), std::string::npos) << said[0];
  EXPECT_NE(said[0].find("going on from iter_00000004"), std::string::npos) << said[0];
  EXPECT_TRUE(std::filesystem::exists(checkpoints / "iter_00000005.damaged"));
  rest.run();
  EXPECT_TRUE(torch::equal(whole.codes().code(1), rest.codes().code(1)));
  EXPECT_EQ(newest_checkpoint(folder / "run").filename(), "iter_00000005");

  damage("iter_00000005/state.safetensors", [](std::string& bytes) { bytes.resize(bytes.size() / 2); });
  std::filesystem::remove(checkpoints / "iter_00000004" / "manifest.json");
  const std::string message = testing::message_of(ErrorKind::kInput, [&] { resume(); });
  EXPECT_NE(message.find("no whole checkpoint"), std::string::npos) << message;
  EXPECT_NE(message.find("iter_00000005/state.safetensors: "), std::string::npos) << message;
  EXPECT_NE(message.find("iter_00000004/manifest.json: cannot open"), std::string::npos) << message;
  EXPECT_EQ(newest_checkpoint(folder / "run").filename(), "iter_00000005") << "a run without a whole checkpoint is left as it is";
}

TEST_F(TrainerRun, CodesOnTheDiskTrainAsThoseInMemory) {
  const auto train = [&](const std::string& name, double in_memory, std::int64_t iterations, bool resume) {
    TrainConfig c = config(iterations);
    c.codes_in_memory = in_memory;
    RunOptions options;
    options.folder = folder / name;
    options.resume = resume;
    auto out = std::make_unique<Trainer>(c, body, layers, std::make_shared<RandomScenes>(), options);
    out->run();
    return out;
  };
  const auto memory = train("memory", 1, 4, false);
  train("disk", 0, 3, false);
  const auto disk = train("disk", 0, 4, true);
  for (const char* file : {"codes.safetensors", "manifest.json"})
    EXPECT_EQ(read_file(newest_checkpoint(folder / "memory") / file).size(), read_file(newest_checkpoint(folder / "disk") / file).size());
  EXPECT_EQ(read_file(newest_checkpoint(folder / "memory") / "codes.safetensors"), read_file(newest_checkpoint(folder / "disk") / "codes.safetensors"));
  for (const auto& entry : std::filesystem::directory_iterator(folder / "disk")) EXPECT_FALSE(entry.path().filename().string().starts_with("scratch")) << entry.path();
}

// What a step that diverges had is kept: the scene's code as it was, and the input.
TEST_F(TrainerRun, ADivergedStepIsKeptForDiagnosis) {
  struct Broken : RandomScenes {
    [[nodiscard]] SceneBatch load(std::int64_t scene, std::int64_t epoch, int size) override {
      SceneBatch out = RandomScenes::load(scene, epoch, size);
      if (epoch == 1) out.images[1][0][3][3] = std::numeric_limits<float>::quiet_NaN();
      return out;
    }
  };
  RunOptions options;
  options.folder = folder / "run";
  Trainer trainer(config(6), body, layers, std::make_shared<Broken>(), options);
  const std::string message = testing::message_of(ErrorKind::kDiverged, [&] { trainer.run(); });
  EXPECT_EQ(message, "pixel_loss at iteration 2 is not finite; the step is in " + (folder / "run" / "diverged_iter_00000002.safetensors").string());
  const io::SafeTensors kept = io::read_safetensors(folder / "run" / "diverged_iter_00000002.safetensors");
  const std::string scene = trainer.codes().names()[static_cast<std::size_t>(draw_scenes(config(6), 2, 2).scenes[0])];
  EXPECT_TRUE(kept.tensors.contains("before." + scene + ".code"));
  EXPECT_TRUE(kept.tensors.contains("input.noise"));
  EXPECT_TRUE(kept.tensors.contains("gradient.unet.out.conv.weight"));
  EXPECT_EQ(newest_checkpoint(folder / "run").filename(), "iter_00000002");
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
    const torch::Tensor whole = draw_code(codes, {}, engine).code;
    const DrawnCode drawn = draw_code(codes, owner, engine);
    const torch::Tensor& parts = drawn.code;
    EXPECT_EQ(whole.min().item<float>(), whole.max().item<float>());
    for (int part = 0; part < 5; ++part) {
      const torch::Tensor own = parts.masked_select(owner == part);
      EXPECT_EQ(own.min().item<float>(), own.max().item<float>()) << part;
      EXPECT_EQ(own.min().item<float>(), codes.code(drawn.person[static_cast<std::size_t>(part)]).min().item<float>()) << part;
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

// One step of Adam from zero moves every weight by its step size at most.
TEST_F(TrainerRun, AStageCanBeginWithThePriorsDenoiser) {
  TrainConfig c = config(3);
  c.warmup = 1;
  c.unet_lr = 0.1;
  c.stages = {Stage{}, Stage{}};
  c.stages[1].from = 2;
  const auto largest = [&](bool restart) {
    c.stages[1].restart_unet = restart;
    RunOptions options;
    options.folder = folder / (restart ? "anew" : "on");
    Trainer trainer(c, body, layers, std::make_shared<RandomScenes>(), options);
    trainer.run();
    return nn::named_tensors(*trainer.learned().unet).at("out.conv.weight").abs().max().item<double>();
  };
  EXPECT_LE(largest(true), 0.1001);
  EXPECT_GT(largest(false), 0.11);
}

// Of six people, three of each kind of top.
class KnownScenes : public RandomScenes {
 public:
  KnownScenes() : RandomScenes(6) {}
  [[nodiscard]] std::vector<io::Attributes> attributes() const override {
    std::vector<io::Attributes> out;
    for (int i = 0; i < 6; ++i) out.push_back({{"top", std::vector<std::string>{i % 2 == 0 ? "shirt" : "jacket"}}, {"years", 30.0 + 5 * i}});
    return out;
  }
};

// The networks of a run whose prior does not know people go into one whose prior does; that run goes on bit for bit, and its pack can be asked.
TEST_F(TrainerRun, ThePriorKnowsWhatTheDatasetSaysOfPeople) {
  TrainConfig c = config(2);
  c.unet_prior_rank = 3;
  const auto run = [&](const std::string& name, std::int64_t iterations, bool resume, const std::shared_ptr<const avatar::ModelPack>& start) {
    c.iterations = iterations;
    RunOptions options;
    options.folder = folder / name;
    options.resume = resume;
    options.start = start;
    auto out = std::make_unique<Trainer>(c, body, layers, std::make_shared<KnownScenes>(), options);
    out->run();
    return out;
  };
  const auto plain = run("plain", 2, false, nullptr);
  EXPECT_TRUE(plain->vocabulary().empty());
  const auto pack = std::make_shared<avatar::ModelPack>(make_pack(*plain, std::vector<body::PoseParams>(6), 32));
  EXPECT_TRUE(pack->config.attributes.empty());
  c.unet_prior_attributes = true;
  c.unet_open = 0.3;
  const auto whole = run("whole", 4, false, pack), half = run("half", 2, false, pack), rest = run("half", 4, true, nullptr);
  const auto tensors = nn::named_tensors(*rest->learned().unet);
  for (const auto& [name, value] : nn::named_tensors(*whole->learned().unet)) EXPECT_TRUE(torch::equal(value, tensors.at(name))) << name;
  ASSERT_EQ(whole->vocabulary().size(), 2U);
  // Whoever opens the run without knowing the people has the vocabulary from the checkpoint.
  c.iterations = 4;
  RunOptions names;
  names.folder = folder / "whole";
  names.resume = true;
  const Trainer opened(c, body, layers, std::make_shared<RandomScenes>(6), names);
  ASSERT_EQ(opened.vocabulary().size(), 2U);
  EXPECT_EQ(opened.vocabulary()[0].words, whole->vocabulary()[0].words);
  const avatar::ModelPack told = make_pack(*whole, std::vector<body::PoseParams>(6), 32);
  avatar::write_pack(folder / "pack.safetensors", told);
  const produce::Studio studio = produce::open_studio(folder / "pack.safetensors");
  produce::SamplingOptions asked;
  asked.steps = 2;
  const auto sample = [&](const std::string& like, double guidance) {
    asked.like = like;
    asked.guidance = guidance;
    return produce::sample_planes(studio, produce::noise_of(studio, 5).unsqueeze(0), 1, asked);
  };
  const torch::Tensor open = sample("", 1), jacket = sample("top=jacket", 1), shirt = sample("top=shirt", 1);
  EXPECT_FALSE(torch::equal(jacket, shirt));
  EXPECT_TRUE(torch::equal(sample("top=jacket", 0), open));
  EXPECT_FALSE(torch::equal(sample("years=40", 1), open));
  EXPECT_FALSE(torch::equal(sample("top=jacket", 2), jacket));
  EXPECT_THROW(sample("top=kilt", 1), Error);
  EXPECT_THROW(sample("top=jacket", 30), Error);
}

TEST_F(TrainerRun, APriorOfPeopleNeedsPeopleOfWhomSomethingIsKnown) {
  TrainConfig c = config(2);
  c.unet_prior_attributes = true;
  RunOptions options;
  options.folder = folder / "run";
  const auto open = [&] { Trainer(c, body, layers, std::make_shared<RandomScenes>(), options); };
  EXPECT_THROW(open(), Error);
  c.unet_prior_rank = 1;
  EXPECT_THROW(open(), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
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
