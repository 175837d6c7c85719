#include "layeravatar/io/zip.h"

#include <zlib.h>

#include <algorithm>
#include <utility>

#include "layeravatar/core/error.h"
#include "layeravatar/io/bytes.h"

namespace layeravatar::io {
namespace {
constexpr std::uint32_t kLocal = 0x04034b50;
constexpr std::uint32_t kCentral = 0x02014b50;
constexpr std::uint32_t kEnd = 0x06054b50;
constexpr std::uint32_t kEnd64 = 0x06064b50;
constexpr std::uint32_t kLocator64 = 0x07064b50;
constexpr std::uint64_t kLocalSize = 30;
constexpr std::uint64_t kCentralSize = 46;
constexpr std::uint64_t kEndSize = 22;
constexpr std::uint64_t kEnd64Size = 56;
constexpr std::uint64_t kLocatorSize = 20;
constexpr std::uint64_t kMaxComment = 0xFFFF;
constexpr std::uint64_t kMaxRatio = 1032;  // deflate cannot expand further
constexpr std::uint64_t kChunk = 1U << 30U;  // zlib counts in 32 bits
constexpr std::uint16_t kZip64Field = 1;
constexpr std::uint16_t kDosDate = 0x21;  // 1980-01-01: archives do not depend on the clock

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file + ": " + what);
}

std::uint32_t crc_of(std::string_view bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

// True when `packed` is one deflate stream of exactly out.size() bytes.
bool inflate_all(std::string_view packed, std::string& out) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
  std::uint64_t in = 0;
  std::uint64_t made = 0;
  char spare = 0;  // zlib wants room to see the end of a stream that fills `out`
  int status = Z_OK;
  while (status == Z_OK) {
    const std::uint64_t give = std::min<std::uint64_t>(kChunk, packed.size() - in);
    const std::uint64_t room = std::min<std::uint64_t>(kChunk, out.size() - made);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + in));
    stream.avail_in = static_cast<uInt>(give);
    stream.next_out = reinterpret_cast<Bytef*>(room > 0 ? out.data() + made : &spare);
    stream.avail_out = room > 0 ? static_cast<uInt>(room) : 1;
    const uInt offered = stream.avail_out;
    status = inflate(&stream, Z_NO_FLUSH);
    in += give - stream.avail_in;
    const std::uint64_t got = offered - stream.avail_out;
    if (room == 0 && got > 0) status = Z_DATA_ERROR;  // longer than announced
    made += got;
  }
  inflateEnd(&stream);
  return status == Z_STREAM_END && made == out.size();
}

std::string deflate_all(std::string_view content, int level) {
  z_stream stream{};
  LAV_CHECK(deflateInit2(&stream, level, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK, "deflate");
  std::string out;
  std::string block(1U << 18U, '\0');
  std::uint64_t in = 0;
  int status = Z_OK;
  while (status == Z_OK || status == Z_BUF_ERROR) {
    const std::uint64_t give = std::min<std::uint64_t>(kChunk, content.size() - in);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data() + in));
    stream.avail_in = static_cast<uInt>(give);
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = static_cast<uInt>(block.size());
    status = deflate(&stream, in + give == content.size() ? Z_FINISH : Z_NO_FLUSH);
    in += give - stream.avail_in;
    out.append(block.data(), block.size() - stream.avail_out);
  }
  deflateEnd(&stream);
  LAV_CHECK(status == Z_STREAM_END, "deflate");
  return out;
}

std::uint32_t low(std::uint64_t value, bool zip64) { return zip64 ? 0xFFFFFFFFU : static_cast<std::uint32_t>(value); }
}  // namespace

ZipReader::ZipReader(const std::filesystem::path& path) : ZipReader(read_file(path), path.string()) {}

ZipReader::ZipReader(std::string bytes, std::string file) : file_(std::move(file)), bytes_(std::move(bytes)) {
  const std::uint64_t size = bytes_.size();
  if (size < kEndSize) fail(file_, "not a zip archive");
  // The end record stands last, before a comment of at most 65535 bytes.
  const std::uint64_t last = size - kEndSize;
  const std::uint64_t first = last > kMaxComment ? last - kMaxComment : 0;
  std::uint64_t end = last + 1;
  for (std::uint64_t pos = last + 1; pos-- > first;) {
    if (load<std::uint32_t>(bytes_, pos) != kEnd) continue;
    if (pos + kEndSize + load<std::uint16_t>(bytes_, pos + 20) != size) continue;
    end = pos;
    break;
  }
  if (end > last) fail(file_, "not a zip archive");
  std::uint64_t count = load<std::uint16_t>(bytes_, end + 10);
  std::uint64_t length = load<std::uint32_t>(bytes_, end + 12);
  std::uint64_t begin = load<std::uint32_t>(bytes_, end + 16);
  std::uint64_t limit = end;
  if (end >= kLocatorSize && load<std::uint32_t>(bytes_, end - kLocatorSize) == kLocator64) {
    const auto pos = load<std::uint64_t>(bytes_, end - kLocatorSize + 8);
    if (end - kLocatorSize < kEnd64Size || pos > end - kLocatorSize - kEnd64Size ||
        load<std::uint32_t>(bytes_, pos) != kEnd64) {
      fail(file_, "not a zip archive: bad zip64 end record");
    }
    count = load<std::uint64_t>(bytes_, pos + 32);
    length = load<std::uint64_t>(bytes_, pos + 40);
    begin = load<std::uint64_t>(bytes_, pos + 48);
    limit = pos;
  }
  if (begin > limit || length > limit - begin || count > length / kCentralSize) {
    fail(file_, "not a zip archive: the directory lies outside the file");
  }
  parse_directory(begin, begin + length, count);
}

void ZipReader::parse_directory(std::uint64_t begin, std::uint64_t end, std::uint64_t count) {
  std::uint64_t total = 0;
  std::uint64_t pos = begin;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (end - pos < kCentralSize || load<std::uint32_t>(bytes_, pos) != kCentral) {
      fail(file_, "not a zip archive: bad directory entry " + std::to_string(i));
    }
    Member m;
    m.flags = load<std::uint16_t>(bytes_, pos + 8);
    m.method = load<std::uint16_t>(bytes_, pos + 10);
    m.crc = load<std::uint32_t>(bytes_, pos + 16);
    m.packed = load<std::uint32_t>(bytes_, pos + 20);
    m.size = load<std::uint32_t>(bytes_, pos + 24);
    const std::uint64_t name_size = load<std::uint16_t>(bytes_, pos + 28);
    const std::uint64_t extra_size = load<std::uint16_t>(bytes_, pos + 30);
    const std::uint64_t comment_size = load<std::uint16_t>(bytes_, pos + 32);
    m.offset = load<std::uint32_t>(bytes_, pos + 42);
    pos += kCentralSize;
    if (end - pos < name_size + extra_size + comment_size) {
      fail(file_, "not a zip archive: bad directory entry " + std::to_string(i));
    }
    const std::string name = bytes_.substr(pos, name_size);
    const std::string_view extra = std::string_view(bytes_).substr(pos + name_size, extra_size);
    pos += name_size + extra_size + comment_size;
    for (std::uint64_t at = 0; at + 4 <= extra.size();) {
      const std::uint64_t field_size = load<std::uint16_t>(extra, at + 2);
      const bool zip64 = load<std::uint16_t>(extra, at) == kZip64Field;
      at += 4;
      const std::uint64_t field_end = std::min<std::uint64_t>(extra.size(), at + field_size);
      std::uint64_t next = at;
      for (std::uint64_t* value : {&m.size, &m.packed, &m.offset}) {
        if (!zip64 || *value != 0xFFFFFFFFU) continue;
        if (field_end - next < 8) fail(file_, "member '" + name + "' is corrupt");
        *value = load<std::uint64_t>(extra, next);
        next += 8;
      }
      at += field_size;
    }
    // Members may not share bytes, so all of them together fit into the file.
    if (m.packed > bytes_.size() || (total += m.packed) > bytes_.size() || m.offset > bytes_.size()) {
      fail(file_, "member '" + name + "' is corrupt");
    }
    if (!members_.emplace(name, m).second) fail(file_, "member '" + name + "' is given twice");
    names_.push_back(name);
  }
}

std::uint64_t ZipReader::size(const std::string& name) const {
  const auto found = members_.find(name);
  return found == members_.end() ? 0 : found->second.size;
}

bool ZipReader::is_packed(const std::string& name) const {
  const auto found = members_.find(name);
  return found != members_.end() && found->second.method != 0;
}

std::string ZipReader::read(const std::string& name) const {
  std::string unpacked;
  const std::string_view content = view(name, unpacked);
  return content.data() == unpacked.data() ? std::move(unpacked) : std::string(content);
}

std::string_view ZipReader::view(const std::string& name, std::string& unpacked) const {
  const auto found = members_.find(name);
  if (found == members_.end()) fail(file_, "member '" + name + "' is missing");
  const Member& m = found->second;
  const std::string label = "member '" + name + "'";
  if ((m.flags & 1U) != 0) fail(file_, label + " is encrypted");
  if (m.method != 0 && m.method != Z_DEFLATED) {
    fail(file_, label + " uses compression method " + std::to_string(m.method));
  }
  const std::uint64_t size = bytes_.size();
  if (size - m.offset < kLocalSize || load<std::uint32_t>(bytes_, m.offset) != kLocal) fail(file_, label + " is corrupt");
  const std::uint64_t begin = m.offset + kLocalSize + load<std::uint16_t>(bytes_, m.offset + 26) +
                              load<std::uint16_t>(bytes_, m.offset + 28);
  if (begin > size || size - begin < m.packed) fail(file_, label + " is corrupt");
  const bool stored = m.method == 0;
  if (stored ? m.size != m.packed : m.size / kMaxRatio > m.packed) fail(file_, label + " is corrupt");
  const std::string_view packed = std::string_view(bytes_).substr(begin, m.packed);
  std::string_view out = packed;
  if (!stored) {
    unpacked.resize(m.size);
    if (!inflate_all(packed, unpacked)) fail(file_, label + " is corrupt");
    out = unpacked;
  }
  if (crc_of(out) != m.crc) fail(file_, label + " is corrupt");
  return out;
}

ZipWriter::ZipWriter(const std::filesystem::path& path, ZipOptions options) : out_(path), options_(options) {
  LAV_CHECK(options.level >= 0 && options.level <= 9, "deflate level");
}

void ZipWriter::add(const std::string& name, std::string_view content) {
  LAV_CHECK(name.size() <= 0xFFFF, "member name too long");
  std::string packed;
  if (options_.level > 0) packed = deflate_all(content, options_.level);
  const std::string_view body = options_.level > 0 ? std::string_view(packed) : content;
  const bool big = content.size() >= options_.zip64_from || body.size() >= options_.zip64_from;
  const bool far = offset_ >= options_.zip64_from;
  std::string common;  // what local header and directory entry share
  append<std::uint16_t>(common, big || far ? 45 : 20);
  append<std::uint16_t>(common, 0x800);  // names are UTF-8
  append<std::uint16_t>(common, options_.level > 0 ? Z_DEFLATED : 0);
  append<std::uint16_t>(common, 0);
  append<std::uint16_t>(common, kDosDate);
  append<std::uint32_t>(common, crc_of(content));
  append<std::uint32_t>(common, low(body.size(), big));
  append<std::uint32_t>(common, low(content.size(), big));
  append<std::uint16_t>(common, static_cast<std::uint16_t>(name.size()));
  std::string sizes;
  if (big) {
    append<std::uint64_t>(sizes, content.size());
    append<std::uint64_t>(sizes, body.size());
  }
  const auto field = [](const std::string& values) {
    std::string out;
    if (values.empty()) return out;
    append<std::uint16_t>(out, kZip64Field);
    append<std::uint16_t>(out, static_cast<std::uint16_t>(values.size()));
    return out + values;
  };
  const std::string local_extra = field(sizes);
  std::string local;
  append(local, kLocal);
  local += common;
  append<std::uint16_t>(local, static_cast<std::uint16_t>(local_extra.size()));
  local += name + local_extra;

  if (far) append<std::uint64_t>(sizes, offset_);
  const std::string extra = field(sizes);
  append(directory_, kCentral);
  append<std::uint16_t>(directory_, (3U << 8U) | 45U);  // made on Unix
  directory_ += common;
  append<std::uint16_t>(directory_, static_cast<std::uint16_t>(extra.size()));
  append<std::uint16_t>(directory_, 0);                  // comment
  append<std::uint16_t>(directory_, 0);                  // disk
  append<std::uint16_t>(directory_, 0);                  // internal attributes
  append<std::uint32_t>(directory_, 0100644U << 16U);    // a plain file, rw-r--r--
  append<std::uint32_t>(directory_, low(offset_, far));
  directory_ += name + extra;

  out_.write(local);
  out_.write(body);
  offset_ += local.size() + body.size();
  ++count_;
}

void ZipWriter::commit() {
  const bool zip64 =
      count_ >= 0xFFFF || offset_ >= options_.zip64_from || directory_.size() >= options_.zip64_from;
  std::string end;
  if (zip64) {
    append(end, kEnd64);
    append<std::uint64_t>(end, kEnd64Size - 12);
    append<std::uint16_t>(end, (3U << 8U) | 45U);
    append<std::uint16_t>(end, 45);
    append<std::uint64_t>(end, 0);  // disks
    append<std::uint64_t>(end, count_);
    append<std::uint64_t>(end, count_);
    append<std::uint64_t>(end, directory_.size());
    append<std::uint64_t>(end, offset_);
    append(end, kLocator64);
    append<std::uint32_t>(end, 0);
    append<std::uint64_t>(end, offset_ + directory_.size());
    append<std::uint32_t>(end, 1);
  }
  const auto shown = zip64 ? std::uint16_t{0xFFFF} : static_cast<std::uint16_t>(count_);
  append(end, kEnd);
  append<std::uint32_t>(end, 0);  // disks
  append(end, shown);
  append(end, shown);
  append<std::uint32_t>(end, low(directory_.size(), zip64));
  append<std::uint32_t>(end, low(offset_, zip64));
  append<std::uint16_t>(end, 0);  // comment
  out_.write(directory_);
  out_.write(end);
  out_.commit();
}

}  // namespace layeravatar::io
