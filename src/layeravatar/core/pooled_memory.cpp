#include "layeravatar/core/pooled_memory.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <deque>
#include <iterator>
#include <mutex>
#include <new>

#include "layeravatar/core/large_pages.h"

namespace layeravatar {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kLeast = std::size_t{1} << 16;  // smaller blocks are the allocator's business
constexpr std::size_t kMostTimes = 4;  // what is wanted a waiting block may have
constexpr std::size_t kMostKept = std::size_t{1} << 30;

#ifdef __SANITIZE_ADDRESS__
constexpr bool kReuse = false;  // every use after the end shall be seen
#else
constexpr bool kReuse = true;
#endif

struct Block {
  std::size_t size;
  void* memory;
};

struct Pool {
  std::mutex guard;
  std::deque<Block> waiting;  // the one that came back last at the end
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

// Blocks of whole large pages do not come from the heap: what lies there has small pages already.
bool mapped(std::size_t size) { return kReuse && size >= kLargePage; }

void* allocate(std::size_t size) {
  if (mapped(size)) return map_large_pages(size);
  void* const block = std::aligned_alloc(kLine, size);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

void release(void* block, std::size_t size) {
  if (mapped(size)) unmap_large_pages(block, size);
  else std::free(block);
}

void give_back(void* block, std::size_t size) {
  if (!kReuse || size < kLeast || size > kMostKept) return release(block, size);
  Pool& p = pool();
  const std::lock_guard lock(p.guard);
  p.waiting.push_back({size, block});
  for (p.kept += size; p.kept > kMostKept; p.waiting.pop_front()) {  // what nobody has wanted for longest
    p.kept -= p.waiting.front().size;
    release(p.waiting.front().memory, p.waiting.front().size);
  }
}

}  // namespace

std::shared_ptr<void> pooled_memory(std::size_t bytes) {
  std::size_t size = rounded(bytes);
  void* block = nullptr;
  if (size >= kLeast) {
    Pool& p = pool();
    const std::lock_guard lock(p.guard);
    auto found = p.waiting.rend();  // the smallest that will do, of equals the last that came back
    for (auto one = p.waiting.rbegin(); one != p.waiting.rend(); ++one)
      if (one->size >= size && one->size <= kMostTimes * size && (found == p.waiting.rend() || one->size < found->size)) found = one;
    if (found != p.waiting.rend()) {
      block = found->memory;
      size = found->size;
      p.waiting.erase(std::next(found).base());
      p.kept -= size;
    }
  }
  if (block == nullptr) block = allocate(size);
  return {block, [size](void* b) { give_back(b, size); }};
}

}  // namespace layeravatar
