#include "layeravatar/train/code_cache.h"

#include <torch/torch.h>

#include <cmath>

#include "layeravatar/tensor/convert.h"

namespace layeravatar::train {

void adam_step(CodeState& state, const torch::Tensor& gradient, double learning_rate) {
  const torch::NoGradGuard no_grad;
  constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEps = 1e-8;
  state.step += 1;
  state.exp_avg.mul_(kBeta1).add_(gradient, 1 - kBeta1);
  state.exp_avg_sq.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
  const double correction1 = 1 - std::pow(kBeta1, state.step), correction2 = 1 - std::pow(kBeta2, state.step);
  const torch::Tensor denominator = (state.exp_avg_sq.sqrt() / std::sqrt(correction2)).add_(kEps);
  state.code.addcdiv_(state.exp_avg, denominator, -learning_rate / correction1);
}

CodeCache::CodeCache(std::vector<std::string> scene_names, std::vector<std::int64_t> code_shape, std::uint64_t seed, const std::filesystem::path& scratch,
                     std::int64_t first)
    : names_(std::move(scene_names)), shape_(std::move(code_shape)) {
  const std::int64_t one = bytes(1, shape_);
  if (!scratch.empty()) scratch_ = std::make_shared<ScratchMemory>(scratch, static_cast<std::size_t>(one) * names_.size());
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const auto make = [&](std::int64_t part, torch::ScalarType type) {
      if (!scratch_) return torch::zeros(shape_, type);
      std::byte* const at = scratch_->data() + static_cast<std::int64_t>(i) * one + part * one / 3;
      return torch::from_blob(at, shape_, [keep = scratch_](void*) mutable { keep.reset(); }, torch::TensorOptions().dtype(type));
    };
    entries_.push_back({make(0, torch::kFloat16), make(1, torch::kBFloat16), make(2, torch::kBFloat16), 0});
    auto generator = at::detail::createCPUGenerator(seed * 1000003 + static_cast<std::uint64_t>(first) + i);
    entries_.back().code.copy_(torch::empty(shape_, torch::kFloat32).uniform_(-1e-4, 1e-4, generator));
  }
}

std::int64_t CodeCache::bytes(std::int64_t scenes, const std::vector<std::int64_t>& code_shape) {
  std::int64_t out = 3 * 2 * scenes;
  for (const std::int64_t size : code_shape) out *= size;
  return out;
}

CodeState CodeCache::load(std::int64_t scene) const {
  const Entry& e = entries_.at(static_cast<std::size_t>(scene));
  return {e.code.to(torch::kFloat32), e.exp_avg.to(torch::kFloat32), e.exp_avg_sq.to(torch::kFloat32), e.step};
}

void CodeCache::store(std::int64_t scene, const CodeState& state) {
  const torch::NoGradGuard no_grad;
  Entry& e = entries_.at(static_cast<std::size_t>(scene));
  e.code.copy_(state.code.clamp(-65504, 65504));
  e.exp_avg.copy_(state.exp_avg);
  e.exp_avg_sq.copy_(state.exp_avg_sq);
  e.step = state.step;
}

torch::Tensor CodeCache::code(std::int64_t scene) const {
  return entries_.at(static_cast<std::size_t>(scene)).code.to(torch::kFloat32);
}

io::ArrayMap CodeCache::to_arrays() const {
  io::ArrayMap out;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    out[names_[i] + ".code"] = tensor::share_array(entries_[i].code);
    out[names_[i] + ".exp_avg"] = tensor::share_array(entries_[i].exp_avg);
    out[names_[i] + ".exp_avg_sq"] = tensor::share_array(entries_[i].exp_avg_sq);
    const float step[1] = {entries_[i].step};
    out[names_[i] + ".step"] = io::make_array<float>({}, step);
  }
  return out;
}

void CodeCache::from_arrays(const io::ArrayMap& arrays, const std::string& file) {
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const auto get = [&](const std::string& part, const std::vector<std::int64_t>& shape) -> const io::Array& {
      const auto it = arrays.find(names_[i] + "." + part);
      if (it == arrays.end())
        throw Error(ErrorKind::kInput, file + ": " + part + " of scene '" + names_[i] + "' is missing");
      io::expect_shape(it->second, shape, file + ": " + part + " of scene '" + names_[i] + "'");
      return it->second;
    };
    entries_[i].code.copy_(tensor::share_tensor(get("code", shape_)));
    entries_[i].exp_avg.copy_(tensor::share_tensor(get("exp_avg", shape_)));
    entries_[i].exp_avg_sq.copy_(tensor::share_tensor(get("exp_avg_sq", shape_)));
    entries_[i].step = io::to_floats(get("step", {}))[0];
  }
}

}  // namespace layeravatar::train
