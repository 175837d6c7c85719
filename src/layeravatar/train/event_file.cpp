#include "layeravatar/train/event_file.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "layeravatar/core/error.h"
#include "layeravatar/io/bytes.h"

namespace layeravatar::train {
namespace {

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0x82F63B78U : 0U);
    table[i] = crc;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

// Protocol buffers: a field key is (number << 3) | wire type (0 varint, 1 eight bytes, 2 length, 5 four bytes).
void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>((value & 0x7F) | 0x80));
  out.push_back(static_cast<char>(value));
}
void append_bytes(std::string& out, int field, std::string_view bytes) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | 2);
  append_varint(out, bytes.size());
  out.append(bytes);
}
std::string event_with_time(double wall_seconds) {
  std::string out{"\x09", 1};  // field 1, double
  io::append(out, wall_seconds);
  return out;
}

}  // namespace

std::uint32_t masked_crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) crc = kCrcTable[(crc ^ static_cast<std::uint8_t>(c)) & 0xFFU] ^ (crc >> 8);
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
}

EventFile::EventFile(const std::filesystem::path& folder, std::int64_t start_seconds)
    : path_(folder / fmt::format("events.out.tfevents.{}.layeravatar", start_seconds)) {
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  file_ = std::fopen(path_.c_str(), "ab");
  if (file_ == nullptr)
    throw Error(ErrorKind::kOutput, fmt::format("{}: cannot open for writing: {}", path_.string(), std::strerror(errno)));
  std::string event = event_with_time(static_cast<double>(start_seconds));
  append_bytes(event, 3, "brain.Event:2");
  record(event);
}

EventFile::~EventFile() { std::fclose(file_); }

void EventFile::scalar(const std::string& tag, std::int64_t step, float value, double wall_seconds) {
  std::string entry;
  append_bytes(entry, 1, tag);
  entry.push_back(0x15);  // field 2, float
  io::append(entry, value);
  std::string summary;
  append_bytes(summary, 1, entry);
  std::string event = event_with_time(wall_seconds);
  append_varint(event, 2 << 3);
  append_varint(event, static_cast<std::uint64_t>(step));
  append_bytes(event, 5, summary);
  record(event);
}

void EventFile::record(std::string_view event) {
  std::string out;
  io::append(out, static_cast<std::uint64_t>(event.size()));
  io::append(out, masked_crc32c(out));
  out.append(event);
  io::append(out, masked_crc32c(event));
  if (std::fwrite(out.data(), 1, out.size(), file_) != out.size() || std::fflush(file_) != 0)
    throw Error(ErrorKind::kOutput, fmt::format("{}: cannot write: {}", path_.string(), std::strerror(errno)));
}

}  // namespace layeravatar::train
