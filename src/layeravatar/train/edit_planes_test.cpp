#include "layeravatar/train/edit_planes.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "layeravatar/eval/metrics.h"
#include "layeravatar/testing/folder.h"
#include "layeravatar/train/studio_for_test.h"

namespace layeravatar::train {
namespace {

// The upper half of who is in a view, painted a tone redder.
struct Painted : RecordedStudio {
  SceneBatch scene = run.input(0).scenes[0];
  torch::Tensor before = planes(), drawn = draw(before, scene, 0), mask = std::get<0>(drawn.min(0)) < 0.9;
  PaintedView view;
  EditOptions options;

  Painted() {
    const torch::Tensor rows = mask.any(1).nonzero();
    mask.slice(0, rows[rows.size(0) / 2].item<std::int64_t>()).fill_(false);
    const torch::Tensor redder = (drawn + torch::tensor({0.15F, -0.1F, -0.1F}).reshape({3, 1, 1})).clamp(0, 1);
    view = {torch::where(mask, redder, drawn), mask, scene.cameras[0]};
    options.steps = 60;
  }
  torch::Tensor edit() { return edit_planes(studio, before, scene.params, {view}, options); }
};

TEST(EditPlanes, PaintsInsideAndHoldsOutside) {
  Painted p;
  const torch::Tensor after = p.edit(), now = p.draw(after, p.scene, 0);
  EXPECT_GT(eval::masked_psnr(now, p.view.image, p.mask), eval::masked_psnr(p.drawn, p.view.image, p.mask) + 2);
  EXPECT_GT(eval::masked_psnr(now, p.drawn, p.mask.logical_not()), 30);
  EXPECT_FALSE(after.requires_grad());
}

TEST(EditPlanes, GoesOnWhileThePaintedPartsComeNearer) {
  Painted p;
  int steps = 0;
  p.options.observe = [&](int) { ++steps; };
  p.view.image = torch::where(p.mask, torch::tensor({0.1F, 0.2F, 0.9F}).reshape({3, 1, 1}), p.drawn);
  p.options.steps = 10;
  p.edit();
  EXPECT_EQ(steps, 10) << "too few to tell";
  steps = 0;
  p.options.steps = 40;
  p.edit();
  EXPECT_GT(steps, 40);
  EXPECT_LE(steps, 120);
}

TEST(EditPlanes, OnlyWhatMayMoveDoes) {
  Painted p;
  p.options.steps = 5;
  p.options.geometry = false;
  torch::Tensor moved = (p.edit() - p.before).abs();
  EXPECT_EQ(moved.slice(0, 0, 6).max().item<float>(), 0);
  EXPECT_GT(moved.slice(0, 6).max().item<float>(), 0);
  p.options.geometry = true;
  p.options.colour = false;
  moved = (p.edit() - p.before).abs();
  EXPECT_EQ(moved.slice(0, 6).max().item<float>(), 0);
  EXPECT_GT(moved.slice(0, 0, 6).max().item<float>(), 0);
  p.options.colour = true;
  p.options.component = 0;
  moved = (p.edit() - p.before).abs();
  EXPECT_EQ(moved.slice(2, 32).max().item<float>(), 0) << "the body's square alone";
  EXPECT_GT(moved.slice(2, 0, 32).max().item<float>(), 0);
}

TEST(EditPlanes, AMaskOverNothingIsAnError) {
  Painted p;
  p.view.mask = torch::zeros({64, 64}, torch::kBool);
  p.view.mask.slice(0, 0, 2).slice(1, 0, 2).fill_(true);
  EXPECT_NE(testing::message_of(ErrorKind::kInput, [&] { p.edit(); }).find("nothing of what may change"), std::string::npos);
}

}  // namespace
}  // namespace layeravatar::train
