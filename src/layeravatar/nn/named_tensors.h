// A module's parameters and buffers by name: what checkpoints and packs hold.
#pragma once
#include <torch/types.h>

#include <map>
#include <string>

namespace torch::nn {
class Module;
}
namespace torch::optim {
class Adam;
}

namespace layeravatar::nn {

using NamedTensors = std::map<std::string, torch::Tensor>;

/// Parameters and buffers under their dotted names; they share memory with the module.
NamedTensors named_tensors(const torch::nn::Module& module);

/// Copies into the module, converting the element type. Every tensor of the module must be there with its shape, and
/// no other; otherwise nothing is changed. Throws Error(kInput): "<what>: tensor 'k' is missing", "... unknown tensor
/// 'k'", "... 'k': expected [..]".
void load_named_tensors(torch::nn::Module& module, const NamedTensors& tensors, const std::string& what);

/// The same without a copy: the module's tensors become those given, where the element type is the same.
void share_named_tensors(torch::nn::Module& module, const NamedTensors& tensors, const std::string& what);

/// Moments (shared with the optimiser) and step counts under "<parameter>.exp_avg", ".exp_avg_sq", ".step"; parameters
/// never stepped are left out.
NamedTensors adam_state(const torch::optim::Adam& adam, const torch::nn::Module& module);
/// The inverse; copies. Throws Error(kInput) for a parameter that the module lacks or a wrong shape, changing nothing.
void load_adam_state(torch::optim::Adam& adam, const torch::nn::Module& module, const NamedTensors& state,
                     const std::string& what);

/// Momentum of the average at iteration `it`: 0.5^(8 / min(4000, 0.05 * 8 (it + 1))) (spec/model.md section 9.4).
double ema_momentum(std::int64_t iteration);

/// average <- value + (average - value) * momentum for parameters; buffers are copied.
void update_ema(torch::nn::Module& average, const torch::nn::Module& value, double momentum);

}  // namespace layeravatar::nn
