#include "layeravatar/train/fit_views.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "layeravatar/train/fit_start.h"
#include "layeravatar/train/studio_for_test.h"

namespace layeravatar::train {
namespace {

// Three views of known planes without labels: a silhouette and colours alone.
struct Seen : RecordedStudio {
  SceneBatch scene = run.input(0).scenes[0];
  torch::Tensor truth = planes();
  FitViewsOptions options;

  Seen() {
    std::vector<torch::Tensor> images;
    for (std::size_t v = 0; v < 3; ++v) images.push_back(draw(truth, scene, v));
    scene.images = torch::stack(images);
    scene.cameras.resize(3);
    scene.labels = (std::get<0>(scene.images.min(1)) < 0.98).to(torch::kUInt8);
    options.labelled = false;
    options.steps = 100;
    options.prior_weight = 4e-8;  // of planes far from the mean
  }
  double error(const torch::Tensor& of) const {
    double sum = 0;
    for (std::size_t v = 0; v < 3; ++v) sum += (draw(of, scene, v) - scene.images[static_cast<std::int64_t>(v)]).square().mean().item<double>();
    return sum;
  }
};

TEST(FitViews, FindsPlanesThatDrawThePicturesWithoutLabels) {
  Seen seen;
  int told = 0;
  seen.options.observe = [&](bool guided, int step, const torch::Tensor&) {
    EXPECT_FALSE(guided);
    EXPECT_EQ(step, told++);
  };
  const torch::Tensor found = fit_views(seen.studio, seen.scaffold, seen.scene, seen.options);
  EXPECT_EQ(told, seen.options.steps + 1);
  EXPECT_LT(seen.error(found), 0.3 * seen.error(mean_planes(seen.studio)));
}

TEST(FitViews, GuidedStepsComeNearerThanTheSampleOfTheSameNoise) {
  Seen seen;
  seen.studio.unet = seen.run.learned.unet;
  seen.options.steps = 0;
  seen.options.guided_steps = 5;
  const auto fit = [&](double guidance) {
    seen.options.guidance = guidance;
    return fit_views(seen.studio, seen.scaffold, seen.scene, seen.options);
  };
  const torch::Tensor found = fit(4);
  EXPECT_LT(seen.error(found), seen.error(fit(0)));
  EXPECT_TRUE(torch::equal(found, fit(4))) << "a seed gives one fit";
}

// A prior of two kinds of people, of whom the pictures show one of the second kind.
TEST(FitViews, BeginsWithTheKindThatThePicturesShow) {
  Seen seen;
  diffusion::UNetConfig config;
  config.image_size = {32, 96};
  config.prior_rank = 8;
  seen.studio.unet = std::make_shared<diffusion::UNet>(config);
  auto generator = at::detail::createCPUGenerator(3);
  std::vector<torch::Tensor> people;
  for (int i = 0; i < 12; ++i) people.push_back((i % 2 == 0 ? -1 : 1) * seen.truth + 0.02 * torch::randn(seen.truth.sizes(), generator, torch::TensorOptions()));
  seen.studio.unet->prior()->fit(people, torch::zeros({12, 32, 96}, torch::kUInt8));
  Stage stage = fitting_stage("default");
  stage.weights.order = 0;  // of a template with layers
  const torch::Tensor start = fit_start(seen.studio, seen.scaffold, seen.scene, stage, false);
  EXPECT_LT(seen.error(start), 0.6 * seen.error(mean_planes(seen.studio)));
  EXPECT_GT((start * seen.truth).sum().item<double>(), 0);
}

TEST(FitViews, StopsWhereItIs) {
  Seen seen;
  std::atomic<bool> stop = false;
  seen.options.stop = &stop;
  seen.options.observe = [&](bool, int step, const torch::Tensor&) { stop = step == 3; };
  EXPECT_FALSE(fit_views(seen.studio, seen.scaffold, seen.scene, seen.options).defined());
}

}  // namespace
}  // namespace layeravatar::train
