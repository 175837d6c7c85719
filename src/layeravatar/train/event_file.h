// TensorBoard event files: scalars by tag and step.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace layeravatar::train {

/// CRC-32C (Castagnoli) as used by the record format, masked: ((crc >> 15) | (crc << 17)) + 0xa282ead8.
std::uint32_t masked_crc32c(std::string_view bytes);

/// Appends records to <folder>/events.out.tfevents.<start>.layeravatar; each call is flushed, so that a running
/// TensorBoard sees it and an interrupted run loses nothing. Throws Error(kOutput) when the file cannot be written.
class EventFile {
 public:
  EventFile(const std::filesystem::path& folder, std::int64_t start_seconds);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  void scalar(const std::string& tag, std::int64_t step, float value, double wall_seconds);

 private:
  void record(std::string_view event);
  std::filesystem::path path_;
  std::FILE* file_ = nullptr;
};

}  // namespace layeravatar::train
