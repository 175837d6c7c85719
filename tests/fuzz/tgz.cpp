// The bytes as an archive, and as the tar inside one with its headers' checksums put right, which the fuzzer would not guess.
#include "layeravatar/io/tar.h"

#include <zlib.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "target.h"

using namespace layeravatar;

namespace {

constexpr std::size_t kRecord = 512, kSum = 148, kSumSize = 8;

std::string with_checksums(std::string_view bytes) {
  std::string out(bytes);
  for (std::size_t pos = 0; pos + kRecord <= out.size(); pos += kRecord) {
    if (std::memcmp(out.data() + pos + 257, "ustar", 5) != 0) continue;
    unsigned sum = 0;
    for (std::size_t i = 0; i < kRecord; ++i)
      sum += i >= kSum && i < kSum + kSumSize ? unsigned{' '} : static_cast<std::uint8_t>(out[pos + i]);
    std::snprintf(out.data() + pos + kSum, kSumSize, "%06o", sum);
  }
  return out;
}

std::string gzipped(const std::string& bytes) {
  z_stream stream{};
  fuzz::require(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK, "deflate");
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  fuzz::require(deflate(&stream, Z_FINISH) == Z_STREAM_END, "deflate");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

void read(std::string_view bytes) {
  const io::TarLimits limits{100, 1 << 14, 1 << 15};
  std::uint64_t total = 0;
  fuzz::survives([&] {
    io::read_tgz(bytes, "f", [&](const std::string& path, std::string_view content) {
      fuzz::require(!path.empty() && path[0] != '/' && ("/" + path + "/").find("/../") == std::string::npos, "a path that leaves");
      total += content.size();
      fuzz::require(total <= limits.all_bytes, "more than the limits");
    }, limits);
  });
}

}  // namespace

LAV_FUZZ_TARGET(bytes) {
  read(bytes);
  read(gzipped(with_checksums(bytes)));
}
