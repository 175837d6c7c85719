#include "layeravatar/diffusion/prior_attributes.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "layeravatar/core/error.h"

namespace layeravatar::diffusion {
namespace {

using torch::Tensor;

constexpr double kRidge = 0.05;        // of a value's variance over all people
constexpr double kLeastVariance = 1e-9, kLeastSpread = 1e-6;  // the latter of the widest axis
constexpr double kLeastShare = 1e-3;   // of a class's people, to have a word at all

// What spans the covariance that `rows` [..., m, K] do, the strongest first: orthonormal axes [..., count, K], or zero where there are not as many, and spread [..., count].
std::pair<Tensor, Tensor> principal(const Tensor& rows, std::int64_t count) {
  const auto [values, vectors] = torch::linalg_eigh(rows.matmul(rows.transpose(-1, -2)));  // ascending
  const std::int64_t m = rows.size(-2), kept = std::min(count, m);
  const Tensor spread = values.slice(-1, m - kept).flip(-1).clamp_min(0).sqrt();
  const Tensor spans = spread > kLeastSpread * std::get<0>(spread.max(-1, true));
  const Tensor scale = torch::where(spans, 1 / spread, torch::zeros_like(spread));
  const Tensor axes = scale.unsqueeze(-1) * vectors.slice(-1, m - kept).flip(-1).transpose(-1, -2).matmul(rows);
  const auto filled = [&](const Tensor& x, std::int64_t dim) { return torch::cat({x, torch::zeros_like(x.narrow(dim, 0, 1)).repeat_interleave(count - kept, dim)}, dim); };
  return {filled(axes, -2), filled(torch::where(spans, spread, torch::zeros_like(spread)), -1)};
}

// Rows whose products with themselves add up to a positive semidefinite matrix.
Tensor root(const Tensor& covariance) {
  const auto [values, vectors] = torch::linalg_eigh(covariance);
  return values.clamp_min(0).sqrt().unsqueeze(1) * vectors.t();
}

}  // namespace

Classes stack(const std::vector<Classes>& all) {
  std::vector<Tensor> weight, centre, axes, spread;
  for (const Classes& one : all) {
    weight.push_back(one.weight);
    centre.push_back(one.centre);
    axes.push_back(one.axes);
    spread.push_back(one.spread);
  }
  return {torch::stack(weight), torch::stack(centre), torch::stack(axes), torch::stack(spread)};
}

Condition no_condition(std::int64_t parts) {
  return {torch::zeros({parts, PriorAttributes::kWords}, torch::kBool),
          torch::full({parts, PriorAttributes::kValues}, std::numeric_limits<float>::quiet_NaN())};
}

PriorAttributes::PriorAttributes(std::int64_t parts, std::int64_t classes, std::int64_t axes, std::int64_t rank) {
  word_share_ = register_buffer("word_share", torch::zeros({parts, classes, kWords}));
  value_mean_ = register_buffer("value_mean", torch::zeros({parts, classes, kValues}));
  value_covariance_ = register_buffer("value_covariance", torch::zeros({parts, kValues, kValues}));
  slope_ = register_buffer("slope", torch::zeros({parts, rank, kValues}));
  axes_ = register_buffer("axes", torch::zeros({parts, classes, axes, rank}));
  spread_ = register_buffer("spread", torch::zeros({parts, classes, axes}));
}

void PriorAttributes::fit_part(std::int64_t part, const Tensor& y, const std::vector<int>& cluster, const Tensor& words, const Tensor& values) {
  const torch::NoGradGuard no_grad;
  const std::int64_t n = y.size(0), rank = y.size(1), word_count = words.size(1), value_count = values.size(1);
  LAV_CHECK(word_count <= kWords && value_count <= kValues, "words and values have room");
  for (Tensor& buffer : buffers()) buffer[part].zero_();
  const Tensor of = torch::tensor(std::vector<std::int64_t>(cluster.begin(), cluster.end()));
  const std::int64_t classes = of.max().item<std::int64_t>() + 1;
  Tensor u = values.to(torch::kFloat64).clone(), centred_y = torch::empty_like(y), centred_u = torch::empty_like(u);
  const Tensor known = u.isnan().logical_not(), overall = torch::where(known, u, torch::zeros_like(u)).sum(0) / known.sum(0).clamp_min(1);
  std::vector<Tensor> members;
  for (std::int64_t l = 0; l < classes; ++l) {
    members.push_back((of == l).nonzero().squeeze(1));
    const Tensor own_known = known.index_select(0, members.back()), own = u.index_select(0, members.back());
    const Tensor count = own_known.sum(0), sum = torch::where(own_known, own, torch::zeros_like(own)).sum(0);
    const Tensor mean = torch::where(count > 0, sum / count.clamp_min(1), overall);
    value_mean_[part][l].slice(0, 0, value_count).copy_(mean);
    word_share_[part][l].slice(0, 0, word_count).copy_(words.index_select(0, members.back()).to(torch::kFloat32).mean(0));
    centred_u.index_copy_(0, members.back(), torch::where(own_known, own - mean, torch::zeros_like(own)));
    const Tensor own_y = y.index_select(0, members.back());
    centred_y.index_copy_(0, members.back(), own_y - own_y.mean(0));
  }
  const Tensor around = torch::where(known, u - overall, torch::zeros_like(u));
  const Tensor covariance = centred_u.t().matmul(centred_u) / static_cast<double>(n) + torch::diag(kRidge * around.square().mean(0) + kLeastVariance);
  const Tensor slope = torch::linalg_solve(covariance, centred_u.t().matmul(centred_y) / static_cast<double>(n)).t();  // [rank, U]
  value_covariance_[part].slice(0, 0, value_count).slice(1, 0, value_count).copy_(covariance);
  slope_[part].slice(0, 0, rank).slice(1, 0, value_count).copy_(slope);
  const Tensor rest = centred_y - centred_u.matmul(slope.t());
  for (std::int64_t l = 0; l < classes; ++l) {
    const Tensor& own = members[static_cast<std::size_t>(l)];
    const auto [axes, spread] = principal(rest.index_select(0, own) / std::sqrt(static_cast<double>(own.size(0))), axes_.size(2));
    axes_[part][l].slice(1, 0, rank).copy_(axes);
    spread_[part][l].copy_(spread);
  }
}

bool PriorAttributes::fitted() const { return value_covariance_.max().item<float>() > 0 || word_share_.max().item<float>() > 0; }

Classes PriorAttributes::given(const Classes& own, const Condition& condition) const {
  const torch::NoGradGuard no_grad;
  Classes out{own.weight.clone(), own.centre.clone(), own.axes.clone(), own.spread.clone()};
  for (std::int64_t p = 0; p < own.weight.size(0); ++p) {
    const Tensor words = condition.words[p].nonzero().squeeze(1), asked = condition.values[p].isnan().logical_not().nonzero().squeeze(1);
    if (words.size(0) == 0 && asked.size(0) == 0) continue;
    const Tensor share = word_share_[p].index_select(1, words).to(torch::kFloat64);
    Tensor weight = own.weight[p].to(torch::kFloat64) * torch::where(share > kLeastShare, share, torch::zeros_like(share)).prod(1);
    if (!(weight.sum().item<double>() > 0)) throw Error(ErrorKind::kConfig, "nobody has all of these words");
    if (asked.size(0) > 0) {
      // Of values u, those asked for move the others by their regression on them.
      const Tensor covariance = value_covariance_[p].to(torch::kFloat64), across = covariance.index_select(1, asked);
      const Tensor gain = torch::linalg_solve(across.index_select(0, asked), across.t()).t();  // [U, asked]
      const Tensor off = condition.values[p].index_select(0, asked).to(torch::kFloat64) - value_mean_[p].index_select(1, asked).to(torch::kFloat64);  // [L, asked]
      const Tensor distance = (off * torch::linalg_solve(across.index_select(0, asked), off.t()).t()).sum(1);
      weight = weight * torch::exp((distance.masked_select(weight > 0).min() - distance).clamp_max(0) / 2);
      const Tensor slope = slope_[p].to(torch::kFloat64);
      out.centre[p] += off.matmul(gain.t()).matmul(slope.t());
      const Tensor left = root(covariance - gain.matmul(across.t())).matmul(slope.t());  // [U, K]
      const Tensor rest = (axes_[p] * spread_[p].unsqueeze(2)).to(torch::kFloat64);      // [L, R, K]
      const auto [axes, spread] = principal(torch::cat({left.unsqueeze(0).expand({rest.size(0), -1, -1}), rest}, 1), own.axes.size(2));
      const Tensor used = own.weight[p] > 0;
      out.axes[p].copy_(axes * used.reshape({-1, 1, 1}));
      out.spread[p].copy_(spread * used.unsqueeze(1));
    }
    out.weight[p].copy_(weight / weight.sum());
  }
  return out;
}

}  // namespace layeravatar::diffusion
