#include "layeravatar/train/fit_code.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "layeravatar/core/error.h"
#include "layeravatar/splat/render.h"
#include "layeravatar/train/recorded_run_for_test.h"

namespace layeravatar::train {
namespace {

torch::Tensor draw(const RecordedRun& run, const torch::Tensor& planes, const SceneBatch& scene) {
  const torch::NoGradGuard no_grad;
  run.learned.decoder->eval();
  const torch::Tensor samples = run.scaffold.sampler->sample(run.learned.decoder->attribute_map(planes.unsqueeze(0)))[0];
  const auto posed = run.scaffold.deformer->pose(avatar::attributes_from_samples(samples), run.scaffold.deformer->prepare(scene.params));
  std::vector<torch::Tensor> out;
  for (const auto& camera : scene.cameras) out.push_back(splat::render(posed, camera).full.clamp(0, 1));
  return torch::stack(out);
}

// Pictures drawn from known planes: the fit must find planes that draw them, with the decoder as it was.
TEST(FitCode, FindsPlanesThatDrawThePictures) {
  RecordedRun run;
  SceneBatch scene = run.input(0).scenes[0];
  const torch::Tensor truth = run.learned.activation.forward(4 * run.codes[0].code);
  scene.images = draw(run, truth, scene);
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
  const auto error = [&](const torch::Tensor& planes) { return (draw(run, planes, scene) - scene.images).square().mean().item<double>(); };
  EXPECT_EQ(asked.size(), 30U);  // 8 views, two a step
  EXPECT_LT(error(found), 0.1 * error(torch::zeros_like(truth)));
  EXPECT_TRUE(torch::equal(before, nn::named_tensors(*run.learned.decoder).begin()->second));
}

// Frequencies that never deviate stay at the mean; the others move.
TEST(FitCode, KeepsToThePrior) {
  RecordedRun run;
  const SceneBatch scene = run.input(0).scenes[0];
  const CodePrior prior{run.codes[1].code, torch::zeros({12, 8, 8}), nullptr, 0};
  prior.deviation.slice(0, 6).fill_(0.2);
  FitOptions options;
  options.steps = 5;
  const torch::Tensor code = fit_code(run.scaffold, *run.learned.decoder, run.learned.activation, prior, [&](int) { return scene; }, options);
  EXPECT_TRUE(torch::equal(code.slice(0, 0, 6), prior.mean.slice(0, 0, 6)));
  EXPECT_GT((code - prior.mean).slice(0, 6).abs().max().item<float>(), 0.01);
}

// A prior with one component, which moves all planes at once.
CodePrior one_component(const RecordedRun& run) {
  auto known = std::make_shared<diffusion::MixturePrior>(12, std::array{32, 96}, 1);
  const torch::Tensor planes = run.learned.activation.forward(4 * run.codes[0].code);
  const torch::Tensor smooth = planes.unfold(1, 8, 8).unfold(2, 8, 8).mean({3, 4}).repeat_interleave(8, 1).repeat_interleave(8, 2);
  known->fit({smooth, -smooth}, torch::zeros({12, 32, 96}, torch::kUInt8));
  return code_prior(known, run.learned.activation, 32);
}

TEST(FitCode, MovesTheComponentsFirst) {
  RecordedRun run;
  const CodePrior prior = one_component(run);
  SceneBatch scene = run.input(0).scenes[0];
  FitOptions options;
  options.steps = 6;
  const auto fit = [&](double alone) {
    options.components_alone = alone;
    return fit_code(run.scaffold, *run.learned.decoder, run.learned.activation, prior, [&](int) { return scene; }, options) - prior.mean;
  };
  const torch::Tensor direction = prior.components->of_components(torch::ones({5, 1}));
  const auto beside = [&](const torch::Tensor& moved) {  // share of the movement that is not the component's
    const torch::Tensor along = (moved * direction).sum() / direction.square().sum() * direction;
    return ((moved - along).norm() / moved.norm()).item<double>();
  };
  EXPECT_LT(beside(fit(1)), 1e-4);
  EXPECT_GT(beside(fit(0.5)), 1e-2);
}

TEST(FitCode, APersonOfThePriorIsFoundByItsComponents) {
  RecordedRun run;
  const CodePrior prior = one_component(run);
  SceneBatch scene = run.input(0).scenes[0];
  scene.images = draw(run, run.learned.activation.forward(prior.mean + prior.slope * prior.components->of_components(torch::full({5, 1}, 0.8))), scene);
  FitOptions options;
  options.steps = 40;
  options.components_alone = 1;
  options.stage.weights.seg = options.stage.weights.inner = options.stage.weights.skin = options.stage.weights.opacity = 0;
  const torch::Tensor moved =
      fit_code(run.scaffold, *run.learned.decoder, run.learned.activation, prior, [&](int) { return scene; }, options) - prior.mean;
  const torch::Tensor direction = prior.slope * prior.components->of_components(torch::ones({5, 1}));
  EXPECT_NEAR(((moved * direction).sum() / direction.square().sum()).item<double>(), 0.8, 0.05);
}

TEST(FitCodes, AreThoseOfOnePersonAtATime) {
  RecordedRun run;
  omp_set_num_threads(2);  // LibTorch may have taken one
  const StepInput in = run.input(0);
  const CodePrior prior = one_component(run);
  FitOptions options;
  options.steps = 4;
  std::vector<std::int64_t> told;
  const auto load = [&](std::int64_t i, int) { return in.scenes[static_cast<std::size_t>(i % 2)]; };
  const auto got = fit_codes(run.scaffold, *run.learned.decoder, run.learned.activation, prior, 5, load, options, [&](std::int64_t n) { told.push_back(n); }, nullptr);
  EXPECT_EQ(told, (std::vector<std::int64_t>{1, 2, 3, 4, 5}));
  ASSERT_EQ(got.size(), 5U);
  for (std::int64_t i = 0; i < 5; ++i) {
    const torch::Tensor want =
        fit_code(run.scaffold, *run.learned.decoder, run.learned.activation, prior, [&](int batch) { return load(i, batch); }, options);
    EXPECT_LT((got[static_cast<std::size_t>(i)] - want).abs().max().item<double>(), 1e-4 * (want - prior.mean).abs().max().item<double>()) << i;
  }
}

TEST(FitCodes, StopAndErrorsEndAllOfThem) {
  RecordedRun run;
  omp_set_num_threads(2);  // LibTorch may have taken one
  const StepInput in = run.input(0);
  FitOptions options;
  options.steps = 2;
  std::atomic<bool> stop = false;
  const auto fit = [&](const std::function<SceneBatch(std::int64_t, int)>& load, const std::function<void(std::int64_t)>& fitted) {
    return fit_codes(run.scaffold, *run.learned.decoder, run.learned.activation, code_prior(nullptr, run.learned.activation, 32), 20, load, options,
                     fitted, &stop);
  };
  EXPECT_TRUE(fit([&](std::int64_t, int) { return in.scenes[0]; }, [&](std::int64_t) { stop = true; }).empty());
  stop = false;
  std::atomic<int> loads = 0;
  EXPECT_THROW(fit([&](std::int64_t i, int) -> SceneBatch {
                 if (++loads == 1) throw Error(ErrorKind::kInput, std::to_string(i));
                 return in.scenes[0];
               }, nullptr), Error);
  EXPECT_LT(loads, 20);  // one each
}

TEST(CodePrior, OfAPackIsItsPriorAsCodes) {
  const auto known = std::make_shared<diffusion::MixturePrior>(12, std::array{16, 48}, 3);
  const avatar::PlaneActivation activation;
  std::vector<torch::Tensor> planes;
  double mean = 0, square = 0;
  for (int i = 0; i < 4; ++i) {
    planes.push_back(torch::full({12, 16, 48}, 0.02 * i));  // small: the activation is almost linear
    const double code = activation.inverse(planes.back()).mean().item<double>();
    mean += code / 4;
    square += code * code / 4;
  }
  known->fit(planes, torch::zeros({12, 16, 48}, torch::kUInt8));
  const CodePrior got = code_prior(known, activation, 16);
  const double deviation = 8 * std::sqrt(square - mean * mean);  // of a block's mean frequency
  EXPECT_LT((got.mean - mean).abs().max().item<float>(), 1e-3);
  EXPECT_NEAR(got.deviation[0][0][0].item<double>(), deviation, 0.01 * deviation);
  EXPECT_LT(got.deviation[0][3][3].item<float>(), 1e-5);
  EXPECT_EQ(got.components, known);
}

}  // namespace
}  // namespace layeravatar::train
