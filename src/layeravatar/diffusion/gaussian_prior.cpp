#include "layeravatar/diffusion/gaussian_prior.h"

#include <torch/torch.h>

#include <algorithm>

#include "layeravatar/core/error.h"

namespace layeravatar::diffusion {
namespace {

using torch::Tensor;

Tensor pooled(const Tensor& x) { return torch::avg_pool2d(x, {GaussianPrior::kBlock, GaussianPrior::kBlock}); }

Tensor spread(const Tensor& coarse) {
  return coarse.repeat_interleave(GaussianPrior::kBlock, 2).repeat_interleave(GaussianPrior::kBlock, 3);
}

}  // namespace

GaussianPrior::GaussianPrior(std::int64_t channels, std::array<int, 2> image_size, std::int64_t rank) {
  LAV_CHECK(channels > 0 && rank > 0 && image_size[0] % kBlock == 0 && image_size[1] % kBlock == 0, "planes in whole blocks");
  const std::int64_t rows = image_size[0] / kBlock, columns = image_size[1] / kBlock;
  mean_ = register_buffer("mean", torch::zeros({channels, rows, columns}));
  basis_ = register_buffer("basis", torch::zeros({rank, channels, rows, columns}));
  variance_ = register_buffer("variance", torch::zeros({rank}));
}

void GaussianPrior::fit(const std::vector<Tensor>& planes) {
  LAV_CHECK(planes.size() > 1, "two planes have a variance");
  const torch::NoGradGuard no_grad;
  const Tensor x = pooled(torch::stack(planes)).to(torch::kFloat64).flatten(1);
  const Tensor mean = x.mean(0), centred = x - mean;
  const auto n = static_cast<std::int64_t>(planes.size());
  // Dual form: fewer planes than texels. Eigenvalues rise, and the last one is zero since the mean is taken out.
  const auto [values, vectors] = torch::linalg_eigh(centred.matmul(centred.t()));
  const std::int64_t rank = std::min(basis_.size(0), n - 1);
  const Tensor kept = values.slice(0, n - rank, n).flip(0).clamp_min(0);
  const Tensor components = vectors.slice(1, n - rank, n).flip(1).t().matmul(centred);  // [rank, texels]
  basis_.zero_();
  variance_.zero_();
  mean_.copy_(mean.reshape(mean_.sizes()));
  basis_.slice(0, 0, rank).flatten(1).copy_(components / kept.sqrt().clamp_min(1e-12).unsqueeze(1));
  variance_.slice(0, 0, rank).copy_(kept / static_cast<double>(n));
}

bool GaussianPrior::fitted() const { return variance_.max().item<float>() > 0; }

Tensor GaussianPrior::mean() const { return spread(mean_.unsqueeze(0)); }

Tensor GaussianPrior::weight(const Tensor& t) const {
  std::vector<float> out;
  for (std::int64_t b = 0; b < t.size(0); ++b) {
    const double s = schedule_.noise(t[b].item<std::int64_t>());
    out.push_back(static_cast<float>(s * s));
  }
  return torch::tensor(out).reshape({-1, 1, 1, 1});
}

Tensor GaussianPrior::estimate(const Tensor& x, const Tensor& t) const {
  const std::int64_t batch = x.size(0);
  std::vector<float> signal, noise;
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto step = t[b].item<std::int64_t>();
    signal.push_back(static_cast<float>(schedule_.signal(step)));
    noise.push_back(static_cast<float>(schedule_.noise(step) * schedule_.noise(step) / (kBlock * kBlock)));  // variance of a block's mean
  }
  const Tensor a = torch::tensor(signal).unsqueeze(1), s2 = torch::tensor(noise).unsqueeze(1);
  const Tensor basis = basis_.flatten(1), mean = mean_.flatten();
  const Tensor seen = (pooled(x).flatten(1) - a * mean).matmul(basis.t());                  // [B, K]
  const Tensor coefficients = seen * (a * variance_ / (a * a * variance_ + s2));
  return spread((mean + coefficients.matmul(basis)).reshape({batch, mean_.size(0), mean_.size(1), mean_.size(2)}));
}

}  // namespace layeravatar::diffusion
