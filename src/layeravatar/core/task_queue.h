// Work that goes on beside the caller's.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace layeravatar {

/// Runs tasks on threads of its own; with one thread, in the order in which they came. An exception of a task ends what waits and
/// is thrown to the caller at the next `add` or at `finish`.
class TaskQueue {
 public:
  /// At most `waiting` tasks are kept that no thread has begun: `add` waits for room, so that memory stays bounded.
  TaskQueue(std::size_t threads, std::size_t waiting);
  /// Drops what waits. Call `finish` to have it done.
  ~TaskQueue();
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  void add(std::function<void()> task);
  /// Returns when all is done.
  void finish();

 private:
  void work();
  void throw_failure();

  std::mutex guard_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::size_t waiting_, running_ = 0;
  bool stop_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace layeravatar
