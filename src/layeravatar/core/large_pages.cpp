#include "layeravatar/core/large_pages.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

namespace layeravatar {
namespace {

constexpr std::size_t kLine = 64, kRegion = 16 * kLargePage;

#ifdef __SANITIZE_ADDRESS__
constexpr bool kShare = false;  // what is read beyond a block shall be seen
#else
constexpr bool kShare = true;
#endif

std::size_t rounded(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

std::shared_ptr<void> region_of(std::size_t bytes) {
  return {map_large_pages(bytes), [bytes](void* p) { unmap_large_pages(p, bytes); }};
}

struct Region {
  std::mutex guard;
  std::shared_ptr<void> memory;
  std::size_t used = kRegion;
};

Region& region() {
  static Region* const only = new Region;  // never destroyed: blocks may come back while the program ends
  return *only;
}

}  // namespace

void* map_large_pages(std::size_t bytes) {
  const std::size_t wanted = rounded(bytes, kLargePage);
  void* const all = ::mmap(nullptr, wanted + kLargePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) throw std::bad_alloc();
  const std::size_t before = rounded(reinterpret_cast<std::uintptr_t>(all), kLargePage) - reinterpret_cast<std::uintptr_t>(all);
  auto* const block = static_cast<std::byte*>(all) + before;
  if (before > 0) ::munmap(all, before);
  ::munmap(block + wanted, kLargePage - before);
#ifdef MADV_HUGEPAGE
  ::madvise(block, wanted, MADV_HUGEPAGE);  // advice: where it is not taken nothing changes
#endif
  return block;
}

void unmap_large_pages(void* memory, std::size_t bytes) { ::munmap(memory, rounded(bytes, kLargePage)); }

std::shared_ptr<void> zeroed_memory(std::size_t bytes) {
  const std::size_t size = rounded(bytes + (bytes == 0), kLine);
  if (!kShare) {
    void* const own = std::aligned_alloc(kLine, size);
    if (own == nullptr) throw std::bad_alloc();
    std::memset(own, 0, size);
    return {own, std::free};
  }
  if (size > kRegion / 2) return region_of(size);
  Region& r = region();
  const std::lock_guard lock(r.guard);
  if (kRegion - r.used < size) {
    r.memory = region_of(kRegion);
    r.used = 0;
  }
  const std::size_t at = r.used;
  r.used += size;
  return {r.memory, static_cast<std::byte*>(r.memory.get()) + at};
}

}  // namespace layeravatar
