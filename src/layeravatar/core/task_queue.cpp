#include "layeravatar/core/task_queue.h"

#include <utility>

#include "layeravatar/core/error.h"

namespace layeravatar {

TaskQueue::TaskQueue(std::size_t threads, std::size_t waiting) : waiting_(waiting) {
  LAV_CHECK(threads > 0 && waiting > 0, "a queue needs a thread and a place");
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

TaskQueue::~TaskQueue() {
  {
    const std::lock_guard lock(guard_);
    stop_ = true;
    tasks_.clear();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void TaskQueue::throw_failure() {
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void TaskQueue::add(std::function<void()> task) {
  std::unique_lock lock(guard_);
  changed_.wait(lock, [&] { return failure_ || tasks_.size() < waiting_; });
  throw_failure();
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void TaskQueue::finish() {
  std::unique_lock lock(guard_);
  changed_.wait(lock, [&] { return running_ == 0 && (failure_ || tasks_.empty()); });
  throw_failure();
}

void TaskQueue::work() {
  std::unique_lock lock(guard_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || !tasks_.empty(); });
    if (stop_) return;
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    ++running_;
    lock.unlock();
    changed_.notify_all();
    std::exception_ptr failure;
    try {
      task();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    --running_;
    if (failure) {
      tasks_.clear();
      if (!failure_) failure_ = failure;
    }
    changed_.notify_all();
  }
}

}  // namespace layeravatar
