// Outputs appear under their final name complete or not at all.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace layeravatar {

/// Writes to a temporary name beside `path`; `commit` flushes file and folder and renames. Without `commit` (an
/// exception, a full disk) the destructor removes the temporary file and an existing `path` stays whole.
/// Every failure throws Error(kOutput) naming the file and the system's reason.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void commit();
  [[nodiscard]] const std::filesystem::path& temporary() const { return temporary_; }

 private:
  [[noreturn]] void fail(const char* action);
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

/// After a rename to `path`, makes it last. Best effort: some file systems refuse to flush a folder, and the rename is done.
void flush_folder_of(const std::filesystem::path& path);

/// The whole file in memory. Throws Error(kInput): "<path>: cannot open: <system text>".
std::string read_file(const std::filesystem::path& path);

/// Writes the whole file atomically.
void write_file(const std::filesystem::path& path, std::string_view content);

}  // namespace layeravatar
