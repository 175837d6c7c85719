#include "layeravatar/train/event_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/bytes.h"

namespace layeravatar::train {
namespace {

TEST(EventFile, ChecksumOfTheStandardVector) {
  // CRC-32C of "123456789" is 0xE3069283; masked by hand: rotate right by 15, add 0xA282EAD8.
  constexpr std::uint32_t kCrc = 0xE3069283U;
  EXPECT_EQ(masked_crc32c("123456789"), ((kCrc >> 15) | (kCrc << 17)) + 0xA282EAD8U);
}

TEST(EventFile, RecordsAreFramedAndHoldTheScalar) {
  const auto folder = std::filesystem::temp_directory_path() / ("lav_events_" + std::to_string(::getpid()));
  {
    EventFile events(folder, 1000);
    events.scalar("train/loss", 300, 0.5F, 1001.0);
  }
  const std::string bytes = read_file(folder / "events.out.tfevents.1000.layeravatar");
  std::size_t at = 0;
  std::vector<std::string> records;
  while (at < bytes.size()) {
    const auto size = io::load<std::uint64_t>(bytes, at);
    ASSERT_EQ(io::load<std::uint32_t>(bytes, at + 8), masked_crc32c(std::string_view(bytes).substr(at, 8)));
    records.push_back(bytes.substr(at + 12, size));
    ASSERT_EQ(io::load<std::uint32_t>(bytes, at + 12 + size), masked_crc32c(records.back()));
    at += 16 + size;
  }
  ASSERT_EQ(records.size(), 2U);
  EXPECT_NE(records[0].find("brain.Event:2"), std::string::npos);
  // wall time (1 + 8), step key and the varint 300 = 0xAC 0x02, summary 5 { value 1 { tag 1, simple_value 2 } }.
  const std::string want = std::string("\x10\xAC\x02", 3) + std::string("\x2A\x13\x0A\x11\x0A\x0A", 6) + "train/loss" +
                           std::string("\x15\x00\x00\x00\x3F", 5);
  EXPECT_EQ(records[1].substr(9), want);
  std::filesystem::remove_all(folder);
}

TEST(EventFile, AnUnwritableFolderIsAnOutputError) {
  try {
    const EventFile events("/proc/nowhere", 1);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kOutput);
  }
}

}  // namespace
}  // namespace layeravatar::train
