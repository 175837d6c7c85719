// Vectors of one instruction set, for decoder_steps.h alone.
#include "layeravatar/avatar/kernels/decoder_kernel.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace layeravatar::avatar {
namespace {

using Vector = float __attribute__((vector_size(LAV_VECTOR_BYTES)));
using Doubles = double __attribute__((vector_size(2 * LAV_VECTOR_BYTES)));
using Integers = std::int32_t __attribute__((vector_size(LAV_VECTOR_BYTES)));
constexpr std::int64_t kLanes = LAV_VECTOR_BYTES / 4;

inline Vector load(const float* p) {
  Vector v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vector v) { __builtin_memcpy(p, &v, sizeof v); }
inline Vector broadcast(float x) { return x - Vector{}; }  // a sum with zero would be computed, for the sake of -0
inline std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

// Keeps a value in a register: g++ else reads it from memory again for each of its uses.
#if defined(__AVX512F__)
#define LAV_IN_REGISTER(v) __asm__ volatile("" : "+v"(v))
#elif defined(__x86_64__)
#define LAV_IN_REGISTER(v) __asm__ volatile("" : "+x"(v))
#else
#define LAV_IN_REGISTER(v) static_cast<void>(v)
#endif

inline void add_widened(Vector v, Doubles& sum) { sum += __builtin_convertvector(v, Doubles); }
template <class Lanes>
double lanes_sum(const Lanes& v) {
  double sum = 0;
  for (std::int64_t k = 0; k < kLanes; ++k) sum += static_cast<double>(v[k]);
  return sum;
}

// exp to 2e-7 relative within [-87, 87], clamped outside: 2^n times a polynomial of the rest, |rest| <= ln(2) / 2.
inline Vector exp_of(Vector x) {
  const Vector least_x = Vector{} - 87.0F, most_x = Vector{} + 87.0F;
  x = x < least_x ? least_x : x;
  x = x > most_x ? most_x : x;
  const Vector n = (x * 1.44269504F + 12582912.0F) - 12582912.0F;  // rounded to an integer by 1.5 * 2^23
  const Vector r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  Vector p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  return p * reinterpret_cast<Vector>((__builtin_convertvector(n, Integers) + 127) << 23);
}
// 1 / x to 2e-7 relative, x in [1, 1e38]: a guess and one step of Newton's, where there is an instruction for the guess.
inline Vector inverse_of(Vector x) {
#if defined(__AVX512F__)
  const Vector guess = reinterpret_cast<Vector>(_mm512_maskz_rcp14_ps(0xFFFF, reinterpret_cast<__m512>(x)));
  return guess * (2.0F - x * guess);
#elif defined(__AVX2__)
  const Vector guess = reinterpret_cast<Vector>(_mm256_rcp_ps(reinterpret_cast<__m256>(x)));
  return guess * (2.0F - x * guess);
#else
  return 1.0F / x;
#endif
}
inline Vector sigmoid_of(Vector z) { return inverse_of(1.0F + exp_of(-z)); }

// The first `count` lanes.
inline Vector load_some(const float* p, std::int64_t count) {
  if (count >= kLanes) return load(p);
  Vector out = {};
  for (std::int64_t k = 0; k < count; ++k) out[k] = p[k];
  return out;
}
inline void store_some(float* p, Vector v, std::int64_t count) {
  if (count >= kLanes) return store(p, v);
  for (std::int64_t k = 0; k < count; ++k) p[k] = v[k];
}
// Numbers 2 x and 2 x + 1 of a row that ends after `count`, from vectors of even and odd ones.
inline void store_pairs(float* p, Vector even, Vector odd, std::int64_t count) {
  float line[2 * kLanes];
  for (std::int64_t k = 0; k < kLanes; ++k) {
    line[2 * k] = even[k];
    line[2 * k + 1] = odd[k];
  }
  if (count >= 2 * kLanes) return __builtin_memcpy(p, line, sizeof line), void();
  for (std::int64_t k = 0; k < count; ++k) p[k] = line[k];
}

}  // namespace
}  // namespace layeravatar::avatar
