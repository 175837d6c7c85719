// The program as a library that its launcher loads, and where both look for the shipped pack. No LibTorch.
#pragma once
#include <filesystem>
#include <memory>

#include "layeravatar/produce/opening.h"

namespace layeravatar::app {

inline constexpr const char* kShippedModel = "models/default.safetensors";

/// In the working folder or beside the program's source; empty where there is none.
inline std::filesystem::path shipped_model() {
  const std::filesystem::path tried[] = {kShippedModel, std::filesystem::path(LAV_SOURCE_DIR) / kShippedModel};
  for (const auto& path : tried)
    if (std::filesystem::exists(path)) return path;
  return {};
}

}  // namespace layeravatar::app

/// The whole program but for the process: runs the command line and returns the exit code, or ends the process with it. `begun` points to null where the
/// launcher has begun nothing.
extern "C" __attribute__((visibility("default"))) int layeravatar_program(int argc, char** argv, const std::shared_ptr<layeravatar::produce::Opening>* begun);
