// Large arrays that every frame needs anew: their memory is kept between calls, so that its pages are touched once.
#pragma once
#include <cstddef>
#include <memory>
#include <type_traits>

namespace layeravatar {

/// At least `bytes`, aligned to a cache line, not set. When the last owner is gone it serves a later request of at least a
/// quarter of its size; up to 1 GiB waits so, what came back first goes to the system. Safe to use from several threads.
std::shared_ptr<void> pooled_memory(std::size_t bytes);

/// A fixed number of values in pooled memory, not set. Copies share them.
template <class T>
class PooledArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  PooledArray() = default;
  explicit PooledArray(std::size_t count) : memory_(pooled_memory(count * sizeof(T))), count_(count) {}
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] T* data() const { return static_cast<T*>(memory_.get()); }
  [[nodiscard]] T* begin() const { return data(); }
  [[nodiscard]] T* end() const { return data() + count_; }
  T& operator[](std::size_t i) const { return data()[i]; }

 private:
  std::shared_ptr<void> memory_;
  std::size_t count_ = 0;
};

}  // namespace layeravatar
