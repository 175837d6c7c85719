// Zip archives, as far as .npz and .pth files need them: stored and deflated members, zip64.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "layeravatar/core/atomic_file.h"

namespace layeravatar::io {

/// Reads the directory at construction and members on demand. Every size is checked against the file (and a deflated
/// member against deflate's largest ratio) before memory is taken for it.
/// Throws Error(kInput): "<file>: not a zip archive", "<file>: member 'k' is corrupt", ...
class ZipReader {
 public:
  explicit ZipReader(const std::filesystem::path& path);
  /// An archive in memory; `file` names it in messages.
  ZipReader(std::string bytes, std::string file);

  [[nodiscard]] const std::string& file() const { return file_; }
  /// In the order of the archive.
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  [[nodiscard]] bool contains(const std::string& name) const { return members_.contains(name); }
  /// Bytes of the unpacked content, as the directory has it; 0 when there is no such member.
  [[nodiscard]] std::uint64_t size(const std::string& name) const;
  [[nodiscard]] bool is_packed(const std::string& name) const;
  /// The unpacked content, its CRC checked. "<file>: member 'k' is missing" when there is none.
  [[nodiscard]] std::string read(const std::string& name) const;
  /// The same without a copy where the member is stored unpacked; otherwise the bytes lie in `unpacked`. Lives as long as
  /// the reader and `unpacked` do.
  [[nodiscard]] std::string_view view(const std::string& name, std::string& unpacked) const;

 private:
  struct Member {
    std::uint64_t offset = 0;  // of the local header
    std::uint64_t packed = 0;
    std::uint64_t size = 0;
    std::uint32_t crc = 0;
    std::uint16_t method = 0;
    std::uint16_t flags = 0;
  };
  void parse_directory(std::uint64_t begin, std::uint64_t end, std::uint64_t count);

  std::string file_;
  std::string bytes_;
  std::vector<std::string> names_;
  std::map<std::string, Member> members_;
};

struct ZipOptions {
  int level = 6;                            // of deflate, 0..9; 0 stores
  std::uint64_t zip64_from = 0xFFFFFFFFU;  // sizes and offsets from here on use zip64 fields; lower it only in tests
};

/// Writes an archive whose bytes depend on names, contents and options only. The file appears at `commit`.
class ZipWriter {
 public:
  explicit ZipWriter(const std::filesystem::path& path, ZipOptions options = {});
  void add(const std::string& name, std::string_view content);
  void commit();

 private:
  AtomicFile out_;
  ZipOptions options_;
  std::uint64_t offset_ = 0;
  std::uint64_t count_ = 0;
  std::string directory_;
};

}  // namespace layeravatar::io
