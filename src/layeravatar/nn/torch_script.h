// TorchScript networks. They are programs: load only files that the user names for it.
#pragma once
#include <torch/script.h>

#include <filesystem>
#include <string>

namespace layeravatar::nn {

struct ScriptNetwork {
  torch::jit::Module module;  // in evaluation mode, on the device
  torch::Device device = torch::kCPU;
  std::string file, sha256;
};

/// Throws Error(kInput): "<file>: cannot open: ...", "<file>: not a TorchScript network: <why>".
ScriptNetwork load_script(const std::filesystem::path& file, torch::Device device);

/// Runs the network. Throws Error(kInput) "<file>: the network failed: <why>" and "<file>: expected one tensor,
/// found ...", Error(kDevice) when memory runs out.
torch::Tensor call_script(ScriptNetwork& network, std::vector<torch::IValue> arguments, const torch::jit::Kwargs& named = {});
/// The same without gradients.
torch::Tensor run_script(ScriptNetwork& network, std::vector<torch::IValue> arguments, const torch::jit::Kwargs& named = {});

}  // namespace layeravatar::nn
