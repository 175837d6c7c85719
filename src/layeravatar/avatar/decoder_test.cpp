#include "layeravatar/avatar/decoder.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "layeravatar/avatar/plane_activation.h"
#include "layeravatar/avatar/tv_loss.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/testing/deterministic_values.h"

namespace layeravatar::avatar {
namespace {

class Golden {
 public:
  explicit Golden(const std::string& name) : arrays_(io::read_npz(std::string(LAV_GOLDEN_DIR "/avatar/") + name)) {}
  torch::Tensor operator()(const std::string& name) const { return tensor::to_tensor(arrays_.at(name)); }

 private:
  io::ArrayMap arrays_;
};

std::shared_ptr<Decoder> recorded_decoder() {
  auto decoder = std::make_shared<Decoder>();
  const torch::NoGradGuard no_grad;
  const auto fill = [](const std::string& name, torch::Tensor t) {
    if (t.scalar_type() != torch::kFloat32) return;
    t.copy_(tensor::from_floats(testing::deterministic_weights("decoder." + name, t.sizes().vec()), t.sizes()));
  };
  for (const auto& p : decoder->named_parameters()) fill(p.key(), p.value());
  for (const auto& b : decoder->named_buffers()) fill(b.key(), b.value());
  return decoder;
}

void expect_near(const torch::Tensor& got, const torch::Tensor& want, double relative, const std::string& what) {
  ASSERT_EQ(got.sizes(), want.sizes()) << what;
  EXPECT_LE((got - want).abs().max().item<double>(), relative * want.abs().max().item<double>()) << what;
}

TEST(Decoder, RecordedMapsInBothModes) {
  const Golden golden("d_decoder_small.npz");
  auto decoder = recorded_decoder();
  decoder->eval();
  expect_near(decoder->attribute_map(golden("code")), golden("eval.attr_map"), 2e-5, "evaluation");
  decoder->train();
  expect_near(decoder->attribute_map(golden("code")), golden("train.attr_map"), 2e-5, "training");
  const auto buffers = decoder->named_buffers();
  expect_near(buffers["base_bn.running_mean"], golden("train.base_bn.running_mean"), 2e-5, "running mean");
  expect_near(buffers["base_bn.running_var"], golden("train.base_bn.running_var"), 2e-5, "running variance");
  expect_near(buffers["tex_net.1.running_var"], golden("train.tex_bn.running_var"), 2e-5, "texture variance");
}

TEST(Decoder, RecordedAttributes) {
  const Golden golden("d_decoder_small.npz");
  const torch::Tensor uvs = Golden("d_template_small.npz")("init_uv_smplx_full").contiguous();
  const MapSampler sampler({uvs.data_ptr<float>(), static_cast<std::size_t>(uvs.numel())});
  const torch::Tensor samples = sampler.sample(golden("eval.attr_map"));
  for (int s = 0; s < 2; ++s) {
    const GaussianAttributes a = attributes_from_samples(samples[s]);
    expect_near(a.opacity.unsqueeze(1), golden("eval.sigma")[s], 2e-5, "opacity");
    expect_near(a.offset, golden("eval.offset")[s], 2e-5, "offset");
    expect_near(a.rgb, golden("eval.rgb")[s], 2e-5, "rgb");
    expect_near(a.radius, golden("eval.radius")[s], 2e-5, "radius");
    expect_near(a.rotation, golden("eval.rot")[s], 2e-5, "rotation");
  }
}

TEST(Decoder, StartsWithoutOffsetsAndWithReleaseNames) {
  Decoder decoder;
  std::int64_t count = 0;
  for (const auto& p : decoder.parameters()) count += p.numel();
  EXPECT_EQ(count, 58445 - 0);
  EXPECT_TRUE(decoder.named_parameters().contains("tex_net.1.weight"));
  const torch::Tensor map = decoder.attribute_map(torch::randn({2, 12, 16, 48}));
  EXPECT_LT(map.slice(1, 1, 4).abs().max().item<float>(), 1e-2F);
}

TEST(MapSampler, MatchesGridSampleAndItsGradient) {
  torch::manual_seed(5);
  const torch::Tensor uvs = torch::rand({500, 2}) * 1.02 - 0.01;
  const MapSampler sampler({uvs.data_ptr<float>(), 1000});
  torch::Tensor map = torch::randn({2, 13, 7, 21}).requires_grad_(true), twin = map.detach().clone().requires_grad_(true);
  namespace F = torch::nn::functional;
  const torch::Tensor grid = (2 * uvs - 1).reshape({1, 1, 500, 2}).repeat({2, 1, 1, 1});
  const torch::Tensor want = F::grid_sample(twin, grid, F::GridSampleFuncOptions().mode(torch::kBilinear).padding_mode(torch::kBorder).align_corners(false));
  const torch::Tensor got = sampler.sample(map);
  const torch::Tensor weights = torch::randn_like(got);
  EXPECT_LT((got - want.squeeze(2).transpose(1, 2)).abs().max().item<float>(), 1e-5F);
  (got * weights).sum().backward();
  (want.squeeze(2).transpose(1, 2) * weights).sum().backward();
  EXPECT_LT((map.grad() - twin.grad()).abs().max().item<float>(), 1e-4F);
}

TEST(PlaneActivation, RecordedValues) {
  const Golden golden("h_code_activation.npz");
  PlaneActivation a;
  const torch::Tensor c = golden("c");
  expect_near(a.forward(c), golden("fwd0"), 1e-6, "fresh");
  a.update_statistics(c);
  expect_near(a.running_mean(), golden("running_mean"), 1e-5, "mean");
  expect_near(a.running_var(), golden("running_var"), 1e-6, "variance");
  expect_near(a.forward(c), golden("fwd_train_update"), 1e-6, "after one update");
  PlaneActivation ten;
  ten.update_statistics(c);
  for (int k = 0; k < 9; ++k) ten.update_statistics(c * (1 + 0.1 * k));
  expect_near(ten.forward(c), golden("fwd10"), 1e-5, "after ten updates");
  expect_near(ten.inverse(golden("fwd10")), golden("inv10"), 1e-4, "inverse");
}

TEST(PlaneActivation, ConformanceOfTheSpec) {  // section 15.1
  PlaneActivation a;
  a.set_statistics(torch::full({1}, 0.02F), torch::full({1}, 0.36F));
  const torch::Tensor x = torch::tensor({-3.F, -0.5F, 0.F, 0.7F, 5.F});
  const torch::Tensor want = torch::tensor({-1.7011963F, -0.4266705F, -0.0166660F, 0.5519660F, 1.9379168F});
  EXPECT_LT((a.forward(x) - want).abs().max().item<float>(), 1e-6F);
  EXPECT_LT((a.inverse(want) - x).abs().max().item<float>(), 1e-4F);
}

TEST(TvLoss, HandWorkedPlaneAndSeams) {
  // Steps lie between the planes only, and in a channel that does not count: nothing.
  torch::Tensor map = torch::zeros({1, 13, 4, 12});
  map.slice(3, 4, 8) += 3.0;
  map.select(1, 5) = torch::rand({4, 12});
  EXPECT_EQ(tv_loss(map).item<float>(), 0.0F);
  map[0][0][1][1] = 1.0;  // opacity: four differences of 1
  map[0][2][2][9] = 1.0;  // offset: four differences, weight 2 squared
  EXPECT_NEAR(tv_loss(map).item<float>(), (4 * 1.0 + 4 * 4.0) / (39 * 16), 1e-6);
}

}  // namespace
}  // namespace layeravatar::avatar
