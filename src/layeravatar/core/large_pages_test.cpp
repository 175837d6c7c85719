#include "layeravatar/core/large_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

namespace layeravatar {
namespace {

bool all_zero(const std::shared_ptr<void>& memory, std::size_t bytes) {
  const auto* p = static_cast<const char*>(memory.get());
  return std::all_of(p, p + bytes, [](char c) { return c == 0; });
}

TEST(LargePages, AreZeroAndAligned) {
  const std::size_t bytes = kLargePage + 5;
  void* const memory = map_large_pages(bytes);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % kLargePage, 0U);
  auto* const p = static_cast<char*>(memory);
  EXPECT_TRUE(std::all_of(p, p + bytes, [](char c) { return c == 0; }));
  std::fill(p, p + bytes, char{1});
  unmap_large_pages(memory, bytes);
}

TEST(ZeroedMemory, BlocksDoNotOverlapAndOutliveEachOther) {
  std::vector<std::shared_ptr<void>> blocks;
  const std::vector<std::size_t> sizes{0, 1, 63, 64, 65, 1000, kLargePage, 15 * kLargePage, 20 * kLargePage, 3, 9 * kLargePage, 9 * kLargePage};
  for (const std::size_t size : sizes) {
    blocks.push_back(zeroed_memory(size));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blocks.back().get()) % 64, 0U);
    EXPECT_TRUE(all_zero(blocks.back(), size)) << size;
    std::fill_n(static_cast<char*>(blocks.back().get()), size, static_cast<char>(blocks.size()));
  }
  for (std::size_t k = 0; k < blocks.size(); k += 2) blocks[k].reset();
  for (std::size_t k = 1; k < blocks.size(); k += 2) {
    const auto* p = static_cast<const char*>(blocks[k].get());
    EXPECT_TRUE(std::all_of(p, p + sizes[k], [&](char c) { return c == static_cast<char>(k + 1); })) << k;
  }
}

TEST(ZeroedMemory, SeveralThreadsGetTheirOwn) {
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&wrong, t] {
      for (int round = 0; round < 50; ++round) {
        const auto block = zeroed_memory(100000);
        if (!all_zero(block, 100000)) ++wrong[t];
        std::fill_n(static_cast<char*>(block.get()), 100000, char{1});
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

}  // namespace
}  // namespace layeravatar
