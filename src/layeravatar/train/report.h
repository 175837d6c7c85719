// A page about a training run, from what lies in its folder. No LibTorch.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace layeravatar::train {

/// log.txt of a run.
struct RunLog {
  /// Values by name over iterations, "seconds" of one and those of its stages ("time/unet") among them; what a run did twice, having been killed, as it was
  /// the last time.
  std::map<std::string, std::map<std::int64_t, double>> curves;
  std::int64_t iteration = 0, iterations = 0;  // the last one logged, and the run's
  std::vector<std::string> events;             // other lines, checkpoints aside
};
RunLog parse_log(std::string_view text);

/// One HTML file without outside parts: loss curves, previews over time, time of each stage, settings, machine and data. Throws Error(kInput) when the folder
/// holds no run.
std::string html_report(const std::filesystem::path& run_folder);

struct RunStart {
  std::int64_t iteration = 0, seconds = 0;  // since 1970
  int threads = 0, processes = 1;
  std::string dataset, data_sha1;
  std::int64_t scenes = 0;
};
/// Adds a start, and on which machine it is, to run.json in the folder. Throws Error(kOutput).
void record_start(const std::filesystem::path& run_folder, const RunStart& start);

/// Of every file under a scene's folder by its path there and its size, and of the bytes of what is smaller than 64 KiB: parameters, cameras.
std::string data_hash(const std::vector<std::filesystem::path>& scenes);

}  // namespace layeravatar::train
