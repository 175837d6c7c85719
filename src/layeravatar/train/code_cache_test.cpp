#include "layeravatar/train/code_cache.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "layeravatar/io/npy.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::train {
namespace {

TEST(CodeCache, RoundsAsTheRecordedCacheDoes) {
  const io::ArrayMap golden = io::read_npz(std::filesystem::path(LAV_GOLDEN_DIR) / "io" / "h_cache16.npz");
  const auto get = [&](const std::string& name) { return tensor::to_tensor(golden.at(name)); };
  CodeCache cache({"a", "b"}, {12, 4, 6}, 1);
  cache.store(1, {get("code"), get("exp_avg"), get("exp_avg_sq"), get("step").item<float>()});
  const CodeState back = cache.load(1);
  EXPECT_TRUE(torch::equal(back.code, get("code_f16").to(torch::kFloat32)));
  EXPECT_TRUE(torch::equal(back.exp_avg, get("exp_avg_bf16_as_f32")));
  EXPECT_TRUE(torch::equal(back.exp_avg_sq, get("exp_avg_sq_bf16_as_f32")));
  EXPECT_EQ(back.step, get("step").item<float>());
}

TEST(CodeCache, NewCodesAreSmallDifferentAndRepeatable) {
  const CodeCache one({"a", "b"}, {12, 4, 12}, 7), same({"a", "b"}, {12, 4, 12}, 7), other({"a", "b"}, {12, 4, 12}, 8);
  EXPECT_TRUE(torch::equal(one.code(0), same.code(0)));
  EXPECT_FALSE(torch::equal(one.code(0), one.code(1)));
  EXPECT_FALSE(torch::equal(one.code(0), other.code(0)));
  EXPECT_LE(one.code(0).abs().max().item<float>(), 1.001e-4F);
  EXPECT_GT(one.code(0).abs().max().item<float>(), 0.5e-4F);
}

TEST(CodeCache, ArraysGoRoundAndMissingScenesAreNamed) {
  CodeCache cache({"a", "b"}, {12, 2, 6}, 7);
  CodeState state = cache.load(0);
  state.code.fill_(0.25F);
  state.step = 3;
  cache.store(0, state);
  CodeCache back({"b", "a"}, {12, 2, 6}, 9);
  back.from_arrays(cache.to_arrays(), "f");
  EXPECT_TRUE(torch::equal(back.code(1), cache.code(0)));
  EXPECT_EQ(back.load(1).step, 3);
  CodeCache strange({"c"}, {12, 2, 6}, 9);
  try {
    strange.from_arrays(cache.to_arrays(), "f");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "f: code of scene 'c' is missing");
  }
}

TEST(CodeCache, AdamMatchesLibTorch) {
  torch::manual_seed(3);
  torch::Tensor parameter = torch::randn({5, 7}).requires_grad_(true);
  CodeState state{parameter.detach().clone(), torch::zeros({5, 7}), torch::zeros({5, 7}), 0};
  torch::optim::Adam adam({parameter}, torch::optim::AdamOptions(0.04));
  for (int i = 0; i < 5; ++i) {
    const torch::Tensor gradient = torch::randn({5, 7});
    parameter.mutable_grad() = gradient;
    adam.step();
    adam_step(state, gradient, 0.04);
  }
  EXPECT_LT((state.code - parameter.detach()).abs().max().item<float>(), 1e-6F);
}

}  // namespace
}  // namespace layeravatar::train
