// Memory in pages of 2 MB, where the system gives them: fewer faults, and fewer misses of the processor's address tables.
#pragma once
#include <cstddef>
#include <memory>

namespace layeravatar {

inline constexpr std::size_t kLargePage = std::size_t{1} << 21;

/// At least `bytes` of zeros on a boundary of large pages. Throws std::bad_alloc.
void* map_large_pages(std::size_t bytes);
void unmap_large_pages(void* memory, std::size_t bytes);

/// Zeros on a cache line. Blocks made one after another share large pages, which go back to the system when the last of
/// them is gone: for what lives equally long. Safe to use from several threads. Throws std::bad_alloc.
std::shared_ptr<void> zeroed_memory(std::size_t bytes);

}  // namespace layeravatar
