#include "layeravatar/nn/named_tensors.h"

#include <fmt/format.h>
#include <torch/nn/module.h>
#include <torch/optim/adam.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/core/error.h"

namespace layeravatar::nn {
namespace {

std::string sizes_text(const torch::Tensor& t) {
  std::string out = "[";
  for (const std::int64_t s : t.sizes()) out += (out.size() > 1 ? ", " : "") + std::to_string(s);
  return out + "]";
}

void copy_checked(torch::Tensor to, const torch::Tensor& from, const std::string& what, const std::string& name) {
  if (to.sizes() != from.sizes())
    throw Error(ErrorKind::kInput, fmt::format("{}: tensor '{}': expected {}, found {}", what, name, sizes_text(to), sizes_text(from)));
  to.copy_(from);
}

}  // namespace

NamedTensors named_tensors(const torch::nn::Module& module) {
  NamedTensors out;
  for (const auto& p : module.named_parameters()) out[p.key()] = p.value().detach();
  for (const auto& b : module.named_buffers()) out[b.key()] = b.value().detach();
  return out;
}

void load_named_tensors(torch::nn::Module& module, const NamedTensors& tensors, const std::string& what) {
  const torch::NoGradGuard no_grad;
  const NamedTensors own = named_tensors(module);
  for (const auto& [name, tensor] : tensors)
    if (!own.contains(name)) throw Error(ErrorKind::kInput, fmt::format("{}: unknown tensor '{}'", what, name));
  for (const auto& [name, tensor] : own) {
    const auto it = tensors.find(name);
    if (it == tensors.end()) throw Error(ErrorKind::kInput, fmt::format("{}: tensor '{}' is missing", what, name));
    copy_checked(tensor, it->second, what, name);
  }
}

NamedTensors adam_state(const torch::optim::Adam& adam, const torch::nn::Module& module) {
  NamedTensors out;
  const auto& states = adam.state();
  for (const auto& p : module.named_parameters()) {
    const auto it = states.find(c10::guts::to_string(p.value().unsafeGetTensorImpl()));
    if (it == states.end()) continue;
    const auto& state = static_cast<const torch::optim::AdamParamState&>(*it->second);
    out[p.key() + ".exp_avg"] = state.exp_avg();
    out[p.key() + ".exp_avg_sq"] = state.exp_avg_sq();
    out[p.key() + ".step"] = torch::full({}, static_cast<double>(state.step()), torch::kFloat32);
  }
  return out;
}

void load_adam_state(torch::optim::Adam& adam, const torch::nn::Module& module, const NamedTensors& state, const std::string& what) {
  auto& states = adam.state();
  states.clear();
  const auto parameters = module.named_parameters();
  std::size_t used = 0;
  for (const auto& p : parameters) {
    const auto find = [&](const std::string& part) {
      const auto it = state.find(p.key() + part);
      if (it == state.end()) throw Error(ErrorKind::kInput, fmt::format("{}: tensor '{}{}' is missing", what, p.key(), part));
      ++used;
      return it->second;
    };
    if (!state.contains(p.key() + ".step")) continue;
    auto own = std::make_unique<torch::optim::AdamParamState>();
    own->step(static_cast<std::int64_t>(find(".step").item<float>()));
    own->exp_avg(torch::zeros_like(p.value().detach()));
    own->exp_avg_sq(torch::zeros_like(p.value().detach()));
    copy_checked(own->exp_avg(), find(".exp_avg"), what, p.key() + ".exp_avg");
    copy_checked(own->exp_avg_sq(), find(".exp_avg_sq"), what, p.key() + ".exp_avg_sq");
    states[c10::guts::to_string(p.value().unsafeGetTensorImpl())] = std::move(own);
  }
  if (used != state.size()) throw Error(ErrorKind::kInput, what + ": optimiser state of parameters that the network lacks");
}

double ema_momentum(std::int64_t iteration) {
  const double images = 8.0 * static_cast<double>(iteration + 1);
  return std::pow(0.5, 8.0 / std::min(4000.0, 0.05 * images));
}

void update_ema(torch::nn::Module& average, const torch::nn::Module& value, double momentum) {
  const torch::NoGradGuard no_grad;
  const auto from = value.named_parameters();
  for (auto& p : average.named_parameters()) p.value().lerp_(from[p.key()], 1.0 - momentum);
  const auto buffers = value.named_buffers();
  for (auto& b : average.named_buffers()) b.value().copy_(buffers[b.key()]);
}

}  // namespace layeravatar::nn
