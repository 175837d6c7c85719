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

CodeCache::CodeCache(std::vector<std::string> scene_names, std::vector<std::int64_t> code_shape, std::uint64_t seed)
    : names_(std::move(scene_names)), shape_(std::move(code_shape)) {
  for (std::size_t i = 0; i < names_.size(); ++i) {
    auto generator = at::detail::createCPUGenerator(seed * 1000003 + i);
    const torch::Tensor code = torch::empty(shape_, torch::kFloat32).uniform_(-1e-4, 1e-4, generator);
    entries_.push_back({code.to(torch::kFloat16), torch::zeros(shape_, torch::kBFloat16),
                        torch::zeros(shape_, torch::kBFloat16), 0});
  }
}

CodeState CodeCache::load(std::int64_t scene) const {
  const Entry& e = entries_.at(static_cast<std::size_t>(scene));
  return {e.code.to(torch::kFloat32), e.exp_avg.to(torch::kFloat32), e.exp_avg_sq.to(torch::kFloat32), e.step};
}

void CodeCache::store(std::int64_t scene, const CodeState& state) {
  entries_.at(static_cast<std::size_t>(scene)) = {state.code.detach().clamp(-65504, 65504).to(torch::kFloat16),
                                                  state.exp_avg.to(torch::kBFloat16),
                                                  state.exp_avg_sq.to(torch::kBFloat16), state.step};
}

torch::Tensor CodeCache::code(std::int64_t scene) const {
  return entries_.at(static_cast<std::size_t>(scene)).code.to(torch::kFloat32);
}

io::ArrayMap CodeCache::to_arrays() const {
  io::ArrayMap out;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    out[names_[i] + ".code"] = tensor::to_array(entries_[i].code);
    out[names_[i] + ".exp_avg"] = tensor::to_array(entries_[i].exp_avg);
    out[names_[i] + ".exp_avg_sq"] = tensor::to_array(entries_[i].exp_avg_sq);
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
    entries_[i] = {tensor::to_tensor(get("code", shape_)).to(torch::kFloat16),
                   tensor::to_tensor(get("exp_avg", shape_)).to(torch::kBFloat16),
                   tensor::to_tensor(get("exp_avg_sq", shape_)).to(torch::kBFloat16),
                   io::to_floats(get("step", {}))[0]};
  }
}

}  // namespace layeravatar::train
