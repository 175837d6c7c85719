#include "layeravatar/train/train_step.h"

#include <gtest/gtest.h>
#include <torch/optim/adam.h>
#include <torch/torch.h>

#include <nlohmann/json.hpp>

#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/block_cosine.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/nn/named_tensors.h"
#include "layeravatar/splat/render.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/testing/deterministic_values.h"

namespace layeravatar::train {
namespace {

namespace fs = std::filesystem;
const std::string kGolden = LAV_GOLDEN_DIR;

torch::Tensor mask_of(const std::vector<std::uint8_t>& mask) {
  torch::Tensor out = torch::empty({static_cast<std::int64_t>(mask.size())});
  std::copy(mask.begin(), mask.end(), out.data_ptr<float>());
  return out;
}

void fill(torch::nn::Module& module, const std::string& prefix) {
  const torch::NoGradGuard no_grad;
  for (auto& [name, tensor] : nn::named_tensors(module))
    if (tensor.scalar_type() == torch::kFloat32)
      torch::Tensor(tensor).copy_(tensor::from_floats(testing::deterministic_weights(prefix + name, tensor.sizes().vec()), tensor.sizes()));
}

// The small model of the recorded steps.
struct RecordedRun {
  io::ArrayMap arrays = io::read_npz(kGolden + "/train/k_train_step_small.npz");
  nlohmann::json json = nlohmann::json::parse(read_file(kGolden + "/train/k_train_step_small.json"));
  Scaffold scaffold;
  Learned learned;
  TrainConfig config;
  std::vector<CodeState> codes;

  RecordedRun() {
    const auto layers = templates::from_arrays(io::read_npz(kGolden + "/avatar/d_template_small.npz"), "d_template_small.npz");
    scaffold.deformer = std::make_shared<deform::Deformer>(body::read_smplx_npz(kGolden + "/body/SMPLX_NEUTRAL.npz").model, layers);
    scaffold.sampler = std::make_shared<avatar::MapSampler>(layers.uvs);
    torch::Tensor is_body = torch::zeros({layers.count()});
    is_body.slice(0, 0, layers.body_count()).fill_(1.0);
    scaffold.offset_masks = {is_body, mask_of(layers.hands_mask), mask_of(layers.offset_mask())};
    scaffold.face_points = mask_of(layers.face_mask).nonzero().squeeze(1);
    diffusion::UNetConfig unet;
    unet.image_size = {32, 96};
    unet.base_channels = 64;
    learned.decoder = std::make_shared<avatar::Decoder>();
    learned.decoder_ema = std::make_shared<avatar::Decoder>();
    learned.unet = std::make_shared<diffusion::UNet>(unet);
    learned.unet_ema = std::make_shared<diffusion::UNet>(unet);
    fill(*learned.decoder, "decoder.");
    fill(*learned.decoder_ema, "decoder.");
    fill(*learned.unet, "unet.");
    fill(*learned.unet_ema, "unet.");
    learned.decoder_adam = std::make_unique<torch::optim::Adam>(learned.decoder->parameters(), torch::optim::AdamOptions(1e-3));
    learned.unet_adam = std::make_unique<torch::optim::Adam>(learned.unet->parameters(), torch::optim::AdamOptions(1e-4));
    config.loss_coef = 0.1 / (1024.0 * 1024.0);
    config.warmup = 0;  // the recorded steps ran at full step sizes
    config.stages = {Stage{}, Stage{}};
    config.stages[0].extra_scene_step = 3;
    config.stages[1].from = 9000;
    config.stages[1].extra_scene_step = 1;
    const torch::Tensor code = get("code0");
    for (int s = 0; s < 2; ++s)
      codes.push_back({code[s].clone(), torch::zeros_like(code[s]), torch::zeros_like(code[s]), 0});
  }
  [[nodiscard]] torch::Tensor get(const std::string& name) const { return tensor::to_tensor(arrays.at(name)); }
  static torch::Tensor normal(const std::string& name) {
    return tensor::from_floats(testing::deterministic(name, 2 * 12 * 32 * 96, testing::Kind::kNormal), {2, 12, 32, 96});
  }

  StepInput input(int step) {
    StepInput in;
    const torch::Tensor images = tensor::from_floats(testing::deterministic("ts.img", 2 * 8 * 64 * 64 * 3, testing::Kind::kUnit), {2, 8, 64, 64, 3});
    const torch::Tensor labels = get("label").repeat_interleave(8, 2).repeat_interleave(8, 3).contiguous();
    const torch::Tensor cameras = get("cameras"), smpl = get("smpl");
    for (int s = 0; s < 2; ++s) {
      SceneBatch scene;
      scene.images = images[s].permute({0, 3, 1, 2}).contiguous();
      scene.labels = labels[s].contiguous();
      for (int v = 0; v < 8; ++v) {
        geometry::Camera camera;
        for (int k = 0; k < 16; ++k) camera.camera_from_world[static_cast<std::size_t>(k)] = cameras[v][3 + k].item<float>();
        camera.focal = 312.5;
        camera.width = camera.height = 64;
        scene.cameras.push_back(camera);
      }
      const torch::Tensor row = smpl[s].contiguous();
      scene.params = body::pose_from_vector({row.data_ptr<float>(), 189});
      in.scenes.push_back(std::move(scene));
      in.codes.push_back(&codes[static_cast<std::size_t>(s)]);
    }
    in.timesteps = step == 0 ? torch::tensor({612, 123}) : torch::tensor({40, 871});
    in.noise = normal("ts.noise" + std::to_string(step));
    return in;
  }
  // 16-bit storage between visits.
  void round_codes() {
    for (CodeState& c : codes) {
      c.code = c.code.clamp(-65504, 65504).to(torch::kFloat16).to(torch::kFloat32);
      c.exp_avg = c.exp_avg.to(torch::kBFloat16).to(torch::kFloat32);
      c.exp_avg_sq = c.exp_avg_sq.to(torch::kBFloat16).to(torch::kFloat32);
    }
  }
};

TEST(TrainStep, TwoRecordedSteps) {
  RecordedRun run;
  const std::int64_t iterations[2] = {0, 9000};
  for (int step = 0; step < 2; ++step) {
    const std::string key = "s" + std::to_string(step) + ".";
    StepTimes times;
    std::vector<torch::Tensor> gradients;
    const StepLog log = train_step(run.scaffold, run.learned, run.input(step), run.config, iterations[step], times, &gradients);
    for (const auto& [name, value] : run.json["logs"][static_cast<std::size_t>(step)]["log_vars"].items()) {
      ASSERT_TRUE(log.contains(name)) << name;
      EXPECT_NEAR(log.at(name), value.get<double>(), 2e-4 * std::abs(value.get<double>()) + 1e-7) << key << name;
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
      EXPECT_LT((run.codes[static_cast<std::size_t>(s)].code - run.get(key + "code_after")[s]).abs().max().item<double>(), 2e-3) << key;
    const torch::Tensor running = run.get(key + "running");
    EXPECT_NEAR(run.learned.activation.running_mean().item<float>(), running[0].item<float>(), 1e-6);
    EXPECT_NEAR(run.learned.activation.running_var().item<float>(), running[1].item<float>(), 1e-6);
    const auto tensors = nn::named_tensors(*run.learned.decoder);
    for (const auto& [name, tensor] : tensors) {
      if (name == "base_net.0.bias" || name == "tex_net.0.bias") continue;  // before a batch norm: true gradient zero
      const torch::Tensor want = run.get(key + "dec_after." + name).to(torch::kFloat32);
      // A first Adam step moves every element by the step size whatever its gradient: near-zero gradients may differ in sign.
      const double mean = (tensor.to(torch::kFloat32) - want).abs().mean().item<double>();
      EXPECT_LT(mean, name.find("running") != std::string::npos ? 1e-3 : 1e-4) << key << name;
    }
    for (const std::string name : {"out.conv.weight", "mid_blocks.1.qkv.weight"}) {
      const torch::Tensor want = run.get(key + "unet_after." + name);
      const torch::Tensor got = nn::named_tensors(*run.learned.unet).at(name).flatten().slice(0, 0, want.numel());
      EXPECT_LT((got - want.flatten()).abs().mean().item<double>(), 1e-6) << key << name;
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

// Pictures drawn from known planes: the fit must find planes that draw them, with the decoder as it was.
TEST(FitCode, FindsPlanesThatDrawThePictures) {
  RecordedRun run;
  SceneBatch scene = run.input(0).scenes[0];
  const torch::Tensor truth = run.learned.activation.forward(4 * run.codes[0].code);
  run.learned.decoder->eval();
  const auto draw = [&](const torch::Tensor& planes) {
    const torch::NoGradGuard no_grad;
    const torch::Tensor samples = run.scaffold.sampler->sample(run.learned.decoder->attribute_map(planes.unsqueeze(0)))[0];
    const auto posed = run.scaffold.deformer->pose(avatar::attributes_from_samples(samples), run.scaffold.deformer->prepare(scene.params));
    std::vector<torch::Tensor> out;
    for (const auto& camera : scene.cameras) out.push_back(splat::render(posed, camera).full.clamp(0, 1));
    return torch::stack(out);
  };
  scene.images = draw(truth);
  const auto before = nn::named_tensors(*run.learned.decoder).begin()->second.clone();
  std::vector<int> asked;
  FitOptions options;
  options.steps = 120;
  options.stage.weights.seg = options.stage.weights.inner = options.stage.weights.skin = options.stage.weights.opacity = 0;
  const CodePrior prior = code_prior(nullptr, run.learned.activation, 32);
  const torch::Tensor found = run.learned.activation.forward(fit_code(run.scaffold, *run.learned.decoder, run.learned.activation, prior, [&](int batch) {
    asked.push_back(batch);
    return scene;
  }, options));
  const auto error = [&](const torch::Tensor& planes) { return (draw(planes) - scene.images).square().mean().item<double>(); };
  EXPECT_EQ(asked.size(), 30U);  // 8 views, two a step
  EXPECT_LT(error(found), 0.1 * error(torch::zeros_like(truth)));
  EXPECT_TRUE(torch::equal(before, nn::named_tensors(*run.learned.decoder).begin()->second));
}

// Frequencies that never deviate stay at the mean; the others move.
TEST(FitCode, KeepsToThePrior) {
  RecordedRun run;
  const SceneBatch scene = run.input(0).scenes[0];
  CodePrior prior = code_prior({run.codes[0].code, run.codes[1].code});
  EXPECT_TRUE(torch::allclose(prior.mean, (run.codes[0].code + run.codes[1].code) / 2));
  const torch::Tensor apart = diffusion::block_cosine(((run.codes[0].code - run.codes[1].code) / 2).unsqueeze(0))[0];
  EXPECT_NEAR(prior.deviation[3][1][2].item<double>(), apart[3].select(2, 1).select(2, 2).square().mean().sqrt().item<double>(), 1e-5);
  prior.deviation.slice(0, 0, 6).zero_();
  prior.deviation.slice(0, 6).fill_(0.2);
  FitOptions options;
  options.steps = 5;
  const torch::Tensor code = fit_code(run.scaffold, *run.learned.decoder, run.learned.activation, prior, [&](int) { return scene; }, options);
  EXPECT_TRUE(torch::equal(code.slice(0, 0, 6), prior.mean.slice(0, 0, 6)));
  EXPECT_GT((code - prior.mean).slice(0, 6).abs().max().item<float>(), 0.01);
}

TEST(CodePrior, OfAPackIsItsGaussiansAsCodes) {
  diffusion::GaussianPrior gaussian(12, {16, 48}, 3);
  std::vector<torch::Tensor> planes, codes;
  const avatar::PlaneActivation activation;
  for (int i = 0; i < 4; ++i) {
    planes.push_back(torch::full({12, 16, 48}, 0.02 * i));  // small: the activation is almost linear
    codes.push_back(activation.inverse(planes.back()));
  }
  gaussian.fit(planes);
  const CodePrior got = code_prior(&gaussian, activation, 16), want = code_prior(codes);
  EXPECT_LT((got.mean - want.mean).abs().max().item<float>(), 1e-3);
  EXPECT_NEAR(got.deviation[0][0][0].item<float>(), want.deviation[0][0][0].item<float>(), 0.01 * want.deviation[0][0][0].item<float>());
  EXPECT_LT(got.deviation[0][3][3].item<float>(), 1e-5);
}

}  // namespace
}  // namespace layeravatar::train
