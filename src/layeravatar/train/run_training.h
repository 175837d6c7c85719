// A whole training run from files: what the command `train` does. Without LibTorch in the header.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace layeravatar::train {

struct TrainingFiles {
  std::string config_text;               // settings
  std::string config_name;               // their file, .json or .toml
  std::vector<std::string> settings;     // key=value, over those of the file
  std::filesystem::path body;            // the CC0 body, .npz; with templates an SMPL-X model
  std::filesystem::path templates;       // folder of the official template's arrays; empty: the CC0 body's own
  std::filesystem::path run;             // folder of checkpoints and logs
  std::filesystem::path pack;            // where the finished pack goes; empty: <run>/pack.safetensors
  std::filesystem::path init;            // pack whose networks a new run starts from; empty: none
  std::function<void(std::int64_t done, std::int64_t of)> progress;  // after each iteration
  bool resume = false;
  bool export_only = false;              // write the pack of the newest checkpoint and train nothing
};

/// Trains until the configured iteration or until `stop`, then writes the pack. Returns false when it was stopped.
bool run_training(const TrainingFiles& files, const std::function<void(const std::string&)>& say, const std::atomic<bool>* stop);

}  // namespace layeravatar::train
