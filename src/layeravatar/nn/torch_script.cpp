#include "layeravatar/nn/torch_script.h"

#include <fmt/format.h>

#include <sstream>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/sha1.h"

namespace layeravatar::nn {
namespace {

// LibTorch's messages carry a back trace; of TorchScript's own, the last line says why.
std::string reason(const std::string& what) {
  const std::string own = what.substr(0, what.find("\nException raised from"));
  const auto end = own.find_last_not_of(" \n");
  if (end == std::string::npos) return "no reason given";
  const auto start = own.rfind('\n', end);
  return own.substr(start == std::string::npos ? 0 : start + 1, end - (start == std::string::npos ? 0 : start + 1) + 1);
}

}  // namespace

ScriptNetwork load_script(const std::filesystem::path& file, torch::Device device) {
  const std::string bytes = read_file(file);
  ScriptNetwork out;
  out.device = device;
  out.file = file.string();
  out.sha256 = io::sha256_hex(bytes);
  try {
    std::istringstream stream(bytes);
    out.module = torch::jit::load(stream, device);
  } catch (const c10::Error& e) {
    throw Error(ErrorKind::kInput, fmt::format("{}: not a TorchScript network: {}", out.file, reason(e.what_without_backtrace())));
  }
  out.module.eval();
  return out;
}

torch::Tensor run_script(ScriptNetwork& network, std::vector<torch::IValue> arguments, const torch::jit::Kwargs& named) {
  const torch::InferenceMode guard;
  return call_script(network, std::move(arguments), named);
}

torch::Tensor call_script(ScriptNetwork& network, std::vector<torch::IValue> arguments, const torch::jit::Kwargs& named) {
  torch::IValue out;
  try {
    out = network.module.get_method("forward")(std::move(arguments), named);
  } catch (const c10::OutOfMemoryError&) {
    throw Error(ErrorKind::kDevice, network.file + ": out of memory; give a smaller --batch");
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(ErrorKind::kInput, fmt::format("{}: the network failed: {}", network.file, reason(e.what())));
  }
  if (!out.isTensor()) throw Error(ErrorKind::kInput, fmt::format("{}: expected one tensor, found {}", network.file, out.tagKind()));
  return out.toTensor();
}

}  // namespace layeravatar::nn
