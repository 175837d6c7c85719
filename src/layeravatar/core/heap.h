// How the heap of a program of tensors is kept.
#pragma once
#include <malloc.h>

namespace layeravatar {

/// Tensors come and go by the step. Kept in the heap, their pages are not cleared and mapped anew each time; threads share one heap, as others than the
/// first do not keep. What a process holds is then the most that it ever needed. To be called before the first thread.
inline void keep_heap() {
  constexpr int kGrowth = 1 << 26;
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);  // never
  mallopt(M_TOP_PAD, kGrowth);
}

}  // namespace layeravatar
