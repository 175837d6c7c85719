#include "layeravatar/diffusion/precision.h"

#include <fmt/format.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "layeravatar/core/error.h"

namespace layeravatar::diffusion {

Precision precision_named(const std::string& name) {
  if (name == "fp32") return Precision::kFloat32;
  if (name == "bf16") return Precision::kBfloat16;
  if (name != "auto") throw Error(ErrorKind::kConfig, fmt::format("precision = {}, must be fp32, bf16 or auto", name));
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kAmxBf16 = 1U << 22;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAmxBf16) != 0) return Precision::kBfloat16;
#endif
  return Precision::kFloat32;
}

}  // namespace layeravatar::diffusion
