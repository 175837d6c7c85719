#include "layeravatar/avatar/decoder.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <torch/torch.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "layeravatar/avatar/plane_activation.h"
#include "layeravatar/avatar/tv_loss.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/torch_file.h"
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

TEST(Decoder, HasTheReleasesNamesAndShapes) {
  std::map<std::string, std::vector<std::int64_t>> found;
  const Decoder decoder;
  for (const auto& p : decoder.named_parameters()) found[p.key()] = p.value().sizes().vec();
  for (const auto& b : decoder.named_buffers()) found[b.key()] = b.value().sizes().vec();
  auto want = nlohmann::json::parse(read_file(LAV_GOLDEN_DIR "/avatar/d_decoder_params.json"));
  want.erase("aabb");  // unused
  EXPECT_EQ(found, (want.get<std::map<std::string, std::vector<std::int64_t>>>()));
}

// Section 15.3: parameters and statistics follow from sines, the planes are those of a demo file.
TEST(Decoder, OfficialCodeGivesTheSpecifiedMaps) {
  const char* const folder = std::getenv("LAYERAVATAR_OFFICIAL_DEMO");
  if (folder == nullptr) GTEST_SKIP() << "set LAYERAVATAR_OFFICIAL_DEMO to the folder demo/ of the public code (not in the repository)";
  const torch::NoGradGuard no_grad;
  Decoder decoder;
  std::map<std::string, torch::Tensor> sorted;
  for (const auto& p : decoder.named_parameters()) sorted[p.key()] = p.value();
  for (const auto& b : decoder.named_buffers()) sorted[b.key()] = b.value();
  ASSERT_EQ(sorted.size(), 22U);
  int k = -1;
  for (auto& [name, value] : sorted) {
    ++k;
    if (name.ends_with("num_batches_tracked")) continue;
    torch::Tensor s = torch::sin(torch::arange(value.numel(), torch::kFloat64) * 0.37 + 0.11 * k).reshape(value.sizes());
    if (value.dim() >= 2)
      s = s * (2.0 / std::sqrt(static_cast<double>(value.numel() / value.size(0))));
    else if (name.ends_with("running_var"))
      s = 1 + 0.5 * s;
    else
      s = name.ends_with("weight") ? 1 + 0.1 * s : 0.1 * s;
    value.copy_(s);
  }
  decoder.eval();
  const io::PickleValue code = io::read_torch_file(std::filesystem::path(folder) / "transfer/scene_0026.pth");
  const torch::Tensor map = decoder.attribute_map(tensor::to_tensor(code.array()).unsqueeze(0));
  const double means[13] = {0.5720043, 0.2288801, 0.430273, 0.0311247, 0.6428993, 0.3819804, 0.6667745,
                            0.6576668, 0.3785625, 0.664458, 0.3876936, 0.63043, 0.4146641};
  const double at_seam[13] = {0.57281, 0.232574, 0.429029, 0.027138, 0.643591, 0.380123, 0.669527,
                              0.659371, 0.375731, 0.668018, 0.38323, 0.63527, 0.40948};
  const double at_corner[13] = {0.576121, 0.242586, 0.44735, 0.021442, 0.64312, 0.384818, 0.66138,
                                0.655162, 0.384096, 0.656756, 0.398089, 0.618662, 0.427896};
  const std::vector<float> uvs = {1.F / 3, 0.5F, 0.999F, 0.001F};
  const torch::Tensor samples = MapSampler(uvs).sample(map)[0];
  for (std::int64_t c = 0; c < 13; ++c) {
    EXPECT_NEAR(map[0][c].mean().item<double>(), means[c], 2e-6) << c;
    EXPECT_NEAR(samples[0][c].item<double>(), at_seam[c], 2e-6) << c;
    EXPECT_NEAR(samples[1][c].item<double>(), at_corner[c], 2e-6) << c;
  }
}

TEST(Decoder, StartsWithoutOffsetsAndWithReleaseNames) {
  Decoder decoder;
  std::int64_t count = 0;
  for (const auto& p : decoder.parameters()) count += p.numel();
  EXPECT_EQ(count, 58445);
  EXPECT_TRUE(decoder.named_parameters().contains("tex_net.1.weight"));
  const torch::Tensor map = decoder.attribute_map(torch::randn({2, 12, 16, 48}));
  EXPECT_LT(map.slice(1, 1, 4).abs().max().item<float>(), 1e-2F);
}

TEST(Decoder, GeometryMapIsTheFirstFourChannels) {
  torch::manual_seed(3);
  Decoder decoder;
  decoder.eval();
  const torch::Tensor planes = torch::randn({2, 12, 8, 24});
  EXPECT_TRUE(torch::equal(decoder.geometry_map(planes.slice(1, 0, 6)), decoder.attribute_map(planes).slice(1, 0, 4)));
}

TEST(MapSampler, MatchesGridSampleAndItsGradient) {
  torch::manual_seed(5);
  const torch::Tensor uvs = torch::rand({500, 2}) * 1.02 - 0.01;
  const MapSampler sampler({uvs.data_ptr<float>(), 1000});
  namespace F = torch::nn::functional;
  const torch::Tensor grid = (2 * uvs - 1).reshape({1, 1, 500, 2}).repeat({2, 1, 1, 1});
  auto options = F::GridSampleFuncOptions().mode(torch::kBilinear).padding_mode(torch::kBorder);
  for (const std::int64_t channels : {13, 16, 37}) {
    torch::Tensor map = torch::randn({2, channels, 7, 21}).requires_grad_(true);
    torch::Tensor twin = map.detach().clone().requires_grad_(true);
    const torch::Tensor want = F::grid_sample(twin, grid, options.align_corners(false));
    const torch::Tensor got = sampler.sample(map);
    const torch::Tensor weights = torch::randn_like(got);
    EXPECT_LT((got - want.squeeze(2).transpose(1, 2)).abs().max().item<float>(), 1e-5F);
    (got * weights).sum().backward();
    (want.squeeze(2).transpose(1, 2) * weights).sum().backward();
    EXPECT_LT((map.grad() - twin.grad()).abs().max().item<float>(), 1e-4F);
  }
}

TEST(MapSampler, TapsAtSeamsBordersAndCorners) {
  // A map of 2 rows and 6 columns (strips of 2) with value 10 row + column. By hand: x = 6 u - 0.5, y = 2 v - 0.5.
  torch::Tensor map = torch::zeros({1, 1, 2, 6});
  for (int y = 0; y < 2; ++y)
    for (int x = 0; x < 6; ++x) map[0][0][y][x] = 10 * y + x;
  map.requires_grad_(true);
  const std::vector<float> uvs = {1.F / 3, 0.25F,   // the seam of two strips: half of column 1, half of column 2
                                  0.F,     0.F,     // beyond the first texel centre
                                  1.F,     1.F,     // beyond the last
                                  0.25F,   0.5F};   // x = 1, y = 0.5: a column's centre, between the rows
  const MapSampler sampler(uvs);
  EXPECT_EQ(sampler.count(), 4);
  const torch::Tensor got = sampler.sample(map);
  EXPECT_TRUE(torch::allclose(got.flatten(), torch::tensor({1.5F, 0.F, 15.F, 6.F}), 0, 1e-5));
  (got.flatten() * torch::tensor({1.F, 10.F, 100.F, 1000.F})).sum().backward();
  torch::Tensor want = torch::zeros({2, 6});
  want[0][1] = 0.5 + 500;
  want[0][2] = 0.5;
  want[0][0] = 10;
  want[1][5] = 100;
  want[1][1] = 500;
  EXPECT_TRUE(torch::allclose(map.grad()[0][0], want, 0, 1e-3));
}

TEST(MapSampler, NoPointsAndSeveralSizes) {
  const MapSampler none(std::span<const float>{});
  torch::Tensor map = torch::ones({2, 3, 2, 6}).requires_grad_(true);
  const torch::Tensor got = none.sample(map);
  EXPECT_EQ(got.sizes(), (std::vector<std::int64_t>{2, 0, 3}));
  got.sum().backward();
  EXPECT_EQ(map.grad().abs().max().item<float>(), 0.0F);
  const std::vector<float> centre = {0.5F, 0.5F};
  const MapSampler one(centre);
  EXPECT_EQ(one.sample(torch::full({1, 1, 4, 12}, 3.F)).item<float>(), 3.0F);
  // More channels than are summed at a time.
  torch::Tensor wide = torch::full({1, 20, 1, 3}, 5.F).requires_grad_(true);
  const torch::Tensor wide_samples = one.sample(wide);
  EXPECT_EQ(wide_samples.sum().item<float>(), 100.0F);
  (wide_samples.flatten() * torch::arange(20)).sum().backward();
  EXPECT_TRUE(torch::equal(wide.grad()[0].select(2, 1).flatten(), torch::arange(20).to(torch::kFloat32)));
  EXPECT_THROW(MapSampler(std::span<const float>(centre.data(), 1)), Error);
}

TEST(MapSampler, SameBitsWithAnyNumberOfThreads) {
  torch::manual_seed(9);
  const torch::Tensor uvs = torch::rand({3000, 2});
  const MapSampler sampler({uvs.data_ptr<float>(), 6000});
  const torch::Tensor map = torch::randn({2, 13, 16, 48}), weights = torch::randn({2, 3000, 13});
  const auto run = [&](int threads) {
    omp_set_num_threads(threads);
    torch::Tensor leaf = map.clone().requires_grad_(true);
    const torch::Tensor samples = sampler.sample(leaf), tv = tv_loss(leaf);
    torch::autograd::backward({samples, tv}, {weights, torch::ones({})});
    return std::vector<torch::Tensor>{samples.detach(), tv.detach(), leaf.grad()};
  };
  const int before = omp_get_max_threads();
  const auto one = run(1), three = run(3);
  omp_set_num_threads(before);
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(torch::equal(one[i], three[i])) << i;
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
  // Beyond the range the inverse saturates; float32 rounds 1 - 1e-5 (section 16).
  EXPECT_NEAR(ten.inverse(torch::full({1}, -5.F)).item<float>(), -12.60278, 1e-4);
  EXPECT_EQ(golden("inv_clip").min().item<float>(), ten.inverse(torch::full({1}, -2.F)).item<float>());
  torch::Tensor leaf = c.clone().requires_grad_(true);
  ten.forward(leaf).sum().backward();
  expect_near(leaf.grad(), golden("grad10"), 1e-5, "gradient");
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

// The formula in tensor operations, weights before the squares.
torch::Tensor slow_tv(const torch::Tensor& map) {
  const std::int64_t s = map.size(0), h = map.size(2), w = map.size(3) / 3;
  const torch::Tensor weights = torch::tensor({1.F, 2.F, 2.F, 2.F, 0.F, 0.F, 0.F, 0.F, 0.F, 0.F, 2.F, 2.F, 2.F});
  torch::Tensor total = torch::zeros({});
  for (int k = 0; k < 3; ++k) {
    const torch::Tensor plane = map.slice(3, k * w, (k + 1) * w) * weights.reshape({1, 13, 1, 1});
    total = total + plane.diff(1, 2).square().sum() + plane.diff(1, 3).square().sum();
  }
  return total / static_cast<double>(s * 39 * h * w);
}

TEST(TvLoss, ValueAndGradientMatchTheFormula) {
  torch::manual_seed(3);
  torch::Tensor map = torch::randn({2, 13, 9, 21}).requires_grad_(true);
  torch::Tensor twin = map.detach().clone().requires_grad_(true);
  const torch::Tensor got = tv_loss(map), want = slow_tv(twin);
  EXPECT_NEAR(got.item<double>(), want.item<double>(), 1e-6 * want.item<double>());
  (got * 3.0).backward();
  (want * 3.0).backward();
  EXPECT_LE((map.grad() - twin.grad()).abs().max().item<double>(), 1e-6 * twin.grad().abs().max().item<double>());
  EXPECT_THROW(tv_loss(torch::zeros({1, 13, 4, 11})), Error);
}

// The recorded runs apply the loss to planes that are weighted already; ours weighs them itself, so the weights are undone.
// Channels of weight zero cannot be: their part of the sum is added by hand.
TEST(TvLoss, RecordedValueAndGradient) {
  const io::ArrayMap arrays = io::read_npz(LAV_GOLDEN_DIR "/train/h_losses.npz");
  const auto get = [&](const std::string& name) { return tensor::to_tensor(arrays.at(name)); };
  const auto squares = [](const torch::Tensor& t) {
    return (t.diff(1, -1).square().sum() + t.diff(1, -2).square().sum()).item<double>();
  };
  const torch::Tensor planes = get("attrmap").reshape({2, 3, 13, 16, 16});
  const torch::Tensor undo = torch::tensor({1.F, .5F, .5F, .5F, 0.F, 0.F, 0.F, 0.F, 0.F, 0.F, .5F, .5F, .5F}).reshape({1, 13, 1, 1});
  const torch::Tensor side_by_side = torch::cat({planes.select(1, 0), planes.select(1, 1), planes.select(1, 2)}, 3);
  torch::Tensor map = (side_by_side * undo).requires_grad_(true);
  const torch::Tensor loss = 0.5 * tv_loss(map);
  loss.backward();
  const double unseen = 0.5 * squares(planes.slice(2, 4, 10)) / (2 * 39 * 256);
  for (const std::string run : {"full1024", "px16"}) {
    const double want = get(run + ".reg_loss").item<double>();
    EXPECT_NEAR(loss.item<double>() + unseen, want, 1e-5 * want) << run;
    const torch::Tensor recorded = get(run + ".grad_attrmap").reshape({2, 3, 13, 16, 16});
    for (std::int64_t plane = 0; plane < 3; ++plane) {
      const torch::Tensor got = map.grad().slice(3, 16 * plane, 16 * plane + 16) * undo;
      const torch::Tensor expected = recorded.select(1, plane) * (undo != 0);
      expect_near(got, expected, 2e-5, run);
    }
  }
  for (const auto& [name, power] : {std::pair{"tv.p1", 1.0}, {"tv.p1.5", 1.5}, {"tv.p2", 2.0}}) {
    torch::Tensor in = get("tv.in").requires_grad_(true);
    const torch::Tensor value = total_variation(in, power);
    value.backward();
    EXPECT_NEAR(value.item<double>(), get(name).item<double>(), 1e-5 * get(name).item<double>()) << name;
    expect_near(in.grad(), get(name + std::string(".grad")), 2e-5, name);
  }
  // Another size: three channels as the opacity of three planes.
  const torch::Tensor small = get("tv.in");
  torch::Tensor opacity = torch::zeros({2, 13, 7, 27});
  for (std::int64_t plane = 0; plane < 3; ++plane) opacity.select(1, 0).slice(2, 9 * plane, 9 * plane + 9) = small.select(1, plane);
  opacity.requires_grad_(true);
  const torch::Tensor scaled = tv_loss(opacity) * 13.0;  // a mean over 39 channels, not 3
  scaled.backward();
  EXPECT_NEAR(scaled.item<double>(), get("tv.p2").item<double>(), 1e-5 * get("tv.p2").item<double>());
  for (std::int64_t plane = 0; plane < 3; ++plane)
    expect_near(opacity.grad().select(1, 0).slice(2, 9 * plane, 9 * plane + 9), get("tv.p2.grad").select(1, plane), 2e-5, "gradient");
}

TEST(TvLoss, ConformanceOfTheSpec) {
  // Section 15.4: 0.5 * TV of pat(0.5, 0) over (1, 39, 6, 6), taken as already weighted, is 0.2199095. The weights are
  // undone here; channels of weight 0 cannot be, so their part of the sum is added by hand.
  const torch::Tensor n = torch::arange(39 * 36, torch::kFloat64).reshape({3, 13, 6, 6});
  const torch::Tensor pattern = 0.5 + 0.5 * torch::sin(0.5 * n);
  const auto squares = [](const torch::Tensor& t) {
    return (t.diff(1, -1).square().sum() + t.diff(1, -2).square().sum()).item<double>();
  };
  const double unseen = squares(pattern.slice(1, 4, 10)) / (39 * 36);
  torch::Tensor map = torch::cat({pattern[0], pattern[1], pattern[2]}, 2).unsqueeze(0).to(torch::kFloat32);
  map.slice(1, 1, 4) /= 2;
  map.slice(1, 10, 13) /= 2;
  EXPECT_NEAR(0.5 * (tv_loss(map).item<double>() + unseen), 0.2199095, 1e-6);
}

}  // namespace
}  // namespace layeravatar::avatar
