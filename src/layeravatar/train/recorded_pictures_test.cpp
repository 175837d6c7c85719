// Planes to pictures: decoder, template, deformer and splatter together against the recorded renders of the small model.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <string>
#include <vector>

#include "layeravatar/splat/render.h"
#include "layeravatar/splat/splat_twin.h"
#include "layeravatar/train/recorded_run_for_test.h"

namespace layeravatar::train {
namespace {

class RecordedPictures : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    run = new RecordedRun();
    arrays = new io::ArrayMap(io::read_npz(kGolden + "/avatar/d_decoder_small.npz"));
  }
  static void TearDownTestSuite() {
    delete run;
    delete arrays;
  }
  static torch::Tensor get(const std::string& name) { return tensor::to_tensor(arrays->at(name)); }

  static geometry::Camera camera(std::int64_t view) {
    geometry::Camera out;
    const torch::Tensor row = get("cameras")[view];
    for (int k = 0; k < 16; ++k) out.camera_from_world[static_cast<std::size_t>(k)] = row[3 + k].item<float>();
    for (int k = 0; k < 3; ++k) EXPECT_NEAR(out.centre()[static_cast<std::size_t>(k)], row[k].item<float>(), 1e-5);
    out.focal = 312.5;
    out.width = out.height = 64;
    return out;
  }

  /// Within 1e-4 [64, 64, C], but for a few pixels where rounding decides: there an alpha lies within 5e-5 of the cut at 1/255, or two
  /// neighbours in depth within the last two bits of float32. `scenes` are the passes that the picture shows.
  static void expect_pixels(const torch::Tensor& got, const torch::Tensor& want, const std::vector<splat::twin::Scene>& scenes,
                            const std::string& what) {
    ASSERT_EQ(got.sizes(), want.sizes()) << what;
    const torch::Tensor far = ((got - want).abs().amax(2) > 1e-4).nonzero();
    EXPECT_LE(far.size(0), 8) << what;
    for (std::int64_t k = 0; k < far.size(0); ++k) {
      const auto y = far[k][0].item<int>(), x = far[k][1].item<int>();
      const bool near = std::any_of(scenes.begin(), scenes.end(), [&](const splat::twin::Scene& scene) {
        const splat::twin::Margins m = splat::twin::margins(scene, x, y);
        return m.cut < 5e-5 || m.order < 1.2e-7;
      });
      EXPECT_TRUE(near) << what << ": pixel " << x << ", " << y << " differs, and nothing there is at its limit";
      EXPECT_LT((got - want)[y][x].abs().max().item<double>(), 1.0 / 255 + 1e-4) << what;
    }
  }

  /// One scene's Gaussians in both views against `<prefix>image` and `<prefix>segs`.
  static void expect_views(const torch::Tensor& samples, const body::PoseParams& params, const std::string& prefix, std::int64_t scene) {
    const auto& deformer = *run->scaffold.deformer;
    const splat::Gaussians posed = deformer.pose(avatar::attributes_from_samples(samples), deformer.prepare(params));
    for (std::int64_t view = 0; view < 2; ++view) {
      const splat::RenderOutputs got = splat::render(posed, camera(view));
      const torch::Tensor image = get(prefix + "image")[scene][view], segs = get(prefix + "segs")[scene][view];
      const torch::Tensor all = torch::cat({got.full, got.components.reshape({15, 64, 64})}).permute({1, 2, 0});
      const splat::twin::Scene full = splat::twin::scene_of(posed, camera(view), -1, false);
      std::vector<splat::twin::Scene> parts;
      for (int c = 0; c < 5; ++c) parts.push_back(splat::twin::scene_of(posed, camera(view), c, false));
      std::vector<splat::twin::Scene> every = parts;
      every.push_back(full);
      const std::string what = prefix + std::to_string(scene) + " " + std::to_string(view);
      expect_pixels(all, image, every, what + " images");
      // The grey of the label pass: labels are 1 body, 2 top, 3 hair, 4 shoes, 5 bottom, in the order of the components.
      const torch::Tensor grey = (got.component_weights * torch::arange(1, 6).reshape({5, 1, 1}) * 0.2).sum(0);
      expect_pixels(grey.unsqueeze(2).expand({64, 64, 3}), segs.slice(2, 1, 4), {full}, what + " labels");
      expect_pixels(got.component_alphas.permute({1, 2, 0}), segs.slice(2, 4), parts, what + " alphas");
      expect_pixels(got.inner_alpha.unsqueeze(2), segs.slice(2, 0, 1), {splat::twin::scene_of(posed, camera(view), 0, true)}, what + " inner");
    }
  }
  static body::PoseParams params(std::int64_t scene) {
    const torch::Tensor row = get("smpl_params")[scene].contiguous();
    return body::pose_from_vector({row.data_ptr<float>(), 189});
  }

  static inline RecordedRun* run = nullptr;
  static inline io::ArrayMap* arrays = nullptr;
};

TEST_F(RecordedPictures, EvaluationInTwoViews) {
  const torch::NoGradGuard no_grad;
  avatar::Decoder decoder;
  fill(decoder, "decoder.");
  decoder.eval();
  const torch::Tensor samples = run->scaffold.sampler->sample(decoder.attribute_map(get("code")));
  const torch::Tensor skin = avatar::attributes_from_samples(samples[0]).rgb.index_select(0, run->scaffold.face_points).mean(0);
  EXPECT_LT((skin - get("mean_body_color")[0]).abs().max().item<double>(), 2e-5);
  for (std::int64_t s = 0; s < 2; ++s) expect_views(samples[s], params(s), "", s);
  expect_views(samples[0], body::default_viewing_pose(), "none.", 0);
}

TEST_F(RecordedPictures, TrainingInTwoViews) {
  const torch::NoGradGuard no_grad;
  avatar::Decoder decoder;
  fill(decoder, "decoder.");
  decoder.train();
  const torch::Tensor map = decoder.attribute_map(get("code"));
  const torch::Tensor weights = torch::tensor({1.F, 2.F, 2.F, 2.F, 0.F, 0.F, 0.F, 0.F, 0.F, 0.F, 2.F, 2.F, 2.F}).reshape({1, 13, 1, 1});
  const torch::Tensor weighted = torch::cat((map * weights).chunk(3, 3), 1), want = get("trainfwd.attrmap");
  EXPECT_LT((weighted - want).abs().max().item<double>(), 2e-5 * want.abs().max().item<double>());
  const torch::Tensor samples = run->scaffold.sampler->sample(map);
  double offset = 0;
  for (std::int64_t s = 0; s < 2; ++s) {
    const avatar::GaussianAttributes attributes = avatar::attributes_from_samples(samples[s]);
    const torch::Tensor skin = attributes.rgb.index_select(0, run->scaffold.face_points).mean(0);
    EXPECT_LT((skin - get("trainfwd.reg_color")[s]).abs().max().item<double>(), 2e-5);
    offset += offset_regulariser(attributes.offset, run->scaffold.offset_masks).item<double>() / 2;
    expect_views(samples[s], params(s), "trainfwd.", s);
  }
  EXPECT_NEAR(offset, get("trainfwd.offset").item<double>(), 1e-4 * offset);
}

}  // namespace
}  // namespace layeravatar::train
