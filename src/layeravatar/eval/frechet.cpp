#include "layeravatar/eval/frechet.h"

#include <torch/torch.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "layeravatar/core/error.h"

namespace layeravatar::eval {
namespace {

// The symmetric root of a symmetric matrix whose negative eigenvalues count as zero.
torch::Tensor root(const torch::Tensor& a) {
  const auto [values, vectors] = torch::linalg_eigh(a);
  return (vectors * values.clamp_min(0).sqrt()).matmul(vectors.t());
}

// Rows of a random subset, in order: the first `count` of a shuffle.
torch::Tensor draw(const torch::Tensor& rows, std::int64_t count, std::mt19937_64& engine) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(rows.size(0)));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) std::swap(order[i], order[i + engine() % (order.size() - i)]);
  order.resize(static_cast<std::size_t>(count));
  std::sort(order.begin(), order.end());
  return rows.index_select(0, torch::tensor(order)).to(torch::kFloat64);
}

torch::Tensor kernel(const torch::Tensor& x, const torch::Tensor& y) {
  return (x.matmul(y.t()) / static_cast<double>(x.size(1)) + 1).pow(3);
}

}  // namespace

void Moments::add(const torch::Tensor& rows) {
  LAV_CHECK(rows.dim() == 2, "rows of features");
  if (rows.size(0) == 0) return;
  const torch::Tensor exact = rows.to(torch::kFloat64);
  Moments own;
  own.count_ = rows.size(0);
  own.mean_ = exact.mean(0);
  const torch::Tensor centred = exact - own.mean_;
  own.scatter_ = centred.t().matmul(centred);
  merge(own);
}

void Moments::merge(const Moments& other) {
  if (other.count_ == 0) return;
  if (count_ == 0) {
    *this = other;
    return;
  }
  LAV_CHECK(mean_.sizes() == other.mean_.sizes(), "moments of as many features");
  const auto n = static_cast<double>(count_), m = static_cast<double>(other.count_);
  const torch::Tensor apart = other.mean_ - mean_;
  scatter_ = scatter_ + other.scatter_ + torch::outer(apart, apart) * (n * m / (n + m));
  mean_ = mean_ + apart * (m / (n + m));
  count_ += other.count_;
}

torch::Tensor Moments::covariance() const {
  LAV_CHECK(count_ > 1, "a covariance needs two rows");
  return scatter_ / static_cast<double>(count_ - 1);
}

FrechetDistance frechet_distance(const torch::Tensor& mean_a, const torch::Tensor& covariance_a, const torch::Tensor& mean_b, const torch::Tensor& covariance_b) {
  LAV_CHECK(mean_a.sizes() == mean_b.sizes() && covariance_a.sizes() == covariance_b.sizes() && covariance_a.dim() == 2 && covariance_a.size(0) == mean_a.size(0),
            "two Gaussians of as many features");
  const torch::Tensor half = root(covariance_a), product = half.matmul(covariance_b).matmul(half);
  const torch::Tensor values = torch::linalg_eigvalsh((product + product.t()) / 2);
  return {(mean_a - mean_b).square().sum().item<double>(),
          (covariance_a.trace() + covariance_b.trace() - 2 * values.clamp_min(0).sqrt().sum()).item<double>()};
}

double kernel_distance(const torch::Tensor& a, const torch::Tensor& b, const KernelOptions& options) {
  LAV_CHECK(a.dim() == 2 && b.dim() == 2 && a.size(1) == b.size(1) && options.subsets > 0, "two sets of as many features");
  const std::int64_t rows = std::min({a.size(0), b.size(0), options.largest});
  LAV_CHECK(rows > 1, "two rows of each");
  const auto m = static_cast<double>(rows);
  std::mt19937_64 engine(options.seed);
  double sum = 0;
  for (int k = 0; k < options.subsets; ++k) {
    const torch::Tensor x = draw(a, rows, engine), y = draw(b, rows, engine);
    const auto others = [](const torch::Tensor& own) { return (own.sum() - own.trace()).item<double>(); };
    sum += (others(kernel(x, x)) + others(kernel(y, y))) / (m - 1) - 2 * kernel(x, y).sum().item<double>() / m;
  }
  return sum / options.subsets / m;
}

}  // namespace layeravatar::eval
