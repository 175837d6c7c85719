// Gzipped tar archives, as npm delivers packages.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace layeravatar::io {

struct TarLimits {
  std::uint64_t files = 20000;
  std::uint64_t file_bytes = std::uint64_t{512} << 20;
  std::uint64_t all_bytes = std::uint64_t{2} << 30;
};

/// Unpacks a .tgz piece by piece and hands each regular file to `file`, its path relative and free of "..", "." and
/// empty parts. Folders are passed over. ustar and pax long names are understood.
/// Throws Error(kInput) "<source>: ...": not gzip, corrupt or truncated, a wrong header checksum, a path that leaves
/// the folder, a link or device, more than the limits.
void read_tgz(std::string_view bytes, const std::string& source,
              const std::function<void(const std::string& path, std::string_view content)>& file,
              TarLimits limits = {});

}  // namespace layeravatar::io
