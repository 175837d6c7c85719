#include "layeravatar/core/pooled_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace layeravatar {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kLeast = std::size_t{1} << 16;  // smaller blocks are the allocator's business
constexpr std::size_t kHugePage = std::size_t{1} << 21;
constexpr std::size_t kMostKept = std::size_t{1} << 30;

#ifdef __SANITIZE_ADDRESS__
constexpr bool kReuse = false;  // every use after the end shall be seen
#else
constexpr bool kReuse = true;
#endif

struct Pool {
  std::mutex guard;
  std::map<std::size_t, std::vector<void*>> waiting;  // by size
  std::size_t kept = 0;
};

Pool& pool() {
  static Pool* const only = new Pool;  // never destroyed: blocks may come back while the program ends
  return *only;
}

// Four sizes to each power of two.
std::size_t rounded(std::size_t bytes) {
  if (bytes < kLeast) return std::max(kLine, (bytes + kLine - 1) / kLine * kLine);
  const std::size_t step = std::bit_floor(bytes) / 4;
  return (bytes + step - 1) / step * step;
}

void* allocate(std::size_t size) {
  const std::size_t alignment = size >= kHugePage ? kHugePage : kLine;
  void* const block = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (block == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (size >= kHugePage) madvise(block, size, MADV_HUGEPAGE);  // advice: where it is not taken nothing changes
#endif
  return block;
}

void give_back(void* block, std::size_t size) {
  if (kReuse && size >= kLeast) {
    Pool& p = pool();
    const std::lock_guard lock(p.guard);
    if (p.kept + size <= kMostKept) {
      p.waiting[size].push_back(block);
      p.kept += size;
      return;
    }
  }
  std::free(block);
}

}  // namespace

std::shared_ptr<void> pooled_memory(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  void* block = nullptr;
  if (size >= kLeast) {
    Pool& p = pool();
    const std::lock_guard lock(p.guard);
    if (const auto found = p.waiting.find(size); found != p.waiting.end() && !found->second.empty()) {
      block = found->second.back();
      found->second.pop_back();
      p.kept -= size;
    }
  }
  if (block == nullptr) block = allocate(size);
  return {block, [size](void* b) { give_back(b, size); }};
}

}  // namespace layeravatar
