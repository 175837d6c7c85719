#include "layeravatar/diffusion/gaussian_prior.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <utility>

#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/block_cosine.h"

namespace layeravatar::diffusion {
namespace {

using torch::Tensor;

constexpr double kLevels = 127;  // of a basis value's magnitude

// a and s of x_t = a x0 + s noise, [B, 1] each.
std::pair<Tensor, Tensor> signal_and_noise(const Schedule& schedule, const Tensor& t) {
  std::vector<float> signal, noise;
  for (std::int64_t b = 0; b < t.size(0); ++b) {
    signal.push_back(static_cast<float>(schedule.signal(t[b].item<std::int64_t>())));
    noise.push_back(static_cast<float>(schedule.noise(t[b].item<std::int64_t>())));
  }
  return {torch::tensor(signal).to(t.device()).unsqueeze(1), torch::tensor(noise).to(t.device()).unsqueeze(1)};
}

}  // namespace

GaussianPrior::GaussianPrior(std::int64_t channels, std::array<int, 2> image_size, std::int64_t rank)
    : channels_(channels), rows_(image_size[0]), columns_(image_size[1]) {
  LAV_CHECK(channels > 0 && rank > 0 && rows_ % kBlock == 0 && columns_ % kBlock == 0, "planes in whole blocks");
  const std::int64_t kept = channels * rows_ * columns_ / kKeptOneOf;
  index_ = register_buffer("index", torch::zeros({kept}, torch::kInt32));
  mean_ = register_buffer("mean", torch::zeros({kept}));
  basis_ = register_buffer("basis", torch::zeros({rank, kept}, torch::kInt8));
  step_ = register_buffer("step", torch::zeros({rank}));
  deviation_ = register_buffer("deviation", torch::zeros({rank}));
  rest_ = register_buffer("rest", torch::zeros({channels, kBlock, kBlock}));
}

Tensor GaussianPrior::planes(const Tensor& all) const {
  return inverse_block_cosine(all.reshape({all.size(0), channels_, rows_ / kBlock, columns_ / kBlock, kBlock, kBlock}));
}

Tensor GaussianPrior::planes_of_kept(const Tensor& kept) const {
  return planes(torch::zeros({channels_ * rows_ * columns_}, kept.options()).index_copy(0, index_.to(torch::kInt64), kept).unsqueeze(0))[0];
}

Tensor GaussianPrior::by_frequency(const Tensor& coefficients) const {
  return coefficients.reshape({channels_, rows_ * columns_ / (kBlock * kBlock), kBlock, kBlock}).sum(1);
}

Tensor GaussianPrior::basis() const { return basis_.to(torch::kFloat32) * step_.unsqueeze(1); }

Tensor GaussianPrior::rest_variance() const {
  const Tensor blocks = rest_.square().reshape({channels_, 1, 1, kBlock, kBlock}).expand({-1, rows_ / kBlock, columns_ / kBlock, -1, -1});
  return blocks.flatten().clone().index_fill_(0, index_.to(torch::kInt64), 0);
}

void GaussianPrior::fit(const std::vector<Tensor>& planes) {
  LAV_CHECK(planes.size() > 1, "two planes have a variance");
  const torch::NoGradGuard no_grad;
  const auto n = static_cast<std::int64_t>(planes.size());
  const Tensor all = block_cosine(torch::stack(planes)).flatten(1);
  const Tensor index = std::get<0>(torch::sort(std::get<1>(torch::topk(all.square().mean(0), index_.size(0)))));
  const Tensor x = all.index_select(1, index).to(torch::kFloat64);
  const Tensor mean = x.mean(0), centred = x - mean;
  // Dual form: fewer planes than coefficients. Eigenvalues rise, and the first one is zero since the mean is taken out.
  const auto [values, vectors] = torch::linalg_eigh(centred.matmul(centred.t()));
  const std::int64_t rank = std::min(basis_.size(0), n - 1);
  const Tensor kept = values.slice(0, n - rank, n).flip(0).clamp_min(0);
  const Tensor components =
      vectors.slice(1, n - rank, n).flip(1).t().matmul(centred) / kept.sqrt().clamp_min(1e-12).unsqueeze(1);  // [rank, M]
  const Tensor step = (std::get<0>(components.abs().max(1)) / kLevels).clamp_min(1e-12);
  const Tensor others = torch::ones_like(all[0]).index_fill_(0, index, 0);
  rest_.copy_((by_frequency(all.square().mean(0) * others) / by_frequency(others).clamp_min(1)).sqrt());
  index_.copy_(index);
  mean_.copy_(mean);
  basis_.zero_().slice(0, 0, rank).copy_((components / step.unsqueeze(1)).round());
  step_.zero_().slice(0, 0, rank).copy_(step);
  deviation_.zero_().slice(0, 0, rank).copy_((kept / static_cast<double>(n)).sqrt());
}

bool GaussianPrior::fitted() const { return deviation_.max().item<float>() > 0; }

void GaussianPrior::check(const std::string& what) const {
  const std::int64_t count = channels_ * rows_ * columns_;
  if (index_.min().item<std::int64_t>() < 0 || index_.max().item<std::int64_t>() >= count)
    throw Error(ErrorKind::kInput, fmt::format("{}: tensor 'prior.index': found {}..{}, expected 0..{}", what, index_.min().item<std::int64_t>(),
                                               index_.max().item<std::int64_t>(), count - 1));
}

Tensor GaussianPrior::frequency_deviation() const {
  const Tensor kept = (basis().square() * deviation_.square().unsqueeze(1)).sum(0);
  const auto blocks = static_cast<double>(rows_ * columns_ / (kBlock * kBlock));
  return (by_frequency(rest_variance().index_copy(0, index_.to(torch::kInt64), kept)) / blocks).sqrt();
}

Tensor GaussianPrior::mean() const {
  return planes_of_kept(mean_).unsqueeze(0);
}

Tensor GaussianPrior::of_components(const Tensor& c) const {
  return planes_of_kept((c * deviation_).matmul(basis()));
}

Tensor GaussianPrior::to_components(const Tensor& planes) const {
  return basis().matmul(block_cosine(planes.unsqueeze(0)).flatten().index_select(0, index_.to(torch::kInt64))) * deviation_;
}

Tensor GaussianPrior::estimate(const Tensor& x, const Tensor& t) const {
  const auto [a, s] = signal_and_noise(schedule_, t);
  const auto gain = [&, a = a, s = s](const auto& variance) { return a * variance / (a * a * variance + s * s); };  // [B, ...]
  const Tensor index = index_.to(torch::kInt64), basis = this->basis();
  const Tensor all = block_cosine(x).flatten(1), seen = all.index_select(1, index) - a * mean_;  // [B, M]
  const Tensor in_basis = seen.matmul(basis.t());
  const Tensor kept = mean_ + gain(kDrift * kDrift) * seen + ((gain(deviation_.square()) - gain(kDrift * kDrift)) * in_basis).matmul(basis);
  return planes((gain(rest_variance()) * all).index_copy(1, index, kept));
}

Tensor GaussianPrior::velocity(const Tensor& x, const Tensor& estimate, const Tensor& t) const {
  const auto [a, s] = signal_and_noise(schedule_, t);
  return (a.reshape({-1, 1, 1, 1}) * x - estimate) / s.reshape({-1, 1, 1, 1});
}

Tensor GaussianPrior::deviation(const Tensor& t) const {
  const auto [a, s] = signal_and_noise(schedule_, t);
  const auto left = [&, a = a, s = s](const auto& variance) { return variance / (a * a * variance + s * s); };  // over s^2
  const auto around = static_cast<double>(index_.size(0)) - (deviation_ > 0).sum().item<double>();
  const Tensor sum = left(deviation_.square()).sum(1, true) + around * left(kDrift * kDrift) +
                     left(rest_variance()).sum(1, true);
  return (sum / static_cast<double>(channels_ * rows_ * columns_)).sqrt().reshape({-1, 1, 1, 1});
}

}  // namespace layeravatar::diffusion
