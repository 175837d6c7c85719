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

// The tensor `name` of the file, if it is there with the sizes of `like`.
const torch::Tensor& take(const NamedTensors& tensors, const std::string& name, const torch::Tensor& like,
                          const std::string& what) {
  const auto it = tensors.find(name);
  if (it == tensors.end()) throw Error(ErrorKind::kInput, fmt::format("{}: tensor '{}' is missing", what, name));
  if (it->second.sizes() != like.sizes())
    throw Error(ErrorKind::kInput, fmt::format("{}: tensor '{}': expected {}, found {}", what, name, sizes_text(like),
                                               sizes_text(it->second)));
  return it->second;
}

// Every tensor of the module is given with its shape, and no other.
void check_names(const torch::nn::Module& module, const NamedTensors& tensors, const std::string& what) {
  const NamedTensors own = named_tensors(module);
  for (const auto& [name, tensor] : tensors)
    if (!own.contains(name)) throw Error(ErrorKind::kInput, fmt::format("{}: unknown tensor '{}'", what, name));
  for (const auto& [name, tensor] : own) take(tensors, name, tensor, what);
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
  check_names(module, tensors, what);
  for (const auto& [name, tensor] : named_tensors(module)) tensor.copy_(tensors.at(name));
}

void share_named_tensors(torch::nn::Module& module, const NamedTensors& tensors, const std::string& what) {
  const torch::NoGradGuard no_grad;
  check_names(module, tensors, what);
  const auto share = [&](const std::string& name, torch::Tensor own) {
    const torch::Tensor& given = tensors.at(name);
    if (given.scalar_type() == own.scalar_type() && given.is_contiguous()) own.set_data(given);
    else own.copy_(given);
  };
  for (const auto& p : module.named_parameters()) share(p.key(), p.value());
  for (const auto& b : module.named_buffers()) share(b.key(), b.value());
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

void load_adam_state(torch::optim::Adam& adam, const torch::nn::Module& module, const NamedTensors& state,
                     const std::string& what) {
  std::map<std::string, std::unique_ptr<torch::optim::AdamParamState>> loaded;
  const torch::Tensor scalar = torch::zeros({});
  for (const auto& p : module.named_parameters()) {
    if (!state.contains(p.key() + ".step")) continue;
    const torch::Tensor like = p.value().detach();
    const auto moment = [&](const std::string& name) {
      return torch::zeros_like(like).copy_(take(state, p.key() + name, like, what));
    };
    auto own = std::make_unique<torch::optim::AdamParamState>();
    const double steps = take(state, p.key() + ".step", scalar, what).item<double>();
    if (!(steps >= 0 && steps <= 9e15))
      throw Error(ErrorKind::kInput, fmt::format("{}: tensor '{}.step': no count", what, p.key()));
    own->step(static_cast<std::int64_t>(steps));
    own->exp_avg(moment(".exp_avg"));
    own->exp_avg_sq(moment(".exp_avg_sq"));
    loaded[c10::guts::to_string(p.value().unsafeGetTensorImpl())] = std::move(own);
  }
  if (state.size() != 3 * loaded.size())
    throw Error(ErrorKind::kInput, what + ": optimiser state of parameters that the network lacks");
  adam.state().clear();
  for (auto& [key, own] : loaded) adam.state()[key] = std::move(own);
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
