#include "layeravatar/train/train_step.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "layeravatar/core/error.h"
#include "layeravatar/train/recorded_run_for_test.h"
#include "layeravatar/train/thread_ranks_for_test.h"

namespace layeravatar::train {
namespace {

TEST(TrainStep, TwoRecordedSteps) {
  RecordedRun run;
  const std::int64_t iterations[2] = {0, 9000};
  for (int step = 0; step < 2; ++step) {
    const std::string key = std::string("s").append(std::to_string(step)).append(".");
    StepTimes times;
    std::vector<torch::Tensor> gradients;
    const StepLog log = train_step(run.scaffold, run.learned, run.input(step), run.config, iterations[step], times, &gradients);
    for (const auto& [name, value] : run.json["logs"][static_cast<std::size_t>(step)]["log_vars"].items()) {
      ASSERT_TRUE(log.contains(name)) << name;
      EXPECT_NEAR(log.at(name), value.get<double>(), 1e-4 * std::abs(value.get<double>()) + 1e-7) << key << name;
    }
    const std::size_t steps = gradients.size() / 2;
    ASSERT_EQ(steps, step == 0 ? 4U : 2U);
    for (std::size_t n = 0; n < steps; ++n)
      for (std::size_t s = 0; s < 2; ++s) {
        const torch::Tensor want = run.get(key + "code_grad." + std::to_string(n) + ".scene" + std::to_string(s));
        EXPECT_LT((gradients[2 * n + s] - want).abs().max().item<double>(), 1e-3 * want.abs().max().item<double>()) << key << n << " " << s;
      }
    run.round_codes();
    for (int s = 0; s < 2; ++s)
      EXPECT_LT((run.codes[static_cast<std::size_t>(s)].code - run.get(key + "code_after")[s]).abs().max().item<double>(), 1e-3) << key;
    const torch::Tensor running = run.get(key + "running");
    EXPECT_NEAR(run.learned.activation.running_mean().item<float>(), running[0].item<float>(), 1e-6);
    EXPECT_NEAR(run.learned.activation.running_var().item<float>(), running[1].item<float>(), 1e-6);
    for (const auto& p : run.learned.decoder->named_parameters()) {
      if (p.key() == "base_net.0.bias" || p.key() == "tex_net.0.bias") continue;  // before a batch norm: true gradient zero
      const torch::Tensor want = run.get(key + "dec_grad." + p.key());
      EXPECT_LT((p.value().grad() - want).abs().max().item<double>(), 1e-3 * want.abs().max().item<double>()) << key << p.key();
    }
    const torch::Tensor norms = run.get(key + "unet_grad_norm");
    const double largest = norms.max().item<double>();
    std::int64_t at = 0;
    for (const auto& p : run.learned.unet->named_parameters()) {
      EXPECT_EQ(p.key(), run.json["unet_param_order"][static_cast<std::size_t>(at)].get<std::string>());
      const double want = norms[at++].item<double>();
      EXPECT_NEAR(p.value().grad().norm().item<double>(), want, 1e-3 * want + 1e-5 * largest) << key << p.key();
    }
    const auto tensors = nn::named_tensors(*run.learned.decoder);
    for (const auto& [name, tensor] : tensors) {
      if (name == "base_net.0.bias" || name == "tex_net.0.bias") continue;  // before a batch norm: true gradient zero
      const torch::Tensor want = run.get(key + "dec_after." + name).to(torch::kFloat32);
      // A first Adam step moves every element by the step size whatever its gradient: near-zero gradients may differ in sign.
      const double mean = (tensor.to(torch::kFloat32) - want).abs().mean().item<double>();
      EXPECT_LT(mean, name.find("running") != std::string::npos ? 1e-3 : 1e-4) << key << name;
    }
    for (const std::string name : {"in_blocks.0.0.weight", "out.conv.weight", "mid_blocks.1.qkv.weight"}) {
      const torch::Tensor want = run.get(key + "unet_after." + name);
      const torch::Tensor got = nn::named_tensors(*run.learned.unet).at(name).flatten().slice(0, 0, want.numel());
      EXPECT_LT((got - want.flatten()).abs().mean().item<double>(), 1e-6) << key << name;
    }
  }
}

// One hook call at iteration 1 on copies of the initial decoder: the parameters average, the buffers are copied.
TEST(TrainStep, RecordedAverageOfTheDecoder) {
  const RecordedRun run;
  avatar::Decoder average, decoder;
  fill(average, "decoder.");
  nn::NamedTensors after;
  for (const auto& [name, tensor] : nn::named_tensors(decoder)) after[name] = run.get("s1.dec_after." + name).reshape(tensor.sizes());
  nn::load_named_tensors(decoder, after, "recorded");
  nn::update_ema(average, decoder, nn::ema_momentum(1));
  for (const auto& [name, tensor] : nn::named_tensors(average)) {
    const torch::Tensor want = run.get("ema_iter1.decoder_ema." + name).reshape(tensor.sizes()).to(torch::kFloat32);
    EXPECT_LE((tensor.to(torch::kFloat32) - want).abs().max().item<double>(), 2e-7 * (1 + want.abs().max().item<double>())) << name;
  }
  for (const auto& [iteration, momentum] : run.json["ema_momentum"].items())
    EXPECT_NEAR(nn::ema_momentum(std::stoll(iteration)), momentum.get<double>(), 1e-12) << iteration;
}

// Two ranks with a scene each, against one that has both. Rounding grows from step to step, since Adam's steps do not depend on a gradient's size and what is zero but for
// rounding goes either way: so the gradients of each step are compared from the same state.
TEST(TrainStep, RanksThatShareABatchTrainAsOneWithAllScenes) {
  constexpr std::size_t kSteps = 3;
  const auto one_step = [](RecordedRun& run, const std::shared_ptr<Ranks>& ranks, std::size_t k) {
    run.scaffold.ranks = ranks;
    run.config.sync_batchnorm = true;
    StepInput input = run.input(static_cast<int>(k % 2));
    if (ranks->size() > 1) {
      const auto own = ranks->rank();
      input.scenes = {input.scenes[static_cast<std::size_t>(own)]};
      input.codes = {input.codes[static_cast<std::size_t>(own)]};
      input.timesteps = input.timesteps.slice(0, own, own + 1);
      input.noise = input.noise.slice(0, own, own + 1);
    }
    StepTimes times;
    std::vector<torch::Tensor> code_gradients;
    train_step(run.scaffold, run.learned, input, run.config, 9000 + static_cast<std::int64_t>(k), times, &code_gradients);
    return code_gradients;
  };
  RecordedRun whole;
  std::vector<std::vector<torch::Tensor>> whole_gradients;
  for (std::size_t k = 0; k < kSteps; ++k) whole_gradients.push_back(one_step(whole, std::make_shared<Ranks>(), k));

  // Of all numbers together, for the same reason.
  const auto expect_close = [](const torch::Tensor& got, const torch::Tensor& want, const std::string& what) {
    EXPECT_LE((got - want).norm().item<double>(), 1e-5 * want.norm().item<double>()) << what;
  };
  const auto flat = [](const torch::nn::Module& module, bool wants_gradients) {
    std::vector<torch::Tensor> out;
    for (const torch::Tensor& p : module.parameters()) out.push_back((wants_gradients ? p.grad() : p).detach().flatten());
    return torch::cat(out).to(torch::kFloat64);
  };
  // Steps before `shared` as one, then that one as two; from the first on all of them.
  for (std::size_t shared = 0; shared < kSteps; ++shared) {
    const std::size_t end = shared == 0 ? kSteps : shared + 1;
    RecordedRun parts[kRanks];
    std::vector<torch::Tensor> gradients[kRanks];
    Meeting meeting;
    const auto train = [&](int r) {
      RecordedRun& run = parts[r];
      for (std::size_t k = 0; k < shared; ++k) one_step(run, std::make_shared<Ranks>(), k);
      const auto ranks = std::make_shared<ThreadRanks>(meeting, r);
      gradients[r] = one_step(run, ranks, shared);
      for (std::size_t k = shared + 1; k < end; ++k) one_step(run, ranks, k);
    };
    std::thread second([&] { train(1); });
    train(0);
    second.join();
    for (std::size_t r = 0; r < kRanks; ++r) {
      for (std::size_t n = 0; n < gradients[r].size(); ++n)
        expect_close(gradients[r][n], whole_gradients[shared][2 * n + r], fmt::format("code gradient {} of step {}, scene {}", n, shared, r));
      if (end < kSteps) continue;
      expect_close(parts[r].codes[r].code, whole.codes[r].code, "code");
      const Learned &got = parts[r].learned, &want = whole.learned;
      for (const bool gradient : {true, false}) {
        if (gradient && shared + 1 < kSteps) continue;
        expect_close(flat(*got.decoder, gradient), flat(*want.decoder, gradient), "decoder");
        expect_close(flat(*got.unet, gradient), flat(*want.unet, gradient), "U-Net");
      }
      const auto buffers = want.decoder->named_buffers();
      for (const auto& b : got.decoder->named_buffers()) expect_close(b.value().to(torch::kFloat64), buffers[b.key()].to(torch::kFloat64), b.key());
      EXPECT_NEAR(got.activation.running_var().item<float>(), want.activation.running_var().item<float>(), 1e-6);
    }
  }
}

TEST(TrainStep, ANonFiniteNumberIsNamedAndEndsTheStep) {
  RecordedRun run;
  StepInput input = run.input(0);
  input.scenes[1].images[0][0][5][5] = std::numeric_limits<float>::quiet_NaN();
  StepTimes times;
  try {
    train_step(run.scaffold, run.learned, input, run.config, 17, times);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kDiverged);
    EXPECT_STREQ(e.what(), "pixel_loss at iteration 17 is not finite");
  }
}

}  // namespace
}  // namespace layeravatar::train
