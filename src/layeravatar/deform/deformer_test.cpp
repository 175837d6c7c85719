#include "layeravatar/deform/deformer.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <torch/torch.h>

#include <cmath>

#include "layeravatar/body/smplx_file.h"
#include "layeravatar/deform/kernels/neighbours.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/testing/deterministic_values.h"

namespace layeravatar::deform {
namespace {

io::ArrayMap golden_file(const std::string& name) { return io::read_npz(std::string(LAV_GOLDEN_DIR "/") + name); }

class Recorded : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    layers = new templates::LayeredTemplate(templates::from_arrays(golden_file("avatar/d_template_small.npz"), "d_template_small.npz"));
    deformer = new Deformer(body::read_smplx_npz(LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz").model, *layers);
  }
  static void TearDownTestSuite() {
    delete deformer;
    delete layers;
  }
  static torch::Tensor get(const io::ArrayMap& arrays, const std::string& name) { return tensor::to_tensor(arrays.at(name)); }
  static body::PoseParams params(const torch::Tensor& row) {
    const torch::Tensor r = row.to(torch::kFloat32).contiguous();
    return body::pose_from_vector({r.data_ptr<float>(), static_cast<std::size_t>(r.numel())});
  }
  static void near(const torch::Tensor& got, const torch::Tensor& want, const std::string& what, double relative = 2e-5) {
    ASSERT_EQ(got.sizes(), want.sizes()) << what;
    EXPECT_LE((got - want).abs().max().item<double>(), relative * want.abs().max().item<double>()) << what;
  }
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
      const auto pose = deformer->prepare(layout == "none" ? body::default_viewing_pose() : params(get(g, "smpl_" + layout)[s]));
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
    torch::Tensor got = torch::empty({at.size(0), 55});
    deformer->volume().query({at.data_ptr<float>(), static_cast<std::size_t>(at.numel())}, {got.data_ptr<float>(), static_cast<std::size_t>(got.numel())});
    near(got, get(g, "weights_query")[s], "weights");
  }
}

avatar::GaussianAttributes recorded_attributes(const io::ArrayMap& g, int s) {
  const auto get = [&](const std::string& name) { return tensor::to_tensor(g.at("eval." + name))[s].contiguous(); };
  return {get("sigma").squeeze(1), get("offset"), get("rgb"), get("radius"), get("rot")};
}

TEST_F(Recorded, SizesAndCovariances) {
  const io::ArrayMap g = golden_file("avatar/d_decoder_small.npz");
  for (int s = 0; s < 2; ++s) {
    const auto attributes = recorded_attributes(g, s);
    const auto posed = deformer->pose(attributes, deformer->prepare(params(get(g, "smpl_params")[s])));
    near(posed.means, get(g, "xyz")[s], "means");
    near(deformer->base_sizes(posed.means).square(), get(g, "knn_mean_d2")[s], "mean squared distance", 1e-4);
    near(posed.covariances, get(g, "cov3D")[s], "covariances", 1e-4);
  }
}

// The formulas in tensor operations, in double and differentiable; shares no code with the kernels.
struct Twin {
  const Deformer& d;
  const PreparedPose& pose;
  torch::Tensor base;
  std::pair<torch::Tensor, torch::Tensor> operator()(const torch::Tensor& offset, const torch::Tensor& radius, const torch::Tensor& rotation) const {
    const auto f64 = torch::kFloat64;
    const auto& l = d.layers();
    const std::int64_t n = l.count(), nb = l.body_count();
    const torch::Tensor p = tensor::from_floats(l.shifted_positions(), {n, 3}).to(f64) + offset;
    const torch::Tensor nodes = tensor::from_floats(d.volume().nodes(), {16, 64, 64, 55}).to(f64);
    const torch::Tensor size = torch::tensor({63.0, 63.0, 15.0}, f64);
    const torch::Tensor scale = torch::tensor({1.0, 1.0, 4.0}, f64) / d.volume().half_size();
    const auto& c = d.volume().centre();
    const torch::Tensor grid = ((((p - torch::tensor({c[0], c[1], c[2]}).to(f64)) * scale + 1) * 0.5) * size).clamp(torch::zeros({3}, f64), size);
    const torch::Tensor low = torch::minimum(grid.detach().floor(), size - 1), f = grid - low;
    torch::Tensor w = torch::zeros({n, 55}, f64);
    for (int k = 0; k < 8; ++k) {
      const torch::Tensor bit = torch::tensor({k & 1, (k >> 1) & 1, (k >> 2) & 1}).to(f64);
      const torch::Tensor at = (low + bit).to(torch::kInt64);
      const torch::Tensor part = (bit * f + (1 - bit) * (1 - f)).prod(1);
      w = w + part.unsqueeze(1) * nodes.index({at.select(1, 2), at.select(1, 1), at.select(1, 0)});
    }
    torch::Tensor fixed = torch::zeros({n}, torch::kBool);
    const auto mask = l.weights_mask();
    for (std::int64_t i = 0; i < nb; ++i) fixed[i] = mask[static_cast<std::size_t>(i)] != 0;
    torch::Tensor stored = torch::zeros({n, 55}, f64);
    stored.slice(0, 0, nb) = tensor::from_floats(l.body_weights, {nb, 55}).to(f64);
    w = torch::where(fixed.unsqueeze(1), stored, w);
    const torch::Tensor map = torch::einsum("nj,jrc->nrc", {w, tensor::from_floats(pose.transforms, {55, 4, 4}).to(f64).slice(1, 0, 3)});
    const torch::Tensor y = p - torch::tensor({0.0, 0.35, 0.0}, f64) + tensor::from_floats(pose.corrections, {n, 3}).to(f64);
    const torch::Tensor linear = map.slice(2, 0, 3);
    const torch::Tensor means = torch::einsum("nrc,nc->nr", {linear, y}) + map.select(2, 3);
    const torch::Tensor angle = (rotation + 1e-8).norm(2, 1, true), k = rotation / angle, zero = torch::zeros({n}, f64);
    const torch::Tensor skew = torch::stack({zero, -k.select(1, 2), k.select(1, 1), k.select(1, 2), zero, -k.select(1, 0),
                                             -k.select(1, 1), k.select(1, 0), zero}, 1).reshape({n, 3, 3});
    const torch::Tensor turn = torch::eye(3, f64) + angle.sin().unsqueeze(2) * skew + (1 - angle.cos()).unsqueeze(2) * skew.matmul(skew);
    const torch::Tensor r = linear.matmul(tensor::from_floats(l.frames, {n, 3, 3}).to(f64)).matmul(turn);
    const torch::Tensor s = (1 + radius) * base.to(f64).unsqueeze(1) * torch::tensor({1.0, 1.0, 0.01}, f64);
    const torch::Tensor cov = r.matmul(torch::diag_embed(s.square())).matmul(r.transpose(1, 2));
    return {means, torch::stack({cov.select(1, 0).select(1, 0), cov.select(1, 0).select(1, 1), cov.select(1, 0).select(1, 2),
                                 cov.select(1, 1).select(1, 1), cov.select(1, 1).select(1, 2), cov.select(1, 2).select(1, 2)}, 1)};
  }
};

TEST_F(Recorded, ValuesAndGradientsMatchTheTwin) {
  const io::ArrayMap g = golden_file("avatar/d_decoder_small.npz");
  avatar::GaussianAttributes a = recorded_attributes(g, 0);
  a.rotation.slice(0, 0, 40) *= 1e-3;  // small angles too
  const auto pose = deformer->prepare(params(get(g, "smpl_params")[0]));
  for (torch::Tensor* t : {&a.offset, &a.radius, &a.rotation}) *t = t->clone().requires_grad_(true);
  const auto posed = deformer->pose(a, pose);
  torch::Tensor twin[3];
  const torch::Tensor* mine[3] = {&a.offset, &a.radius, &a.rotation};
  for (int k = 0; k < 3; ++k) twin[k] = mine[k]->detach().to(torch::kFloat64).requires_grad_(true);
  const auto [means, covs] = Twin{*deformer, *pose, deformer->base_sizes(posed.means.detach())}(twin[0], twin[1], twin[2]);
  near(posed.means.detach().to(torch::kFloat64), means.detach(), "means", 1e-6);
  near(posed.covariances.detach().to(torch::kFloat64), covs.detach(), "covariances", 1e-5);
  torch::manual_seed(9);
  const torch::Tensor wm = torch::randn_like(posed.means), wc = torch::randn_like(posed.covariances) * 1e3;
  ((posed.means * wm).sum() + (posed.covariances * wc).sum()).backward();
  ((means * wm).sum() + (covs * wc).sum()).backward();
  for (int k = 0; k < 3; ++k) near(mine[k]->grad().to(torch::kFloat64), twin[k].grad(), "gradient " + std::to_string(k), 1e-4);
}

TEST_F(Recorded, ARigidTurnMovesEverythingRigidly) {  // section 17
  const torch::Tensor none = torch::zeros({layers->count(), 3});
  const auto rest = deformer->posed_points(none, *deformer->prepare(body::canonical_pose()));
  const torch::Tensor start = tensor::from_floats(layers->shifted_positions(), {layers->count(), 3});
  EXPECT_LT((rest.means - start).abs().max().item<float>(), 1e-6F) << "zero parameters leave the canonical points";
  body::PoseParams turned = body::canonical_pose();
  turned.global_orient = {0.3F, -0.4F, 0.5F};
  const auto moved = deformer->posed_points(none, *deformer->prepare(turned));
  const auto r = body::rodrigues(turned.global_orient);
  const torch::Tensor rotation = torch::tensor({r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8]}).reshape({3, 3});
  const auto joints = body::pose(deformer->body(), body::canonical_pose()).rest_joints;
  const torch::Tensor pelvis = torch::tensor({joints[0], joints[1], joints[2]}), c = torch::tensor({0.F, 0.35F, 0.F});
  const torch::Tensor want = (start - c - pelvis).matmul(rotation.t()) + pelvis + c;
  EXPECT_LT((moved.means - want).abs().max().item<float>(), 2e-6F);
}

TEST(Neighbours, MatchBruteForceWithDuplicatesAndOutliers) {
  torch::manual_seed(4);
  torch::Tensor p = torch::randn({3000, 3});
  p.select(1, 2) *= 0.01;
  p[7] = p[8].clone();
  p[100] = torch::tensor({50.F, -20.F, 3.F});
  const torch::Tensor d = (p.unsqueeze(0) - p.unsqueeze(1)).to(torch::kFloat64).square().sum(2).fill_diagonal_(1e30);
  const torch::Tensor want = std::get<0>(d.topk(3, 1, false)).mean(1);
  std::vector<float> got(3000), again(3000);
  mean_squared_neighbour_distance(p.data_ptr<float>(), 3000, got.data());
  for (std::int64_t i = 0; i < 3000; ++i)
    ASSERT_NEAR(got[static_cast<std::size_t>(i)], want[i].item<double>(), 1e-5 * want[i].item<double>() + 1e-9) << i;
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  mean_squared_neighbour_distance(p.data_ptr<float>(), 3000, again.data());
  omp_set_num_threads(before);
  EXPECT_EQ(got, again);
}

TEST(Neighbours, SquareCornersAndTinySets) {  // section 17
  const float square[] = {0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0};
  float out[4];
  mean_squared_neighbour_distance(square, 4, out);
  for (const float d : out) EXPECT_FLOAT_EQ(d, 4.0F / 3);
  mean_squared_neighbour_distance(square, 2, out);
  EXPECT_FLOAT_EQ(out[0], 1.0F / 3);
  mean_squared_neighbour_distance(square, 1, out);
  EXPECT_EQ(out[0], 0.0F);
  mean_squared_neighbour_distance(square, 0, out);
}

}  // namespace
}  // namespace layeravatar::deform
