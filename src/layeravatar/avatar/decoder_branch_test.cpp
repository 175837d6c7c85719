#include "layeravatar/avatar/decoder_branch.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <torch/torch.h>

#include <barrier>
#include <cmath>
#include <thread>
#include <vector>

#include "layeravatar/avatar/kernels/decoder_kernel.h"
#include "layeravatar/core/error.h"

namespace layeravatar::avatar {
namespace {

// Inputs of a branch: x, convolution weight and bias, gain, bias, head weight and bias.
std::vector<torch::Tensor> random_branch(const BranchShape& s) {
  torch::manual_seed(12);
  return {torch::randn({s.images, 6, s.height, s.width}),
          torch::randn({s.channels, 6, 7, 7}) / 17,
          torch::randn({s.channels}),
          1 + 0.3 * torch::randn({s.channels}),
          0.3 * torch::randn({s.channels}),
          torch::randn({s.heads, s.channels}) / std::sqrt(static_cast<double>(s.channels)),
          torch::randn({s.heads})};
}

// The formula in double precision, from LibTorch's own operations.
torch::Tensor slow_branch(const std::vector<torch::Tensor>& in, const torch::Tensor& running_mean,
                          const torch::Tensor& running_var, bool training, std::int64_t sigmoid_heads) {
  const torch::Tensor y = torch::conv2d(in[0], in[1], in[2], 1, 3);
  const torch::Tensor mean = training ? y.mean({0, 2, 3}) : running_mean;
  const torch::Tensor var = training ? y.var({0, 2, 3}, false) : running_var;
  const auto along = [](const torch::Tensor& t) { return t.reshape({1, -1, 1, 1}); };
  const torch::Tensor z = (y - along(mean)) / (along(var) + 1e-5).sqrt() * along(in[3]) + along(in[4]);
  const torch::Tensor heads = torch::einsum("kc,schw->skhw", {in[5], torch::silu(z)}) + along(in[6]);
  return torch::cat({torch::sigmoid(heads.slice(1, 0, sigmoid_heads)), heads.slice(1, sigmoid_heads)}, 1);
}

void expect_close(const torch::Tensor& got, const torch::Tensor& want, double relative, const std::string& what) {
  ASSERT_EQ(got.sizes(), want.sizes()) << what;
  EXPECT_LE((got - want).abs().max().item<double>(), relative * want.abs().max().item<double>()) << what;
}

class DecoderBranch : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(BothModes, DecoderBranch, ::testing::Bool());

TEST_P(DecoderBranch, ValueGradientsAndStatisticsMatchTheFormula) {
  const bool training = GetParam();
  const BranchShape shape{2, 12, 5, 7, 21};  // neither side a multiple of a vector
  const std::vector<torch::Tensor> inputs = random_branch(shape);
  torch::nn::BatchNorm2d norm(shape.channels);
  const torch::Tensor mean = 0.2 * torch::randn({12}), var = 0.5 + torch::rand({12});
  norm->train(training);
  {
    const torch::NoGradGuard no_grad;
    norm->running_mean.copy_(mean);
    norm->running_var.copy_(var);
    norm->weight.copy_(inputs[3]);
    norm->bias.copy_(inputs[4]);
  }
  std::vector<torch::Tensor> leaves, wide;
  for (const torch::Tensor& t : inputs) {
    leaves.push_back(t.clone().requires_grad_(true));
    wide.push_back(t.to(torch::kFloat64).requires_grad_(true));
  }
  const torch::Tensor got = decoder_branch(leaves[0], leaves[1], leaves[2], *norm, leaves[5], leaves[6], 2);
  const torch::Tensor want = slow_branch(wide, mean.to(torch::kFloat64), var.to(torch::kFloat64), training, 2);
  expect_close(got, want, 1e-5, "value");
  const torch::Tensor weights = torch::randn_like(got);
  (got * weights).sum().backward();
  (want * weights).sum().backward();
  leaves[3] = norm->weight;
  leaves[4] = norm->bias;
  const char* const names[] = {"planes", "convolution", "convolution bias", "gain", "bias", "heads", "head bias"};
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    if (training && i == 2) EXPECT_EQ(leaves[i].grad().abs().max().item<float>(), 0.0F);
    else expect_close(leaves[i].grad(), wide[i].grad(), 1e-5, names[i]);
  }

  torch::Tensor moved_mean = mean, moved_var = var;
  if (training) {
    const torch::Tensor y = torch::conv2d(inputs[0], inputs[1], inputs[2], 1, 3);
    moved_mean = 0.9 * mean + 0.1 * y.mean({0, 2, 3});
    moved_var = 0.9 * var + 0.1 * y.var({0, 2, 3}, true);
  }
  expect_close(norm->running_mean, moved_mean, 1e-5, "running mean");
  expect_close(norm->running_var, moved_var, 1e-5, "running variance");
  EXPECT_EQ(norm->num_batches_tracked.item<std::int64_t>(), training ? 1 : 0);
}

// Three images in one process, and one and two of them in two threads that share the batch.
TEST(DecoderBranchShared, UnevenPartsGiveWhatTheWholeBatchGives) {
  const BranchShape shape{3, 8, 5, 7, 21};
  const std::vector<torch::Tensor> inputs = random_branch(shape);
  const torch::Tensor weights = torch::randn({3, 5, 7, 21});
  struct Result {
    torch::Tensor out, running_mean, running_var;
    std::vector<torch::Tensor> grads;
  };
  const auto run = [&](std::int64_t from, std::int64_t to, const SumOverProcesses& sum) {
    torch::nn::BatchNorm2d norm(shape.channels);
    {
      const torch::NoGradGuard no_grad;
      norm->weight.copy_(inputs[3]);
      norm->bias.copy_(inputs[4]);
    }
    std::vector<torch::Tensor> leaves;
    for (const torch::Tensor& t : inputs) leaves.push_back(t.clone().requires_grad_(true));
    leaves[0] = inputs[0].slice(0, from, to).clone().requires_grad_(true);
    leaves[3] = norm->weight;
    leaves[4] = norm->bias;
    Result result;
    {
      const SharedBatch shared(sum);
      result.out = decoder_branch(leaves[0], leaves[1], leaves[2], *norm, leaves[5], leaves[6], 2);
    }
    (result.out * weights.slice(0, from, to)).sum().backward();
    result.out = result.out.detach();
    result.running_mean = norm->running_mean;
    result.running_var = norm->running_var;
    for (const torch::Tensor& leaf : leaves) result.grads.push_back(leaf.grad());
    return result;
  };
  const Result whole = run(0, 3, {});
  std::barrier meeting(2);
  torch::Tensor shown[2];
  const auto sum_of = [&](std::size_t own) {
    return [&, own](torch::Tensor values) {
      shown[own] = values.clone();
      meeting.arrive_and_wait();
      values.copy_(shown[0] + shown[1]);
      meeting.arrive_and_wait();
    };
  };
  Result parts[2];
  std::thread second([&] { parts[1] = run(1, 3, sum_of(1)); });
  parts[0] = run(0, 1, sum_of(0));
  second.join();
  expect_close(torch::cat({parts[0].out, parts[1].out}), whole.out, 1e-6, "value");
  for (const Result& part : parts) {
    expect_close(part.running_mean, whole.running_mean, 1e-6, "running mean");
    expect_close(part.running_var, whole.running_var, 1e-6, "running variance");
  }
  expect_close(torch::cat({parts[0].grads[0], parts[1].grads[0]}), whole.grads[0], 1e-5, "planes");
  for (std::size_t i = 1; i < whole.grads.size(); ++i) expect_close(parts[0].grads[i] + parts[1].grads[i], whole.grads[i], 1e-5, "parameter " + std::to_string(i));
  EXPECT_GT((run(0, 1, {}).out - parts[0].out).abs().max().item<float>(), 1e-3) << "a part alone has other statistics";
}

TEST(DecoderBranchInference, OnePassMatchesTheFormula) {
  for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{7, 21}, {3, 48}, {2, 203}, {1, 1}, {8, 34}}) {
    const BranchShape shape{2, 12, 5, height, width};
    const std::vector<torch::Tensor> in = random_branch(shape);
    torch::nn::BatchNorm2d norm(shape.channels);
    norm->eval();
    const torch::NoGradGuard no_grad;
    norm->running_mean.copy_(0.2 * torch::randn({12}));
    norm->running_var.copy_(0.5 + torch::rand({12}));
    norm->weight.copy_(in[3]);
    norm->bias.copy_(in[4]);
    std::vector<torch::Tensor> wide;
    for (const torch::Tensor& t : in) wide.push_back(t.to(torch::kFloat64));
    const torch::Tensor want = slow_branch(wide, norm->running_mean.to(torch::kFloat64), norm->running_var.to(torch::kFloat64), false, 2);
    torch::Tensor first;
    const int before = omp_get_max_threads();
    for (int k = 0; k < decoder_kernels_count(); ++k) {
      use_decoder_kernels(k);
      for (const int threads : {1, 2, 3}) {
        omp_set_num_threads(threads);
        const torch::Tensor got = decoder_branch(in[0], in[1], in[2], *norm, in[5], in[6], 2);
        expect_close(got, want, 1e-5, "set " + std::to_string(k) + ", width " + std::to_string(width));
        if (threads == 1) first = got;
        EXPECT_TRUE(torch::equal(got, first)) << "set " << k << ", threads " << threads;
      }
    }
    omp_set_num_threads(before);
    EXPECT_EQ(&decoder_kernels(), &decoder_kernels_at(decoder_kernels_count() - 1));
  }
}

// Even and odd sides, several strips and tiles, channels that are no whole step.
TEST_P(DecoderBranch, GradientsOfSeveralSizesMatchTheFormula) {
  for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{4, 12}, {11, 68}, {10, 37}, {1, 2}}) {
    const BranchShape shape{2, 20, 3, height, width};
    std::vector<torch::Tensor> leaves = random_branch(shape), wide;
    torch::nn::BatchNorm2d norm(shape.channels);
    norm->train(GetParam());
    for (torch::Tensor& t : leaves) {
      wide.push_back(t.to(torch::kFloat64).requires_grad_(true));
      t.requires_grad_(true);
    }
    {
      const torch::NoGradGuard no_grad;
      norm->weight.copy_(leaves[3]);
      norm->bias.copy_(leaves[4]);
    }
    const torch::Tensor zero = torch::zeros({20}, torch::kFloat64), one = torch::ones({20}, torch::kFloat64);
    const torch::Tensor want = slow_branch(wide, zero, one, GetParam(), 1);
    const torch::Tensor got = decoder_branch(leaves[0], leaves[1], leaves[2], *norm, leaves[5], leaves[6], 1);
    const torch::Tensor weights = torch::randn_like(got);
    (got * weights).sum().backward();
    (want * weights).sum().backward();
    for (const std::size_t i : {0, 1, 5}) expect_close(leaves[i].grad(), wide[i].grad(), 1e-5, std::to_string(height) + " rows, input " + std::to_string(i));
  }
}

TEST(DecoderBranchReach, PlanesThatNoHeadReadsHaveNoGradient) {
  const BranchShape shape{1, 8, 3, 24, 40};
  const std::vector<torch::Tensor> in = random_branch(shape);
  torch::nn::BatchNorm2d norm(shape.channels);
  norm->eval();
  torch::Tensor wanted = torch::ones({1, 1, 24, 40});  // all but an L, so that corners point in and out
  wanted.slice(2, 4, 15).slice(3, 6, 35) = 0;
  wanted.slice(2, 4, 21).slice(3, 6, 19) = 0;
  for (int turn = 0; turn < 4; ++turn) {
    for (int shift = 0; shift < 4; ++shift) {
      const torch::Tensor mask = wanted.roll({shift / 2, shift % 2}, {2, 3}), x = in[0].clone().requires_grad_(true);
      (decoder_branch(x, in[1], in[2], *norm, in[5], in[6], 1) * mask).square().sum().backward();
      const torch::Tensor read = torch::max_pool2d(mask, 7, 1, 3);
      EXPECT_EQ(read.min().item<float>(), 0.0F);
      EXPECT_TRUE(torch::equal((x.grad() != 0).any(1, true), read != 0)) << turn << ", " << shift;
    }
    wanted = turn % 2 == 0 ? wanted.flip(2) : wanted.flip(3);
  }
}

TEST_P(DecoderBranch, FrozenParametersChangeNothingForThePlanes) {
  const BranchShape shape{1, 8, 3, 4, 12};
  const std::vector<torch::Tensor> in = random_branch(shape);
  const auto gradient = [&](bool frozen) {
    torch::nn::BatchNorm2d norm(shape.channels);
    norm->train(GetParam());
    norm->weight.set_requires_grad(!frozen);
    norm->bias.set_requires_grad(!frozen);
    const torch::Tensor x = in[0].clone().requires_grad_(true), heads = in[5].clone().requires_grad_(!frozen);
    decoder_branch(x, in[1], in[2], *norm, heads, in[6], 1).square().sum().backward();
    EXPECT_EQ(heads.grad().defined(), !frozen);
    return x.grad();
  };
  EXPECT_TRUE(torch::equal(gradient(true), gradient(false)));
}

TEST(DecoderBranchSizes, RefusesWhatTheKernelsDoNotKnow) {
  const BranchShape shape{1, 6, 3, 4, 12};
  const std::vector<torch::Tensor> in = random_branch(shape);
  torch::nn::BatchNorm2d norm(6);
  EXPECT_THROW(decoder_branch(in[0], in[1], in[2], *norm, in[5], in[6], 1), Error);  // six is no multiple of four
}

// Everything that the kernels of one instruction set make of one set of random inputs.
std::vector<torch::Tensor> run_kernels(const DecoderKernels& kernels, const BranchShape& s, int threads) {
  torch::manual_seed(21);
  const auto data = [](const torch::Tensor& t) { return t.data_ptr<float>(); };
  const auto split = [&](std::int64_t planes, float value) { return torch::full({s.images * planes * s.split_plane() + kReadBeyond}, value); };
  const torch::Tensor y = 3 * torch::randn({s.images * s.channels * s.split_plane() + kReadBeyond});
  const torch::Tensor scale = torch::randn({s.channels}), shift = torch::randn({s.channels});
  const torch::Tensor heads = torch::randn({s.heads, s.channels}), head_bias = torch::randn({s.heads});
  const torch::Tensor grad = torch::randn({s.images, s.heads, s.height, s.width});
  const torch::Tensor weights = torch::randn({s.channels, 6, 7, 7});
  const torch::Tensor planes = torch::randn({s.images, 6, s.height, s.width});
  const torch::Tensor x = torch::full({s.images * 6 * kProductPlanes * s.product_plane() + kReadBeyond}, NAN);
  const torch::Tensor taps = torch::empty({s.channels * 6 * kProductTaps}), scratch = torch::empty_like(taps);
  const torch::Tensor conv_y = split(s.channels, 0), split_grad = split(s.heads, NAN), branch = torch::empty({s.images, s.heads, s.height, s.width});
  const torch::Tensor mean = torch::empty({s.channels}), variance = torch::empty({s.channels});
  const torch::Tensor out = torch::empty_like(grad), grad_x = torch::empty({s.images, 6, s.height, s.width});
  const torch::Tensor grad_y = split(s.channels, NAN);
  const torch::Tensor gain = torch::empty({s.channels}), bias = torch::empty({s.channels}),
                      conv_bias = torch::empty({s.channels}), grad_heads = torch::empty({s.heads, s.channels}),
                      grad_weights = torch::empty_like(weights);
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  kernels.split_input(s, data(planes), data(x));
  kernels.split_taps(s, data(weights), data(taps));
  kernels.split_heads(s, data(grad), data(split_grad));
  kernels.conv_forward(s, data(x), {data(taps), data(shift)}, data(conv_y));
  kernels.branch_forward(s, {data(x), {data(taps), data(shift)}, data(heads), data(head_bias), 2, data(branch)});
  kernels.statistics(s, data(y), data(mean), data(variance));
  kernels.heads_forward(s, {data(y), data(scale), data(shift), data(heads), data(head_bias), 2, data(out)});
  const torch::Tensor inverse = (variance + 1e-5).rsqrt();
  kernels.heads_backward(s, {data(y), data(scale), data(shift), data(mean), data(inverse), data(heads), data(split_grad),
                             true, true, data(grad_y), data(gain), data(bias), data(conv_bias), data(grad_heads)});
  kernels.conv_input_gradient(s, data(weights), data(grad_y), data(scratch), data(grad_x));
  kernels.conv_weight_gradient(s, data(grad_y), data(x), data(grad_weights));
  omp_set_num_threads(before);
  return {mean, variance, out, grad_y.slice(0, 0, -kReadBeyond), gain, bias, conv_bias, grad_heads, grad_x, grad_weights, conv_y, branch};
}

TEST(DecoderKernels, InstructionSetsAgreeAndThreadsDoNotMatter) {
  // One width that fills vectors, one that leaves no room in its rows, one below a vector, one above a chunk.
  for (const BranchShape& s : {BranchShape{2, 8, 9, 5, 48}, BranchShape{1, 4, 4, 4, 32}, BranchShape{1, 4, 4, 3, 9}, BranchShape{1, 4, 3, 2, 525}}) {
    const std::vector<torch::Tensor> plain = run_kernels(decoder_kernels_at(0), s, 1);
    for (int k = 0; k < decoder_kernels_count(); ++k) {
      const std::vector<torch::Tensor> one = run_kernels(decoder_kernels_at(k), s, 1);
      const std::vector<torch::Tensor> three = run_kernels(decoder_kernels_at(k), s, 3);
      for (std::size_t i = 0; i < one.size(); ++i) {
        EXPECT_TRUE(torch::equal(one[i], three[i])) << "set " << k << ", result " << i;
        expect_close(one[i], plain[i], 1e-5, "set " + std::to_string(k) + ", result " + std::to_string(i));
      }
    }
  }
}

TEST(DecoderKernels, SiluAndSigmoidFarFromZero) {
  // One channel, head weight 1: silu(z) and its sigmoid at z where exp leaves its range.
  const std::vector<float> z = {-200, -88, -20, -1, 0, 1, 20, 88, 200};
  const BranchShape s{1, 4, 2, 1, 9};
  for (int k = 0; k < decoder_kernels_count(); ++k) {
    std::vector<float> y(static_cast<std::size_t>(4 * s.split_plane() + kReadBeyond)), out(2 * 9);
    for (std::size_t i = 0; i < z.size(); ++i) y[i % 2 * static_cast<std::size_t>(s.phase()) + BranchShape::kEdge + i / 2] = z[i];
    const std::vector<float> one(4, 1.0F), zero(4, 0.0F), heads = {1, 0, 0, 0, 1, 0, 0, 0};
    decoder_kernels_at(k).heads_forward(
        s, {y.data(), one.data(), zero.data(), heads.data(), zero.data(), 1, out.data()});
    for (std::size_t i = 0; i < z.size(); ++i) {
      const double silu = static_cast<double>(z[i]) / (1 + std::exp(-static_cast<double>(z[i])));
      EXPECT_NEAR(out[9 + i], silu, 1e-6 * std::max(1.0, std::abs(silu))) << z[i];
      EXPECT_NEAR(out[i], 1 / (1 + std::exp(-silu)), 1e-6) << z[i];
    }
  }
}

}  // namespace
}  // namespace layeravatar::avatar
