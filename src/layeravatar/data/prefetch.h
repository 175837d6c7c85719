// Values made ahead by threads and handed out in order.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "layeravatar/core/error.h"

namespace layeravatar::data {

/// make(0), make(1), ... by `threads` threads, at most `ahead` values beyond the one that is asked for next. `make` is
/// called by several threads at once; what it throws is thrown by the `next` of its turn.
template <class Value>
class Prefetch {
 public:
  Prefetch(std::function<Value(std::int64_t)> make, int threads, int ahead) : make_(std::move(make)), ahead_(ahead) {
    LAV_CHECK(threads >= 1 && ahead >= 1, "at least one thread and one value ahead");
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~Prefetch() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    room_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  Value next() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return done_.count(handed_out_) != 0; });
    auto node = done_.extract(handed_out_++);
    lock.unlock();
    room_.notify_all();
    if (node.mapped().failure) std::rethrow_exception(node.mapped().failure);
    return std::move(node.mapped().value);
  }

 private:
  struct Slot {
    Value value{};
    std::exception_ptr failure;
  };

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      room_.wait(lock, [&] { return stop_ || started_ < handed_out_ + ahead_; });
      if (stop_) return;
      const std::int64_t turn = started_++;
      lock.unlock();
      Slot slot;
      try {
        slot.value = make_(turn);
      } catch (...) {
        slot.failure = std::current_exception();
      }
      lock.lock();
      done_.emplace(turn, std::move(slot));
      ready_.notify_all();
    }
  }

  std::function<Value(std::int64_t)> make_;
  int ahead_;
  std::mutex mutex_;
  std::condition_variable ready_, room_;
  std::map<std::int64_t, Slot> done_;
  std::int64_t started_ = 0, handed_out_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace layeravatar::data
