// A file as memory that the system reads where it is touched.
#pragma once
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace layeravatar {

/// A file of any size without a copy of it: bytes come from the disk when they are first read, and writes to them stay in this
/// process. For files that are replaced, not rewritten, as AtomicFile does: one that becomes shorter meanwhile ends the process.
/// A pipe is read whole.
class MappedFile {
 public:
  /// Throws Error(kInput): "<path>: cannot open: <system text>".
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] std::string_view bytes() const { return data_ != nullptr ? std::string_view{static_cast<const char*>(data_), size_} : piped_; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
  std::string piped_;
};

/// Memory that the system may put on the disk of `folder`: in a file without a name, which is gone with it or with the process. Zero at first.
class ScratchMemory {
 public:
  /// Takes the disk's room at once. Throws Error(kOutput): "<folder>: cannot hold <bytes> bytes: <system text>".
  ScratchMemory(const std::filesystem::path& folder, std::size_t bytes);
  ~ScratchMemory();
  ScratchMemory(const ScratchMemory&) = delete;
  ScratchMemory& operator=(const ScratchMemory&) = delete;

  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  void* data_ = nullptr;
  std::size_t size_;
};

}  // namespace layeravatar
