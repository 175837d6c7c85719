#include <atomic>

#include "layeravatar/avatar/kernels/decoder_kernel.h"

namespace layeravatar::avatar {

extern const DecoderKernels kDecoderKernelsBase, kDecoderKernelsAvx2, kDecoderKernelsAvx512;

int decoder_kernels_count() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return wide ? 3 : 2;
#else
  return 1;
#endif
}

const DecoderKernels& decoder_kernels_at(int index) {
#if defined(__x86_64__)
  if (index == 2) return kDecoderKernelsAvx512;
  if (index == 1) return kDecoderKernelsAvx2;
#endif
  (void)index;
  return kDecoderKernelsBase;
}

namespace {
std::atomic<int>& chosen() {
  static std::atomic<int> index = decoder_kernels_count() - 1;
  return index;
}
}  // namespace

const DecoderKernels& decoder_kernels() { return decoder_kernels_at(chosen()); }
void use_decoder_kernels(int index) { chosen() = index; }

}  // namespace layeravatar::avatar
