#include "layeravatar/diffusion/mixture_prior.h"

#include <fmt/format.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <utility>

#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/kernels/prior_kernel.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/tensor/one_thread.h"

namespace layeravatar::diffusion {
namespace {

using torch::Tensor;

constexpr double kLevels = 127;  // of a basis value's magnitude
constexpr double kLeastShare = 1e-12;  // of the largest variance

// a and s of x_t = a x0 + s noise, [B] each.
std::pair<Tensor, Tensor> signal_and_noise(const Schedule& schedule, const Tensor& t) {
  std::vector<float> signal, noise;
  for (std::int64_t b = 0; b < t.size(0); ++b) {
    signal.push_back(static_cast<float>(schedule.signal(t[b].item<std::int64_t>())));
    noise.push_back(static_cast<float>(schedule.noise(t[b].item<std::int64_t>())));
  }
  return {torch::tensor(signal).to(t.device()), torch::tensor(noise).to(t.device())};
}

constexpr std::int64_t kInBlock = MixturePrior::kBlock * MixturePrior::kBlock;

// [*, C, h, w] -> [*, C, h / 8, w / 8, 8, 8]
Tensor in_blocks(const Tensor& planes) {
  constexpr std::int64_t b = MixturePrior::kBlock;
  return planes.reshape({-1, planes.size(-3), planes.size(-2) / b, b, planes.size(-1) / b, b}).transpose(3, 4);
}

// A linear map and its transpose, by which gradients come back.
using Map = std::function<Tensor(const Tensor&)>;
struct Maps : torch::CustomClassHolder {
  Map map, transpose;
};
struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Map& map, const Map& transpose) {
    auto maps = c10::make_intrusive<Maps>();
    maps->map = map;
    maps->transpose = transpose;
    context->saved_data["maps"] = c10::IValue::make_capsule(maps);
    return map(x.contiguous());
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, const torch::autograd::variable_list& grads) {
    const auto capsule = context->saved_data["maps"].toCapsule();
    const auto& maps = static_cast<const Maps&>(*capsule);
    return {Linear::apply(grads[0], maps.transpose, maps.map), Tensor(), Tensor()};
  }
};

}  // namespace

std::vector<int> ward_clusters(const Tensor& squared_distances, int most, int least) {
  const auto n = static_cast<std::size_t>(squared_distances.size(0));
  // Growth of the sum of squared distances from the centres by each union, kept up to date by Lance and Williams' formula.
  const Tensor start = (squared_distances.to(torch::kFloat64) / 2).contiguous();
  std::vector<double> growth(start.data_ptr<double>(), start.data_ptr<double>() + n * n);
  std::vector<std::size_t> members(n, 1), cluster(n);
  for (std::size_t i = 0; i < n; ++i) cluster[i] = i;
  std::size_t count = n;
  const auto join = [&](std::size_t a, std::size_t b) {
    const auto size = [&](std::size_t i) { return static_cast<double>(members[i]); };
    for (std::size_t k = 0; k < n; ++k)
      if (k != a && k != b && members[k] > 0)
        growth[a * n + k] = growth[k * n + a] = ((size(a) + size(k)) * growth[a * n + k] + (size(b) + size(k)) * growth[b * n + k] -
                                                 size(k) * growth[a * n + b]) / (size(a) + size(b) + size(k));
    members[a] += members[b];
    members[b] = 0;
    std::replace(cluster.begin(), cluster.end(), b, a);
    --count;
  };
  const auto nearest_to = [&](std::size_t a) {
    std::size_t best = n;
    for (std::size_t k = 0; k < n; ++k)
      if (k != a && members[k] > 0 && (best == n || growth[a * n + k] < growth[a * n + best])) best = k;
    return best;
  };
  while (count > static_cast<std::size_t>(most)) {
    std::size_t first = n, second = n;
    for (std::size_t a = 0; a < n; ++a)
      for (std::size_t b = a + 1; b < n; ++b)
        if (members[a] > 0 && members[b] > 0 && (first == n || growth[a * n + b] < growth[first * n + second])) first = a, second = b;
    join(first, second);
  }
  while (count > 1) {
    std::size_t smallest = n;
    for (std::size_t a = 0; a < n; ++a)
      if (members[a] > 0 && (smallest == n || members[a] < members[smallest])) smallest = a;
    if (members[smallest] >= static_cast<std::size_t>(least)) break;
    join(nearest_to(smallest), smallest);
  }
  std::map<std::size_t, int> numbers;
  std::vector<int> out;
  for (const std::size_t c : cluster) out.push_back(numbers.emplace(c, static_cast<int>(numbers.size())).first->second);
  return out;
}

MixturePrior::MixturePrior(std::int64_t channels, std::array<int, 2> image_size, std::int64_t rank, bool attributes)
    : channels_(channels), rows_(image_size[0]), columns_(image_size[1]) {
  LAV_CHECK(channels > 0 && rank > 0 && rows_ % kBlock == 0 && columns_ % kBlock == 0, "planes in whole blocks");
  const std::int64_t kept = channels * rows_ * columns_ / kKeptOneOf;
  owner_ = register_buffer("owner", torch::zeros({channels, rows_, columns_}, torch::kUInt8));
  index_ = register_buffer("index", torch::zeros({kept}, torch::kInt32));
  mean_ = register_buffer("mean", torch::zeros({kept}));
  basis_ = register_buffer("basis", torch::zeros({rank, kept}, torch::kInt8));
  step_ = register_buffer("step", torch::zeros({kParts, rank}));
  deviation_ = register_buffer("deviation", torch::zeros({kParts, rank}));
  weight_ = register_buffer("weight", torch::zeros({kParts, kClasses}));
  centre_ = register_buffer("centre", torch::zeros({kParts, kClasses, rank}));
  axes_ = register_buffer("axes", torch::zeros({kParts, kClasses, kAxes, rank}));
  spread_ = register_buffer("spread", torch::zeros({kParts, kClasses, kAxes}));
  rest_ = register_buffer("rest", torch::zeros({channels, kBlock, kBlock}));
  if (attributes) attributes_ = register_module("attributes", std::make_shared<PriorAttributes>(kParts, kClasses, kAxes, rank));
}

Tensor MixturePrior::masks() const { return owner_.unsqueeze(0) == torch::arange(kParts, owner_.options()).reshape({-1, 1, 1, 1}); }

MixturePrior::Use MixturePrior::prepared() const {
  const torch::NoGradGuard no_grad;
  std::vector<std::int64_t> versions;
  for (const Tensor& buffer : {owner_, index_, basis_, step_, rest_}) {
    versions.push_back(static_cast<std::int64_t>(buffer._version()));
    versions.push_back(static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(buffer.data_ptr())));
  }
  const std::lock_guard lock(guard_);
  if (prepared_ && prepared_->versions == versions) return prepared_;
  auto out = std::make_shared<Prepared>();
  out->versions = versions;
  out->columns = columns_of_parts();
  out->basis = basis_;
  out->step = step_;
  out->cosine = cosine_matrix(step_.options());
  const Tensor owners = in_blocks(owner_).reshape({-1, kInBlock}), parts = torch::arange(kParts, owner_.options());
  const std::int64_t blocks = owners.size(0);
  const Tensor owned = (owners.unsqueeze(0) == parts.reshape({-1, 1, 1})).any(2).flatten();  // [P N]
  const Tensor index = index_.to(torch::kInt64), of_index = index.div(kInBlock, "trunc");
  const Tensor used = owned.index_fill(0, of_index, true), chosen = used.nonzero().squeeze(1);
  out->block = chosen.remainder(blocks);
  out->block_masks = (owners.index_select(0, out->block) == chosen.div(blocks, "trunc").unsqueeze(1)).to(torch::kFloat32);
  out->block_order = std::get<1>(out->block.sort(c10::optional<bool>(true), 0));
  out->block_begin = torch::cat({torch::zeros({1}, torch::kInt64), torch::bincount(out->block, {}, blocks).cumsum(0)});
  out->block_index = (used.to(torch::kInt64).cumsum(0) - 1).index_select(0, of_index) * kInBlock + index.remainder(kInBlock);
  const Tensor rest = rest_.square().reshape({channels_, kInBlock}).index_select(0, out->block.div(blocks / channels_, "trunc"));
  out->rest_variance = (rest * owned.index_select(0, chosen).unsqueeze(1)).flatten().index_fill(0, out->block_index, 0);
  prepared_ = out;
  return prepared_;
}

Tensor MixturePrior::block_frequencies(const Tensor& planes, const Use& use) const {
  return Linear::apply(planes, [this, use](const Tensor& x) {
    Tensor out = torch::empty({x.size(0), use->rest_variance.size(0)});
    prior_frequencies_cpu(blocks_of(*use, x.size(0)), tensor::floats(x, "planes"), tensor::mutable_floats(out, "frequencies"));
    return out;
  }, [this, use](const Tensor& f) { return planes_of_blocks(f, use); });
}

Tensor MixturePrior::planes_of_blocks(const Tensor& frequencies, const Use& use) const {
  return Linear::apply(frequencies, [this, use](const Tensor& f) {
    Tensor out = torch::empty({f.size(0), channels_, rows_, columns_});
    prior_planes_cpu(blocks_of(*use, f.size(0)), tensor::floats(f, "frequencies"), tensor::mutable_floats(out, "planes"));
    return out;
  }, [this, use](const Tensor& x) { return block_frequencies(x, use); });
}

PriorBlocks MixturePrior::blocks_of(const Prepared& use, std::int64_t images) const {
  return {images, channels_, rows_, columns_, use.block.size(0), tensor::floats(use.cosine, "cosine"), use.block.data_ptr<std::int64_t>(),
          tensor::floats(use.block_masks, "masks"), use.block_order.data_ptr<std::int64_t>(), use.block_begin.data_ptr<std::int64_t>()};
}

PriorBasis MixturePrior::basis_of(const Prepared& use, std::int64_t images) {
  return {images, kParts, use.step.size(1), use.basis.size(1), use.columns.data(), use.basis.data_ptr<std::int8_t>(), tensor::floats(use.step, "step")};
}

Tensor MixturePrior::all_frequencies(const Tensor& planes) const { return block_cosine(planes.unsqueeze(0) * masks()).flatten(); }

Tensor MixturePrior::planes_of_kept(const Tensor& kept) const {
  const auto use = prepared();
  return planes_of_blocks(torch::zeros({1, use->rest_variance.size(0)}, kept.options()).index_copy(1, use->block_index, kept.unsqueeze(0)), use)[0];
}

Tensor MixturePrior::by_frequency(const Tensor& all) const {
  return all.reshape({kParts, channels_, rows_ * columns_ / (kBlock * kBlock), kBlock, kBlock}).sum(torch::IntArrayRef({0, 2}));
}

MixturePrior::Columns MixturePrior::columns_of_parts() const {
  Columns out{};
  const Tensor ends = torch::arange(1, kParts + 1, torch::kInt32) * static_cast<int>(channels_ * rows_ * columns_);
  const Tensor columns = torch::searchsorted(index_.cpu(), ends);
  for (std::int64_t p = 0; p < kParts; ++p) out[static_cast<std::size_t>(p + 1)] = columns[p].item<std::int64_t>();
  return out;
}

Tensor MixturePrior::basis() const {
  Tensor out = basis_.to(torch::kFloat32);
  const auto columns = columns_of_parts();
  for (std::size_t p = 0; p < kParts; ++p) out.slice(1, columns[p], columns[p + 1]) *= step_[static_cast<std::int64_t>(p)].unsqueeze(1);
  return out;
}

Tensor MixturePrior::to_basis(const Tensor& kept, const Use& use) {
  return Linear::apply(kept, [use](const Tensor& x) {
    Tensor out = torch::empty({x.size(0), kParts, use->step.size(1)});
    prior_to_basis_cpu(basis_of(*use, x.size(0)), tensor::floats(x, "coefficients"), tensor::mutable_floats(out, "components"));
    return out;
  }, [use](const Tensor& y) { return of_basis(y, use); });
}

Tensor MixturePrior::of_basis(const Tensor& y, const Use& use) {
  return Linear::apply(y, [use](const Tensor& c) {
    Tensor out = torch::empty({c.size(0), use->basis.size(1)});
    prior_of_basis_cpu(basis_of(*use, c.size(0)), tensor::floats(c, "components"), tensor::mutable_floats(out, "coefficients"));
    return out;
  }, [use](const Tensor& x) { return to_basis(x, use); });
}

Tensor MixturePrior::support() const {
  const Tensor blocks = masks().reshape({kParts, channels_, rows_ / kBlock, kBlock, columns_ / kBlock, kBlock}).any(5).any(3);
  return blocks.unsqueeze(4).unsqueeze(5).expand({-1, -1, -1, -1, kBlock, kBlock}).flatten().to(torch::kFloat32);
}

Tensor MixturePrior::rest_variance() const {
  const Tensor blocks = rest_.square().reshape({1, channels_, 1, 1, kBlock, kBlock}).expand({kParts, -1, rows_ / kBlock, columns_ / kBlock, -1, -1});
  return (blocks.flatten() * support()).index_fill(0, index_.to(torch::kInt64), 0);
}

void MixturePrior::fit(const std::vector<Tensor>& planes, const Tensor& owner, const PeopleAttributes* attributes) {
  LAV_CHECK(planes.size() > 1, "two planes have a variance");
  tensor::expect_shape(owner, {channels_, rows_, columns_}, "owner");
  LAV_CHECK(owner.max().item<std::int64_t>() < kParts, "a part of each texel");
  const torch::NoGradGuard no_grad;
  const auto n = static_cast<std::int64_t>(planes.size());
  owner_.copy_(owner);
  Tensor square = torch::zeros({kParts * channels_ * rows_ * columns_});
  for (const Tensor& one : planes) square += all_frequencies(one).square() / static_cast<double>(n);
  const Tensor index = std::get<0>(torch::sort(std::get<1>(torch::topk(square, index_.size(0)))));
  index_.copy_(index);
  const Tensor others = support().index_fill(0, index, 0);
  rest_.copy_((by_frequency(square * others) / by_frequency(others).clamp_min(1)).sqrt());
  std::vector<Tensor> rows;
  for (const Tensor& one : planes) rows.push_back(all_frequencies(one).index_select(0, index));
  const Tensor x = torch::stack(rows).to(torch::kFloat64);
  mean_.copy_(x.mean(0));
  for (const Tensor& buffer : {basis_, step_, deviation_, weight_, centre_, axes_, spread_}) buffer.zero_();
  const std::int64_t rank = std::min(basis_.size(0), n - 1), half = channels_ / 2 * rows_ * columns_;
  const auto columns = columns_of_parts();
  for (std::int64_t p = 0; p < kParts; ++p) {
    const auto from = columns[static_cast<std::size_t>(p)], to = columns[static_cast<std::size_t>(p + 1)];
    const Tensor own = x.slice(1, from, to), centred = own - own.mean(0);
    // Dual form: fewer planes than coefficients. Eigenvalues rise, and the first one is zero since the mean is taken out.
    const auto [values, vectors] = torch::linalg_eigh(centred.matmul(centred.t()));
    const Tensor kept = values.slice(0, n - rank, n).flip(0).clamp_min(0);
    // What rounding alone makes of planes that span less is no direction.
    const Tensor spans = kept > kLeastShare * kept.max();
    const Tensor components = torch::where(spans, kept.rsqrt(), torch::zeros_like(kept)).unsqueeze(1) * vectors.slice(1, n - rank, n).flip(1).t().matmul(centred);  // [rank, columns]
    if (from < to) {
      const Tensor step = (std::get<0>(components.abs().max(1)) / kLevels).clamp_min(1e-12);
      basis_.slice(0, 0, rank).slice(1, from, to).copy_((components / step.unsqueeze(1)).round());
      step_[p].slice(0, 0, rank).copy_(step);
    }
    deviation_[p].slice(0, 0, rank).copy_((kept / static_cast<double>(n)).sqrt());
    const Tensor shape = centred.index_select(1, (index.slice(0, from, to) - p * channels_ * rows_ * columns_ < half).nonzero().squeeze(1));
    const Tensor gram = shape.matmul(shape.t());
    fit_classes(p, centred.matmul(components.t()), gram.diag().unsqueeze(0) + gram.diag().unsqueeze(1) - 2 * gram, attributes);
  }
}

void MixturePrior::fit_classes(std::int64_t part, const Tensor& y, const Tensor& squared_distances, const PeopleAttributes* attributes) {
  const std::int64_t n = y.size(0), rank = y.size(1);
  Tensor distances = squared_distances;
  bool kinds_known = false;
  if (attributes != nullptr) {
    // Kinds lie farther apart than any two planes, and are the last to be joined.
    const Tensor kind = attributes->kinds.at(static_cast<std::size_t>(part));
    const Tensor apart = (kind.unsqueeze(0) != kind.unsqueeze(1)).logical_and(kind.unsqueeze(0) >= 0).logical_and(kind.unsqueeze(1) >= 0);
    kinds_known = apart.any().item<bool>();
    distances = distances + apart.to(torch::kFloat64) * (static_cast<double>(n) * squared_distances.max());
  }
  const std::vector<int> cluster = ward_clusters(distances, static_cast<int>(kClasses), kinds_known ? kLeastOfKind : kLeastMembers);
  for (int l = 0; l <= *std::max_element(cluster.begin(), cluster.end()); ++l) {
    std::vector<std::int64_t> members;
    for (std::size_t i = 0; i < cluster.size(); ++i)
      if (cluster[i] == l) members.push_back(static_cast<std::int64_t>(i));
    const auto count = static_cast<std::int64_t>(members.size());
    const Tensor own = y.index_select(0, torch::tensor(members)), centre = own.mean(0), around = own - centre;
    weight_[part][l] = static_cast<double>(count) / static_cast<double>(n);
    centre_[part][l].slice(0, 0, rank).copy_(centre);
    const auto [u, deviations, axes] = torch::linalg_svd(around / std::sqrt(static_cast<double>(count)), false);
    const std::int64_t kept = std::min({kAxes, count - 1, rank});
    axes_[part][l].slice(0, 0, kept).slice(1, 0, rank).copy_(axes.slice(0, 0, kept));
    spread_[part][l].slice(0, 0, kept).copy_(deviations.slice(0, 0, kept));
  }
  if (attributes_ != nullptr && attributes != nullptr)
    attributes_->fit_part(part, y, cluster, attributes->words.at(static_cast<std::size_t>(part)), attributes->values.at(static_cast<std::size_t>(part)));
}

Classes MixturePrior::given(const Condition& condition) const {
  LAV_CHECK(attributes_ != nullptr, "a prior that knows attributes");
  return attributes_->given(classes(), condition);
}

bool MixturePrior::fitted() const { return deviation_.max().item<float>() > 0; }

void MixturePrior::check(const std::string& what) const {
  const std::int64_t count = kParts * channels_ * rows_ * columns_;
  if (index_.min().item<std::int64_t>() < 0 || index_.max().item<std::int64_t>() >= count)
    throw Error(ErrorKind::kInput, fmt::format("{}: tensor 'prior.index': found {}..{}, expected 0..{}", what, index_.min().item<std::int64_t>(),
                                               index_.max().item<std::int64_t>(), count - 1));
  if ((index_.slice(0, 1) < index_.slice(0, 0, -1)).any().item<bool>())
    throw Error(ErrorKind::kInput, fmt::format("{}: tensor 'prior.index': the numbers do not ascend", what));
  if (owner_.max().item<std::int64_t>() >= kParts)
    throw Error(ErrorKind::kInput, fmt::format("{}: tensor 'prior.owner': found {}, expected 0..{}", what, owner_.max().item<std::int64_t>(), kParts - 1));
}

Tensor MixturePrior::frequency_deviation() const {
  const Tensor basis = this->basis().square();
  Tensor kept = torch::empty_like(mean_);
  const auto columns = columns_of_parts();
  for (std::size_t p = 0; p < kParts; ++p)
    kept.slice(0, columns[p], columns[p + 1]) = deviation_[static_cast<std::int64_t>(p)].square().matmul(basis.slice(1, columns[p], columns[p + 1]));
  const auto blocks = static_cast<double>(rows_ * columns_ / (kBlock * kBlock));
  return (by_frequency(rest_variance().index_copy(0, index_.to(torch::kInt64), kept)) / blocks).sqrt();
}

Tensor MixturePrior::mean() const { return planes_of_kept(mean_).unsqueeze(0); }

Tensor MixturePrior::at(const Tensor& y) const { return planes_of_kept(mean_ + of_basis(y.unsqueeze(0), prepared())[0]); }

Tensor MixturePrior::of_components(const Tensor& c) const {
  return planes_of_kept(of_basis((c * deviation_).unsqueeze(0), prepared())[0]);
}

Tensor MixturePrior::to_components(const Tensor& planes) const {
  const auto use = prepared();
  return to_basis(block_frequencies(planes.unsqueeze(0), use).index_select(1, use->block_index), use)[0] * deviation_;
}

Tensor MixturePrior::posterior(const Tensor& y, const Tensor& signal, const Tensor& noise, const Classes& classes) {
  const tensor::OneThread same_bits;
  const Tensor a = signal.reshape({-1, 1, 1, 1}), s = noise.reshape({-1, 1, 1, 1});
  const double drift = kDrift * kDrift;
  const Tensor off = a.square() * drift + s.square();                                       // variance of y across the axes, [B, 1, 1, 1]
  const Tensor own = classes.spread.square() + drift, along = a.square() * own + s.square();       // [B, P, L, R]
  const Tensor d = y.unsqueeze(2) - a * classes.centre;                                            // [B, P, L, K]
  const Tensor on_axes = classes.axes.matmul(d.unsqueeze(4)).squeeze(4);                           // [B, P, L, R]
  const Tensor distance = d.square().sum(3) / off.squeeze(3) + ((1 / along - 1 / off) * on_axes.square() + along.log() - off.log()).sum(3);
  const Tensor share = torch::softmax(classes.weight.log() - distance / 2, 2).unsqueeze(3);       // [B, P, L, 1]
  const Tensor gain = a * drift / off;
  const Tensor of_class = classes.centre + gain * d + ((a * own / along - gain) * on_axes).unsqueeze(3).matmul(classes.axes).squeeze(3);
  return (share * of_class).sum(2);
}

Tensor MixturePrior::estimate(const Tensor& x, const Tensor& t, const Classes* classes) const {
  const auto [signal, noise] = signal_and_noise(schedule_, t);
  const Tensor a = signal.unsqueeze(1), s = noise.unsqueeze(1);
  const auto gain = [&](const auto& variance) { return a * variance / (a * a * variance + s * s); };  // [B, ...]
  const Use use = prepared();
  const Tensor all = block_frequencies(x, use), seen = all.index_select(1, use->block_index) - a * mean_, drift = gain(kDrift * kDrift);
  const Tensor y = to_basis(seen, use);
  const Tensor kept = mean_ + drift * seen + of_basis(posterior(y, signal, noise, classes != nullptr ? *classes : this->classes()) - drift.unsqueeze(2) * y, use);
  return planes_of_blocks((gain(use->rest_variance) * all).index_copy(1, use->block_index, kept), use);
}

Tensor MixturePrior::velocity(const Tensor& x, const Tensor& estimate, const Tensor& t) const {
  const auto [a, s] = signal_and_noise(schedule_, t);
  return (a.reshape({-1, 1, 1, 1}) * x - estimate) / s.reshape({-1, 1, 1, 1});
}

Tensor MixturePrior::deviation(const Tensor& t) const {
  const tensor::OneThread same_bits;
  const auto [signal, noise] = signal_and_noise(schedule_, t);
  const Tensor a = signal.unsqueeze(1), s = noise.unsqueeze(1);
  const auto left = [&](const auto& variance) { return variance / (a * a * variance + s * s); };  // over s^2, [B, ...]
  const double drift = kDrift * kDrift;
  const Tensor on_axes = (left((spread_.square() + drift).flatten().unsqueeze(0)).reshape({-1, kParts, kClasses, kAxes}) - left(drift).reshape({-1, 1, 1, 1})).sum(3);
  const Tensor sum = (on_axes * weight_).sum(torch::IntArrayRef({1, 2})).unsqueeze(1) + static_cast<double>(index_.size(0)) * left(drift) + left(prepared()->rest_variance).sum(1, true);
  return (sum / static_cast<double>(channels_ * rows_ * columns_)).sqrt().reshape({-1, 1, 1, 1});
}

}  // namespace layeravatar::diffusion
