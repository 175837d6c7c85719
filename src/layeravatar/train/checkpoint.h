// Checkpoints of a run: <run>/checkpoints/iter_<n>/, whole or not there.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "layeravatar/io/safetensors.h"

namespace layeravatar::train {

/// By file name.
using CheckpointFiles = std::map<std::string, io::SafeTensors>;

struct Checkpoint {
  std::int64_t iteration = 0;
  std::filesystem::path folder;
  CheckpointFiles files;  // looking into the files
};

/// Writes a checkpoint and manifest.json, its files' sizes and CRC-32, flushed before they get their name; then removes all but the `kept` newest. `others` is
/// called when partial_checkpoint is there and returns when other processes have written to it. Throws Error(kOutput), the older ones as they were.
void write_checkpoint(const std::filesystem::path& run_folder, std::int64_t iteration, const CheckpointFiles& files, int kept,
                      const std::function<void()>& others = {});
/// The folder in which that checkpoint gathers.
std::filesystem::path partial_checkpoint(const std::filesystem::path& run_folder, std::int64_t iteration);

/// The newest checkpoint whose files are as its manifest says; empty when there is none. A damaged one that is newer is told of, and gets the name
/// iter_<n>.damaged: what follows takes its place. Throws Error(kInput) when all are damaged.
std::optional<Checkpoint> read_newest_checkpoint(const std::filesystem::path& run_folder, const std::function<void(const std::string&)>& say);

/// What a run left that ended while it wrote one. For who trains there alone.
void remove_partial_checkpoints(const std::filesystem::path& run_folder);

/// The newest by its name, not read; empty when there is none.
std::filesystem::path newest_checkpoint(const std::filesystem::path& run_folder);

}  // namespace layeravatar::train
