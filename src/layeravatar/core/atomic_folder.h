// Folders that appear under their final name complete or not at all.
#pragma once
#include <atomic>
#include <filesystem>
#include <string>
#include <string_view>

namespace layeravatar {

/// Makes the folder and those above it. Throws Error(kOutput): "<folder>: cannot make the folder: <system text>".
void make_folder(const std::filesystem::path& folder);

/// An empty working folder beside `path`, on the same disk: `path` with `suffix`; what lay there is removed. `commit`
/// renames it to `path`, which must not exist or be empty. Without `commit` the destructor removes it.
/// Every failure throws Error(kOutput) naming the folder and the system's reason.
class AtomicFolder {
 public:
  explicit AtomicFolder(std::filesystem::path path, const std::string& suffix = ".partial");
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& temporary() const { return temporary_; }
  /// A whole file, by its path in the folder, whose own folder is there. It is flushed by `commit`, all at once, which is
  /// much faster than write_file for many files. Safe from several threads.
  void write(const std::filesystem::path& name, std::string_view content);
  void commit();
  /// The same over a folder that is there: the two change places in one step, then the old one is removed.
  void commit_over();

 private:
  void flush();
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  std::atomic<bool> unflushed_ = false;
};

}  // namespace layeravatar
