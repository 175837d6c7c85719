#include "layeravatar/core/task_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>

namespace layeravatar {
namespace {

TEST(TaskQueue, OneThreadKeepsTheOrder) {
  std::vector<int> seen;
  TaskQueue queue(1, 2);
  for (int i = 0; i < 50; ++i) queue.add([&seen, i] { seen.push_back(i); });
  queue.finish();
  ASSERT_EQ(seen.size(), 50U);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
  queue.finish();  // nothing to do
}

TEST(TaskQueue, ManyThreadsDoEverything) {
  std::atomic<int> sum{0};
  TaskQueue queue(4, 3);
  for (int round = 0; round < 3; ++round) {
    for (int i = 1; i <= 100; ++i) queue.add([&sum, i] { sum += i; });
    queue.finish();
    EXPECT_EQ(sum, (round + 1) * 5050);
  }
}

TEST(TaskQueue, ThrowsWhatATaskThrew) {
  std::atomic<int> done{0};
  TaskQueue queue(1, 4);
  queue.add([] { throw std::runtime_error("a full disk"); });
  EXPECT_THROW(
      {
        for (int i = 0; i < 100; ++i) queue.add([&] { ++done; });
        queue.finish();
      },
      std::runtime_error);
  queue.add([&] { done = 1000; });  // goes on
  queue.finish();
  EXPECT_EQ(done, 1000);
}

TEST(TaskQueue, DestructionDropsWhatWaits) {
  std::atomic<int> done{0};
  auto token = std::make_shared<int>(0);  // held by what waits
  {
    TaskQueue queue(1, 10);
    queue.add([held = std::weak_ptr<int>(token)] {
      while (!held.expired()) std::this_thread::yield();
    });
    for (int i = 0; i < 5; ++i) queue.add([&done, token] { ++done; });
    token.reset();
  }
  EXPECT_EQ(done, 0);
}

}  // namespace
}  // namespace layeravatar
