// Time of one pose of one avatar at the official size (blocks 34 858, 21 424, 11 056, 22 152): transforms, corrections of
// shape and pose, skinning, nearest neighbours and covariances. First frame of an avatar, the next ones, and with backward.
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "layeravatar/deform/deformer.h"
#include "machine.h"
#include "official_template.h"

namespace layeravatar::deform {
namespace {

using bench::Held;

// A deformer, an avatar and a walk in which every joint of the body moves; the hands move as well where wanted.
struct Case {
  Deformer deformer{bench::official_body(), bench::official_template()};
  avatar::GaussianAttributes attributes;

  Case() {
    torch::manual_seed(2);
    const std::int64_t n = deformer.count();
    attributes = {torch::rand({n}), 0.004 * torch::randn({n, 3}), torch::rand({n, 3}), 0.2 * torch::randn({n, 3}), 0.5 * torch::randn({n, 3})};
  }
  // Bytes that a pose reads and writes at least: the pose directions of its features that are not zero (21 joints of the body), float32 as they are kept, place,
  // frame, offset, radius and rotation of each Gaussian, its weights of four joints, mean and covariance. The arithmetic is far below.
  [[nodiscard]] double bytes() const { return 4.0 * static_cast<double>(deformer.layers().pose_dirs.size()) * 21 * 9 / 486 + static_cast<double>(deformer.count()) * 4 * (3 + 9 + 3 + 3 + 3 + 8 + 3 + 6); }
  static Case& instance() {
    static Case only;
    return only;
  }
  static body::PoseParams frame(int at, bool hands = false) {
    body::PoseParams p = body::default_viewing_pose();
    const auto phase = static_cast<float>(at) * 0.1F;
    for (std::size_t k = 0; k < p.body_pose.size(); ++k) p.body_pose[k] += 0.25F * std::sin(phase + static_cast<float>(k));
    if (hands)
      for (std::size_t k = 0; k < p.left_hand.size(); ++k) p.left_hand[k] = p.right_hand[k] = 0.3F * std::sin(phase + static_cast<float>(k));
    p.betas = {0.5F, -1, 0.3F};
    return p;
  }
};

void first_frame(benchmark::State& state) {
  const Held held(state.range(0), state.range(1));
  const torch::NoGradGuard no_grad;
  Case& c = Case::instance();
  int at = 0;
  const auto begin = bench::Clock::now();
  for (auto _ : state) benchmark::DoNotOptimize(c.deformer.pose(c.attributes, c.deformer.prepare(Case::frame(++at))));
  bench::set_floor(state, bench::per_iteration(state, begin), 0, c.bytes(), state.range(0), state.range(1));
}

void next_frame(benchmark::State& state) {
  const Held held(state.range(0), state.range(1));
  const torch::NoGradGuard no_grad;
  Case& c = Case::instance();
  const PosableAvatar avatar = c.deformer.bind(c.attributes);
  int at = 0;
  benchmark::DoNotOptimize(avatar.pose(Case::frame(at)));
  const auto begin = bench::Clock::now();
  for (auto _ : state) benchmark::DoNotOptimize(avatar.pose(Case::frame(++at)));
  bench::set_floor(state, bench::per_iteration(state, begin), 0, c.bytes(), state.range(0), state.range(1));
}

void pose_and_backward(benchmark::State& state) {
  const Held held(state.range(0), state.range(1));
  Case& c = Case::instance();
  avatar::GaussianAttributes leaves = c.attributes;
  for (torch::Tensor* t : {&leaves.offset, &leaves.radius, &leaves.rotation}) *t = t->clone().requires_grad_(true);
  const std::int64_t n = c.deformer.count();
  const torch::Tensor by_means = torch::rand({n, 3}), by_covariances = torch::rand({n, 6});
  int at = 0;
  const auto begin = bench::Clock::now();
  for (auto _ : state) {
    const splat::Gaussians g = c.deformer.pose(leaves, c.deformer.prepare(Case::frame(++at)));
    for (torch::Tensor* t : {&leaves.offset, &leaves.radius, &leaves.rotation}) t->mutable_grad() = torch::Tensor();
    torch::autograd::backward({g.means, g.covariances}, {by_means, by_covariances});
  }
  bench::set_floor(state, bench::per_iteration(state, begin), 0, c.bytes() + 4.0 * static_cast<double>(n) * (9 + 9 + 9), state.range(0), state.range(1));
}

void all_rows(benchmark::internal::Benchmark* b) {
  b->ArgNames({"threads", "set"})->Unit(benchmark::kMillisecond)->UseRealTime();
  bench::rows(b, {});
}

BENCHMARK(first_frame)->Apply(all_rows);
BENCHMARK(next_frame)->Apply(all_rows);
BENCHMARK(pose_and_backward)->Apply(all_rows);

}  // namespace
}  // namespace layeravatar::deform

int main(int argc, char** argv) { return layeravatar::bench::run(argc, argv); }
