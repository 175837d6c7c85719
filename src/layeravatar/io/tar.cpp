#include "layeravatar/io/tar.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <vector>

#include "layeravatar/core/error.h"

namespace layeravatar::io {
namespace {

constexpr std::size_t kRecord = 512;
constexpr std::uint64_t kMaxPaxBytes = 1 << 16;
constexpr std::uint64_t kGrowth = std::uint64_t{1} << 24;  // memory is taken as content arrives, not as a header claims

class Inflater {
 public:
  Inflater(std::string_view bytes, const std::string& source) : source_(source) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    rest_ = bytes.size();
    LAV_CHECK(inflateInit2(&stream_, 15 + 16) == Z_OK, "zlib starts");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Fills `out` as far as the archive goes; returns the bytes written.
  std::size_t read(char* out, std::size_t size) {
    std::size_t done = 0;
    while (done < size && !ended_) {
      if (stream_.avail_in == 0 && rest_ > 0) {
        stream_.avail_in = static_cast<uInt>(std::min<std::size_t>(rest_, 1U << 30));
        rest_ -= stream_.avail_in;
      }
      const auto room = static_cast<uInt>(std::min<std::size_t>(size - done, 1U << 30));
      stream_.next_out = reinterpret_cast<Bytef*>(out + done);
      stream_.avail_out = room;
      const int code = inflate(&stream_, Z_NO_FLUSH);
      done += room - stream_.avail_out;
      if (code == Z_STREAM_END)
        ended_ = true;
      else if (code == Z_BUF_ERROR || (code == Z_OK && stream_.avail_in == 0 && rest_ == 0 && stream_.avail_out > 0))
        throw Error(ErrorKind::kInput, source_ + ": truncated gzip data");
      else if (code != Z_OK)
        throw Error(ErrorKind::kInput, source_ + ": not gzip data, or corrupt");
    }
    return done;
  }

 private:
  const std::string& source_;
  z_stream stream_{};
  std::size_t rest_ = 0;
  bool ended_ = false;
};

class TarReader {
 public:
  TarReader(std::string_view bytes, const std::string& source, TarLimits limits)
      : source_(source), limits_(limits), inflater_(bytes, source) {}

  void run(const std::function<void(const std::string&, std::string_view)>& file) {
    std::string long_name;
    for (std::array<char, kRecord> header{}; next_header(header);) {
      const std::uint64_t size = octal(header.data() + 124, 12);
      const char type = header[156];
      std::string path = long_name.empty() ? header_path(header) : long_name;
      if (type == 'x' || type == 'g') {
        if (size > kMaxPaxBytes) reject("an extended header of " + std::to_string(size) + " bytes");
        const std::string name = pax_path(content(size));
        if (type == 'x') long_name = name;
        continue;
      }
      long_name.clear();
      if (type == '5') {
        (void)content(size);
        continue;
      }
      if (type != '0' && type != '\0') reject(fmt::format("'{}' is a link or device; only files are unpacked", path));
      check_path(path);
      if (++files_ > limits_.files) reject(fmt::format("more than {} files", limits_.files));
      file(path, content(size));
    }
  }

 private:
  [[noreturn]] void reject(const std::string& what) const { throw Error(ErrorKind::kInput, source_ + ": " + what); }

  static std::string text(const char* field, std::size_t size) {
    return {field, static_cast<std::size_t>(std::find(field, field + size, '\0') - field)};
  }

  std::uint64_t octal(const char* field, std::size_t size) const {
    std::uint64_t value = 0;
    bool digits = false;
    for (std::size_t i = 0; i < size; ++i) {
      const char c = field[i];
      if (c == ' ' && !digits) continue;
      if (c == '\0' || c == ' ') break;
      if (c < '0' || c > '7') reject("bad number in a tar header");
      digits = true;
      value = 8 * value + static_cast<std::uint64_t>(c - '0');  // 12 digits: 36 bits
    }
    return value;
  }

  // False at the end mark (a record of zeros).
  bool next_header(std::array<char, kRecord>& header) {
    if (inflater_.read(header.data(), kRecord) != kRecord) reject("truncated; the end mark is missing");
    if (std::all_of(header.begin(), header.end(), [](char c) { return c == '\0'; })) return false;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kRecord; ++i)
      sum += i >= 148 && i < 156 ? std::uint64_t{' '} : static_cast<std::uint8_t>(header[i]);
    if (sum != octal(header.data() + 148, 8)) reject("a tar header has a wrong checksum");
    return true;
  }

  static std::string header_path(const std::array<char, kRecord>& header) {
    const bool ustar = text(header.data() + 257, 5) == "ustar";
    const std::string prefix = ustar ? text(header.data() + 345, 155) : "";
    const std::string name = text(header.data(), 100);
    return prefix.empty() ? name : prefix + "/" + name;
  }

  // The value of "path" among pax records "<length> <key>=<value>\n".
  std::string pax_path(const std::string& records) const {
    std::string path;
    for (std::size_t pos = 0; pos < records.size();) {
      std::size_t length = 0, at = pos;
      for (; at < records.size() && records[at] >= '0' && records[at] <= '9' && at < pos + 6; ++at)
        length = 10 * length + static_cast<std::size_t>(records[at] - '0');
      if (at == pos || at >= records.size() || records[at] != ' ' || length <= at - pos + 1 ||
          length > records.size() - pos || records[pos + length - 1] != '\n')
        reject("bad extended header");
      const std::string record = records.substr(at + 1, length - (at + 1 - pos) - 1);
      if (record.starts_with("path=")) path = record.substr(5);
      pos += length;
    }
    return path;
  }

  void check_path(const std::string& path) const {
    bool good = !path.empty() && path.find('\\') == std::string::npos && path.find('\0') == std::string::npos;
    for (std::size_t begin = 0; good && begin <= path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      const std::string part = path.substr(begin, end - begin);
      good = !part.empty() && part != "." && part != "..";
      begin = end + 1;
    }
    if (!good) reject(fmt::format("unsafe path '{}'", path));
  }

  std::string content(std::uint64_t size) {
    if (size > limits_.file_bytes || size > limits_.all_bytes - total_)
      reject(fmt::format("a file of {} bytes exceeds the limits", size));
    total_ += size;
    std::string out;
    while (out.size() < size) {
      const std::size_t before = out.size();
      out.resize(static_cast<std::size_t>(std::min<std::uint64_t>(size, before + kGrowth)));
      if (inflater_.read(out.data() + before, out.size() - before) != out.size() - before)
        reject(fmt::format("truncated; expected {} bytes of a file", size));
    }
    std::array<char, kRecord> padding{};
    const std::size_t pad = (kRecord - out.size() % kRecord) % kRecord;
    if (inflater_.read(padding.data(), pad) != pad) reject("truncated; a file's padding is missing");
    return out;
  }

  const std::string& source_;
  TarLimits limits_;
  Inflater inflater_;
  std::uint64_t files_ = 0, total_ = 0;
};

}  // namespace

void read_tgz(std::string_view bytes, const std::string& source,
              const std::function<void(const std::string& path, std::string_view content)>& file, TarLimits limits) {
  TarReader(bytes, source, limits).run(file);
}

}  // namespace layeravatar::io
