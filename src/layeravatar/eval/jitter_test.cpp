#include "layeravatar/eval/jitter.h"

#include <torch/torch.h>

#include <cmath>

#include "layeravatar/body/smplx_file.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/testing/folder.h"

namespace layeravatar::eval {
namespace {

// The recorded body and template; all Gaussians 10 cm to the side of the surface.
struct OffToTheSide {
  produce::Studio studio;
  avatar::GaussianAttributes attributes;

  OffToTheSide() {
    studio.deformer = std::make_shared<deform::Deformer>(body::read_smplx_npz(LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz").model,
                                                         templates::from_arrays(io::read_npz(LAV_GOLDEN_DIR "/avatar/d_template_small.npz"), "d_template_small.npz"));
    attributes.offset = torch::zeros({studio.deformer->count(), 3});
    attributes.offset.select(1, 0) += 0.1;
  }
  template <class Pose>
  [[nodiscard]] Jitter over(int frames, Pose&& pose) const {
    std::vector<body::PoseParams> motion;
    for (int t = 0; t < frames; ++t) {
      body::PoseParams p = body::canonical_pose();
      pose(p, static_cast<float>(t));
      motion.push_back(p);
    }
    return evaluate_jitter(studio, attributes, {}, motion);
  }
};

TEST(Jitter, APathIsTheBodysOwn) {
  const OffToTheSide avatar;
  const Jitter still = avatar.over(5, [](body::PoseParams&, float) {});
  EXPECT_EQ(still.frames, 3);
  EXPECT_EQ(still.own, 0);
  EXPECT_EQ(still.body, 0);
  const Jitter steady = avatar.over(4, [](body::PoseParams& p, float t) { p.transl[0] += 0.05F * t; });
  EXPECT_NEAR(steady.body / steady.frames, 0, 1e-3);
  // 1 cm t^2: the second difference is 2 cm.
  const Jitter faster = avatar.over(4, [](body::PoseParams& p, float t) { p.transl[1] += 0.01F * t * t; });
  EXPECT_NEAR(faster.body / faster.frames, 20, 1e-3);
  EXPECT_NEAR(faster.own / faster.frames, 0, 1e-3);
}

TEST(Jitter, WhatTurnsWithTheBodyIsTheAvatarsOwn) {
  const OffToTheSide avatar;
  // The whole body turns by 0.1 each frame: the 10 cm turn with it, and their second difference is 2 (1 - cos 0.1) of that.
  const Jitter turning = avatar.over(3, [](body::PoseParams& p, float t) { p.global_orient = {0, 0.1F * (t - 1), 0}; });
  EXPECT_NEAR(turning.own, 100 * 2 * (1 - std::cos(0.1)), 2e-3);
  EXPECT_GT(turning.body, 0.1);
}

TEST(Jitter, NeedsThreeFrames) {
  const OffToTheSide avatar;
  EXPECT_NE(testing::message_of(ErrorKind::kConfig, [&] { (void)avatar.over(2, [](body::PoseParams&, float) {}); }).find("has 2 frames"), std::string::npos);
}

}  // namespace
}  // namespace layeravatar::eval
