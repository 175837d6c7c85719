#include "layeravatar/deform/deformer.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <optional>
#include <thread>

#include "hwy/targets.h"

#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/testing/deterministic_values.h"

namespace layeravatar::deform {
namespace {

constexpr auto kDouble = torch::kFloat64;

io::ArrayMap golden_file(const std::string& name) { return io::read_npz(std::string(LAV_GOLDEN_DIR "/") + name); }
torch::Tensor get(const io::ArrayMap& arrays, const std::string& name) { return tensor::to_tensor(arrays.at(name)); }

body::PoseParams params_of(const torch::Tensor& row) {
  const torch::Tensor r = row.to(torch::kFloat32).contiguous();
  return body::pose_from_vector({r.data_ptr<float>(), static_cast<std::size_t>(r.numel())});
}

avatar::GaussianAttributes recorded_attributes(const io::ArrayMap& g, int s) {
  const auto row = [&](const std::string& name) { return get(g, "eval." + name)[s].contiguous(); };
  return {row("sigma").squeeze(1), row("offset"), row("rgb"), row("radius"), row("rot")};
}

// The body of the recorded values, their template and its deformer.
class Recorded : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    model = new body::BodyModel(body::read_smplx_npz(LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz").model);
    const std::string name = "d_template_small.npz";
    layers = new templates::LayeredTemplate(templates::from_arrays(golden_file("avatar/" + name), name));
    deformer = new Deformer(*model, *layers);
  }
  static void TearDownTestSuite() {
    delete deformer;
    delete layers;
    delete model;
  }
  static void near(const torch::Tensor& got, const torch::Tensor& want, const std::string& what,
                   double relative = 2e-5) {
    ASSERT_EQ(got.sizes(), want.sizes()) << what;
    EXPECT_LE((got - want).abs().max().item<double>(), relative * want.abs().max().item<double>()) << what;
  }
  static inline body::BodyModel* model = nullptr;
  static inline templates::LayeredTemplate* layers = nullptr;
  static inline Deformer* deformer = nullptr;
};

TEST_F(Recorded, TemplateHasItsFourBlocks) {
  EXPECT_EQ(layers->blocks, (std::array<std::int64_t, 4>{1409, 800, 480, 960}));
  const templates::LayeredTemplate back = templates::from_arrays(templates::to_arrays(*layers), "memory");
  EXPECT_EQ(back.positions, layers->positions);
  EXPECT_EQ(back.pose_dirs, layers->pose_dirs);
  EXPECT_EQ(back.nose_mask, layers->nose_mask);
}

TEST_F(Recorded, PosedPointsAndMapsOfFourLayouts) {
  const io::ArrayMap g = golden_file("deform/f_deformer_small.npz");
  const torch::Tensor offsets = get(g, "offsets");
  for (const std::string layout : {"189", "179", "175", "none"})
    for (int s = 0; s < 2; ++s) {
      const std::string key = layout == "none" ? "none." : "p" + layout + ".";
      const auto pose = deformer->prepare(layout == "none" ? body::default_viewing_pose()
                                                           : params_of(get(g, "smpl_" + layout)[s]));
      near(tensor::from_floats(pose->transforms, {55, 4, 4}), get(g, key + "A")[s], key + "A");
      const auto posed = deformer->posed_points(offsets[s], *pose);
      near(posed.means, get(g, key + "pts")[s], key + "pts");
      const torch::Tensor maps = layout == "189" ? posed.maps : posed.maps.slice(0, 0, posed.maps.size(0), 16);
      near(maps, get(g, key + "tfs")[s], key + "tfs");
    }
}

TEST_F(Recorded, RawVolumeWeights) {
  const io::ArrayMap g = golden_file("deform/f_deformer_small.npz");
  const torch::Tensor points = tensor::from_floats(layers->shifted_positions(), {layers->count(), 3});
  for (int s = 0; s < 2; ++s) {
    const torch::Tensor at = (points + get(g, "offsets")[s]).slice(0, 0, layers->count(), 16).contiguous();
    std::vector<float> got(static_cast<std::size_t>(at.size(0) * 55));
    deformer->volume().query({at.data_ptr<float>(), static_cast<std::size_t>(at.numel())}, got);
    near(tensor::from_floats(got, {at.size(0), 55}), get(g, "weights_query")[s], "weights");
  }
}

TEST_F(Recorded, FramesSizesAndCovariances) {
  const io::ArrayMap g = golden_file("avatar/d_decoder_small.npz");
  for (int s = 0; s < 2; ++s) {
    const auto attributes = recorded_attributes(g, s);
    const auto prepared = deformer->prepare(params_of(get(g, "smpl_params")[s]));
    const auto posed = deformer->pose(attributes, prepared);
    near(posed.means, get(g, "xyz")[s], "means");
    const torch::Tensor base = deformer->base_sizes(posed.means);
    near(base.square(), get(g, "knn_mean_d2")[s], "mean squared distance");
    const torch::Tensor thin = torch::tensor({1.0F, 1.0F, 0.01F});
    near((1 + attributes.radius) * base.unsqueeze(1) * thin, get(g, "scales")[s], "scales");
    // A covariance is quadratic in lengths: twice their relative error.
    near(posed.covariances, get(g, "cov3D")[s], "covariances", 4e-5);
    const torch::Tensor maps = deformer->posed_points(attributes.offset, *prepared).maps;
    for (std::int64_t i = 0; i < layers->count(); i += 4) {
      const torch::Tensor w = attributes.rotation[i].contiguous();
      const auto r = body::rodrigues(std::span<const float, 3>(w.data_ptr<float>(), 3));
      const torch::Tensor frame = tensor::from_floats({layers->frames.data() + 9 * i, 9}, {3, 3});
      const torch::Tensor linear = maps[i].slice(0, 0, 3).slice(1, 0, 3);
      const torch::Tensor turned = linear.matmul(frame).matmul(tensor::from_floats(r, {3, 3}));
      near(turned, get(g, "R_def")[s][i / 4], "frame " + std::to_string(i));
    }
  }
}

// The formulas in tensor operations, in double and differentiable; shares no code with the kernels.
struct Twin {
  const Deformer& d;
  const PreparedPose& pose;

  // Means [N, 3] and blended bone transforms [N, 3, 4].
  std::pair<torch::Tensor, torch::Tensor> skin(const torch::Tensor& offset) const {
    const auto& l = d.layers();
    const std::int64_t n = l.count(), nb = l.body_count();
    const torch::Tensor p = tensor::from_floats(l.shifted_positions(), {n, 3}).to(kDouble) + offset;
    const torch::Tensor nodes = tensor::from_floats(d.volume().nodes(), {16, 64, 64, 55}).to(kDouble);
    const torch::Tensor last = torch::tensor({63.0, 63.0, 15.0}, kDouble);
    const torch::Tensor scale = torch::tensor({1.0, 1.0, 4.0}, kDouble) / d.volume().half_size();
    const torch::Tensor centre = tensor::from_floats(d.volume().centre(), {3}).to(kDouble);
    const torch::Tensor grid = (((p - centre) * scale + 1) * 0.5 * last).clamp(torch::zeros({3}, kDouble), last);
    const torch::Tensor low = torch::minimum(grid.detach().floor(), last - 1), f = grid - low;
    torch::Tensor w = torch::zeros({n, 55}, kDouble);
    for (int k = 0; k < 8; ++k) {
      const torch::Tensor bit = torch::tensor({k & 1, (k >> 1) & 1, (k >> 2) & 1}).to(kDouble);
      const torch::Tensor at = (low + bit).to(torch::kInt64);
      const torch::Tensor part = (bit * f + (1 - bit) * (1 - f)).prod(1);
      w = w + part.unsqueeze(1) * nodes.index({at.select(1, 2), at.select(1, 1), at.select(1, 0)});
    }
    torch::Tensor fixed = torch::zeros({n}, torch::kBool), stored = torch::zeros({n, 55}, kDouble);
    const auto mask = l.weights_mask();
    for (std::int64_t i = 0; i < nb; ++i) fixed[i] = mask[static_cast<std::size_t>(i)] != 0;
    stored.slice(0, 0, nb) = tensor::from_floats(l.body_weights, {nb, 55}).to(kDouble);
    w = torch::where(fixed.unsqueeze(1), stored, w);
    const torch::Tensor bones = tensor::from_floats(pose.transforms, {55, 4, 4}).to(kDouble).slice(1, 0, 3);
    const torch::Tensor map = torch::einsum("nj,jrc->nrc", {w, bones});
    const torch::Tensor y = p - canonical() + tensor::from_floats(pose.corrections, {n, 3}).to(kDouble);
    return {torch::einsum("nrc,nc->nr", {map.slice(2, 0, 3), y}) + map.select(2, 3), map};
  }

  static torch::Tensor canonical() { return torch::tensor({0.0, 0.35, 0.0}, kDouble); }

  // Means [N, 3] and covariances [N, 6].
  std::pair<torch::Tensor, torch::Tensor> operator()(const torch::Tensor& offset, const torch::Tensor& radius,
                                                     const torch::Tensor& rotation, const torch::Tensor& base) const {
    const std::int64_t n = d.layers().count();
    const auto [means, map] = skin(offset);
    const torch::Tensor angle = (rotation + 1e-8).norm(2, 1, true), k = rotation / angle;
    const torch::Tensor zero = torch::zeros({n}, kDouble), x = k.select(1, 0), y = k.select(1, 1), z = k.select(1, 2);
    const torch::Tensor skew = torch::stack({zero, -z, y, z, zero, -x, -y, x, zero}, 1).reshape({n, 3, 3});
    const torch::Tensor turn = torch::eye(3, kDouble) + angle.sin().unsqueeze(2) * skew +
                               (1 - angle.cos()).unsqueeze(2) * skew.matmul(skew);
    const torch::Tensor frames = tensor::from_floats(d.layers().frames, {n, 3, 3}).to(kDouble);
    const torch::Tensor r = map.slice(2, 0, 3).matmul(frames).matmul(turn);
    const torch::Tensor s = (1 + radius) * base.to(kDouble).unsqueeze(1) * torch::tensor({1.0, 1.0, 0.01}, kDouble);
    const torch::Tensor cov = r.matmul(torch::diag_embed(s.square())).matmul(r.transpose(1, 2));
    const auto entry = [&](int row, int column) { return cov.select(1, row).select(1, column); };
    return {means, torch::stack({entry(0, 0), entry(0, 1), entry(0, 2), entry(1, 1), entry(1, 2), entry(2, 2)}, 1)};
  }
};

TEST_F(Recorded, TheTwinHasTheRecordedGradientOfPointsAndMaps) {
  const io::ArrayMap g = golden_file("deform/f_deformer_small.npz");
  const std::int64_t n = layers->count();
  const auto count = static_cast<std::size_t>(n);
  const auto gy = testing::deterministic("def.gy", 2 * count * 3, testing::Kind::kNormal);
  const auto gt = testing::deterministic("def.gt", 2 * count * 16, testing::Kind::kNormal);
  for (int s = 0; s < 2; ++s) {
    const auto pose = deformer->prepare(params_of(get(g, "smpl_189")[s]));
    const torch::Tensor offset = get(g, "offsets")[s].to(kDouble).requires_grad_(true);
    const auto [means, d] = Twin{*deformer, *pose}.skin(offset);
    const torch::Tensor linear = d.slice(2, 0, 3);
    const torch::Tensor shift = d.select(2, 3) - linear.matmul(Twin::canonical());  // W = D [I | -c]
    const torch::Tensor maps = torch::cat({linear, shift.unsqueeze(2)}, 2);
    const torch::Tensor wy = tensor::from_floats(gy, {2, n, 3})[s].to(kDouble);
    const torch::Tensor wt = tensor::from_floats(gt, {2, n, 4, 4})[s].slice(1, 0, 3).to(kDouble);
    ((means * wy).sum() + (maps * wt).sum()).backward();
    near(offset.grad(), get(g, "grad_pts")[s].to(kDouble), "gradient");
  }
}

// Values and gradients of the kernels against the twin.
template <class Near>
void expect_like_twin(const Deformer& d, avatar::GaussianAttributes a, const body::PoseParams& params, Near near) {
  const auto pose = d.prepare(params);
  const std::array<torch::Tensor*, 3> mine = {&a.offset, &a.radius, &a.rotation};
  std::array<torch::Tensor, 3> twin;
  for (std::size_t k = 0; k < 3; ++k) {
    *mine[k] = mine[k]->clone().requires_grad_(true);
    twin[k] = mine[k]->detach().to(kDouble).requires_grad_(true);
  }
  const auto posed = d.pose(a, pose);
  const auto [means, covariances] = Twin{d, *pose}(twin[0], twin[1], twin[2], d.base_sizes(posed.means));
  near(posed.means.detach().to(kDouble), means.detach(), "means", 1e-6);
  near(posed.covariances.detach().to(kDouble), covariances.detach(), "covariances", 1e-5);
  torch::manual_seed(9);
  const torch::Tensor weigh_means = torch::randn_like(posed.means);
  const torch::Tensor weigh_covariances = torch::randn_like(posed.covariances) * 1e3;
  ((posed.means * weigh_means).sum() + (posed.covariances * weigh_covariances).sum()).backward();
  ((means * weigh_means).sum() + (covariances * weigh_covariances).sum()).backward();
  for (std::size_t k = 0; k < 3; ++k)
    near(mine[k]->grad().to(kDouble), twin[k].grad(), "gradient " + std::to_string(k), 1e-4);
}

TEST_F(Recorded, ValuesAndGradientsMatchTheTwin) {
  const io::ArrayMap g = golden_file("avatar/d_decoder_small.npz");
  for (int s = 0; s < 2; ++s) {
    avatar::GaussianAttributes a = recorded_attributes(g, s);
    a.rotation.slice(0, 0, 40) *= 1e-3;  // small angles too
    a.rotation.slice(0, 40, 50).zero_();
    expect_like_twin(*deformer, a, params_of(get(g, "smpl_params")[s]), near);
  }
}

TEST_F(Recorded, BeyondTheVolumeTheWeightsAreThoseOfItsBorder) {
  const io::ArrayMap g = golden_file("avatar/d_decoder_small.npz");
  avatar::GaussianAttributes a = recorded_attributes(g, 0);
  // All points, so that the sizes stay comparable; each axis and side in turn.
  for (int axis = 0; axis < 3; ++axis)
    for (const float side : {-1.0F, 1.0F}) {
      avatar::GaussianAttributes moved = a;
      moved.offset = a.offset.clone();
      moved.offset.select(1, axis) += side * 3 * deformer->volume().half_size();
      expect_like_twin(*deformer, moved, params_of(get(g, "smpl_params")[0]), near);
    }
}

TEST_F(Recorded, ARigidTurnMovesEverythingRigidly) {  // section 17
  const torch::Tensor none = torch::zeros({layers->count(), 3});
  const auto rest = deformer->posed_points(none, *deformer->prepare(body::canonical_pose()));
  const torch::Tensor start = tensor::from_floats(layers->shifted_positions(), {layers->count(), 3});
  EXPECT_LT((rest.means - start).abs().max().item<float>(), 1e-6F) << "zero parameters leave the canonical points";
  EXPECT_LT((rest.maps - torch::eye(4)).abs().max().item<float>(), 1e-6F) << "weights sum to one";
  body::PoseParams turned = body::canonical_pose();
  turned.global_orient = {0.3F, -0.4F, 0.5F};
  const auto moved = deformer->posed_points(none, *deformer->prepare(turned));
  const torch::Tensor rotation = tensor::from_floats(body::rodrigues(turned.global_orient), {3, 3});
  const auto joints = body::pose(deformer->body(), body::canonical_pose()).rest_joints;
  const torch::Tensor pelvis = tensor::from_floats({joints.data(), 3}, {3});
  const torch::Tensor c = tensor::from_floats(body::kCanonicalOffset, {3});
  const torch::Tensor want = (start - c - pelvis).matmul(rotation.t()) + pelvis + c;
  EXPECT_LT((moved.means - want).abs().max().item<float>(), 2e-6F);
}

TEST_F(Recorded, WithoutPoseDirectionsOnlyTheShapeCorrects) {
  templates::LayeredTemplate plain = *layers;
  plain.pose_dirs.clear();
  body::PoseParams params = params_of(get(golden_file("avatar/d_decoder_small.npz"), "smpl_params")[0]);
  const auto with = deformer->prepare(params), without = Deformer(*model, plain).prepare(params);
  EXPECT_EQ(with->transforms, without->transforms);
  float largest = 0;
  for (std::size_t i = 0; i < with->corrections.size(); ++i) {
    double want = 0;  // mean over the corners
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t l = 0; l < 20; ++l) {
        const auto vertex = static_cast<std::size_t>(layers->faces[i / 3 * 3 + c]);
        const double factor = l < 10 ? params.betas[l] : params.expression[l - 10];
        want += factor * static_cast<double>(layers->shape_dirs[(3 * vertex + i % 3) * 20 + l]) / 3;
      }
    ASSERT_NEAR(without->corrections[i], want, 1e-6) << i;
    largest = std::max(largest, std::abs(with->corrections[i] - without->corrections[i]));
  }
  EXPECT_GT(largest, 1e-3F) << "the pose directions do something";
}

TEST_F(Recorded, ColoursOpacitiesAndComponentsPassThrough) {
  const auto a = recorded_attributes(golden_file("avatar/d_decoder_small.npz"), 0);
  const auto posed = deformer->pose(a, deformer->prepare(body::default_viewing_pose()));
  EXPECT_TRUE(torch::equal(posed.colours, a.rgb));
  EXPECT_TRUE(torch::equal(posed.opacities, a.opacity));
  const int component_of_label[] = {255, 0, 1, 2, 3, 4};
  std::array<int, 6> seen{};
  for (std::int64_t i = 0; i < layers->count(); ++i) {
    const auto label = static_cast<std::size_t>(layers->labels[static_cast<std::size_t>(i)]);
    ASSERT_EQ(posed.components[i].item<int>(), component_of_label[label]) << i;
    ++seen[label];
  }
  EXPECT_EQ(seen[0], 160);
  EXPECT_EQ(*std::min_element(seen.begin(), seen.end()), 160) << "all labels occur";
}

TEST_F(Recorded, OneThreadGivesTheSameBits) {
  const io::ArrayMap g = golden_file("avatar/d_decoder_small.npz");
  const auto run = [&](int threads) {
    omp_set_num_threads(threads);
    avatar::GaussianAttributes a = recorded_attributes(g, 0);
    for (torch::Tensor* t : {&a.offset, &a.radius, &a.rotation}) t->requires_grad_(true);
    const auto posed = deformer->pose(a, deformer->prepare(params_of(get(g, "smpl_params")[0])));
    (posed.means.square().sum() + posed.covariances.sum()).backward();
    return std::vector<torch::Tensor>{posed.means, posed.covariances, a.offset.grad(), a.radius.grad(),
                                      a.rotation.grad()};
  };
  const int before = omp_get_max_threads();
  const auto one = run(1), three = run(3);
  omp_set_num_threads(before);
  for (std::size_t k = 0; k < one.size(); ++k) EXPECT_TRUE(torch::equal(one[k], three[k])) << k;
}

TEST_F(Recorded, ABoundAvatarHasTheSameBitsInEveryFrame) {
  const io::ArrayMap g = golden_file("avatar/d_decoder_small.npz");
  const auto a = recorded_attributes(g, 0);
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    std::optional<Deformer> own(std::in_place, *model, *layers);
    const PosableAvatar avatar = own->bind(a);
    own.reset();
    for (int frame = 0; frame < 6; ++frame) {
      body::PoseParams params = params_of(get(g, "smpl_params")[frame / 3]);  // a leap in the middle
      params.body_pose[3] += 0.05F * static_cast<float>(frame);
      const splat::Gaussians got = avatar.pose(params), want = deformer->pose(a, deformer->prepare(params));
      EXPECT_TRUE(torch::equal(got.means, want.means)) << frame;
      EXPECT_TRUE(torch::equal(got.covariances, want.covariances)) << frame;
      EXPECT_TRUE(torch::equal(got.colours, want.colours));
      EXPECT_TRUE(torch::equal(got.opacities, want.opacities));
      EXPECT_TRUE(torch::equal(got.components, want.components));
    }
  }
  omp_set_num_threads(before);
}

TEST_F(Recorded, ABoundAvatarServesSeveralThreads) {
  const io::ArrayMap g = golden_file("avatar/d_decoder_small.npz");
  const auto a = recorded_attributes(g, 0);
  const PosableAvatar avatar = deformer->bind(a);
  const auto params = [&](int k) { return params_of(get(g, "smpl_params")[k % 2]); };
  std::array<torch::Tensor, 4> got;
  std::vector<std::thread> threads;
  for (std::size_t k = 0; k < got.size(); ++k)
    threads.emplace_back([&, k] { for (int again = 0; again < 3; ++again) got[k] = avatar.pose(params(static_cast<int>(k))).covariances; });
  for (std::thread& t : threads) t.join();
  for (std::size_t k = 0; k < got.size(); ++k)
    EXPECT_TRUE(torch::equal(got[k], deformer->pose(a, deformer->prepare(params(static_cast<int>(k)))).covariances)) << k;
}

TEST_F(Recorded, InstructionSetsAgree) {
  const io::ArrayMap g = golden_file("avatar/d_decoder_small.npz");
  const auto run = [&] {
    avatar::GaussianAttributes a = recorded_attributes(g, 0);
    for (torch::Tensor* t : {&a.offset, &a.radius, &a.rotation}) t->requires_grad_(true);
    const auto posed = deformer->pose(a, deformer->prepare(params_of(get(g, "smpl_params")[0])));
    (posed.means.square().sum() + posed.covariances.sum()).backward();
    return std::vector<torch::Tensor>{posed.means.detach(), posed.covariances.detach(), a.offset.grad(), a.radius.grad(), a.rotation.grad()};
  };
  const auto best = run();
  for (std::int64_t left = hwy::SupportedTargets() | HWY_SCALAR; left != 0; left &= left - 1) {
    hwy::SetSupportedTargetsForTest(left & -left);
    hwy::GetChosenTarget().DeInit();
    const auto other = run();
    for (std::size_t k = 0; k < best.size(); ++k) near(other[k], best[k], hwy::TargetName(left & -left) + std::string(" ") + std::to_string(k), 4e-5);
    hwy::SetSupportedTargetsForTest(0);
  }
  hwy::GetChosenTarget().DeInit();
}

TEST_F(Recorded, AGraphOutlivesItsDeformer) {
  const io::ArrayMap g = golden_file("avatar/d_decoder_small.npz");
  const auto gradient = [&](bool early) {
    avatar::GaussianAttributes a = recorded_attributes(g, 0);
    a.offset.requires_grad_(true);
    std::optional<Deformer> own(std::in_place, *model, *layers);
    const torch::Tensor loss = own->pose(a, own->prepare(body::default_viewing_pose())).means.square().sum();
    if (early) own.reset();
    loss.backward();
    return a.offset.grad();
  };
  EXPECT_TRUE(torch::equal(gradient(true), gradient(false)));
}

TEST_F(Recorded, RefusesWhatDoesNotFit) {
  const auto a = recorded_attributes(golden_file("avatar/d_decoder_small.npz"), 0);
  const auto pose = deformer->prepare(body::default_viewing_pose());
  const Deformer other(*model, *layers);
  EXPECT_THROW((void)other.pose(a, pose), Error);
  EXPECT_THROW((void)deformer->pose(a, nullptr), Error);
  auto wrong = a;
  wrong.radius = a.radius.slice(0, 1);
  EXPECT_THROW((void)deformer->pose(wrong, pose), Error);
  templates::LayeredTemplate bad = *layers;
  bad.faces[5] = static_cast<std::int32_t>(bad.dense_count());
  EXPECT_THROW(Deformer(*model, bad), Error);
  bad = *layers;
  bad.labels[0] = 6;
  EXPECT_THROW(Deformer(*model, bad), Error);
  bad = *layers;
  ++bad.blocks[2];
  EXPECT_THROW(Deformer(*model, bad), Error);
}

TEST_F(Recorded, ADivergedPointSpoilsItsBlockOnly) {
  auto a = recorded_attributes(golden_file("avatar/d_decoder_small.npz"), 0);
  a.offset[1500][1] = std::numeric_limits<float>::quiet_NaN();  // block 1: 1409 .. 2208
  const auto posed = deformer->pose(a, deformer->prepare(body::default_viewing_pose()));
  EXPECT_TRUE(posed.covariances.slice(0, 1409, 2209).isnan().all().item<bool>());
  EXPECT_TRUE(posed.covariances.slice(0, 0, 1409).isfinite().all().item<bool>());
  EXPECT_TRUE(posed.covariances.slice(0, 2209).isfinite().all().item<bool>());
  EXPECT_EQ(posed.means.isnan().any(1).sum().item<int>(), 1);
}

TEST_F(Recorded, CoincidentPointsKeepALeastSize) {
  const torch::Tensor base = deformer->base_sizes(torch::zeros({layers->count(), 3}));
  EXPECT_FLOAT_EQ(base.min().item<float>(), std::sqrt(1e-7F));
  EXPECT_FLOAT_EQ(base.max().item<float>(), std::sqrt(1e-7F));
}

}  // namespace
}  // namespace layeravatar::deform
