#include "layeravatar/core/pooled_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <vector>

namespace layeravatar {
namespace {

TEST(PooledMemory, EverySizeIsAlignedAndWhole) {
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{65}, std::size_t{70'000}, std::size_t{5'000'001}}) {
    const PooledArray<std::uint8_t> a(count);
    ASSERT_EQ(a.size(), count);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.data()) % 64, 0U);
    std::fill(a.begin(), a.end(), std::uint8_t{7});
    for (const std::uint8_t v : a) ASSERT_EQ(v, 7);
  }
}

TEST(PooledMemory, BlocksInUseAreApart) {
  std::vector<PooledArray<int>> held;
  for (int k = 0; k < 5; ++k) {
    held.emplace_back(100'000);
    std::fill(held.back().begin(), held.back().end(), k);
    const PooledArray<int> passing(100'000);
    std::fill(passing.begin(), passing.end(), -1);
  }
  for (int k = 0; k < 5; ++k)
    for (const int v : held[static_cast<std::size_t>(k)]) ASSERT_EQ(v, k);
}

TEST(PooledMemory, CopiesShareAndTheLastOneGivesBack) {
  PooledArray<int> first(50'000);
  first[49'999] = 3;
  const PooledArray<int> second = first;
  first = PooledArray<int>();
  EXPECT_EQ(second[49'999], 3);
}

TEST(PooledMemory, ManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      for (int k = 0; k < 200; ++k) {
        const PooledArray<int> a(static_cast<std::size_t>(20'000 + 1'000 * (k % 3)));
        std::fill(a.begin(), a.end(), t);
        for (const int v : a) ASSERT_EQ(v, t);
      }
    });
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace layeravatar
