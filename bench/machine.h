// What this machine can do, and a way to hold the kernels to fewer threads or an older instruction set.
#pragma once
#include <benchmark/benchmark.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "hwy/highway.h"
#include "layeravatar/core/heap.h"

namespace layeravatar::bench {

using Clock = std::chrono::steady_clock;

/// Leaves a row out that multiplies in bfloat16 on LibTorch where the processor does not: that takes minutes a step.
inline bool left_out(benchmark::State& state, bool bfloat16) {
#if defined(__x86_64__)
  if (!bfloat16 || __builtin_cpu_supports("avx512bf16")) return false;
  state.SkipWithError("left out: this processor has no products in bfloat16");
  return true;
#else
  (void)state, (void)bfloat16;
  return false;
#endif
}

/// Best of some tries, in seconds.
template <class Work>
double seconds(const Work& work) {
  double best = 1e9;
  for (int k = 0; k < 7; ++k) {
    const auto begin = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return best;
}

// Sums of products in registers: twenty-four, or twelve where there are sixteen registers.
#define LAV_FMA_LOOP(NAME, ATTRIBUTES, BYTES, SUMS)                                                    \
  __attribute__(ATTRIBUTES) inline float NAME(const float* in, std::int64_t rounds) {  \
    using Vector = float __attribute__((vector_size(BYTES)));                                          \
    using Unaligned = float __attribute__((vector_size(BYTES), aligned(4), may_alias));                \
    Vector sum[SUMS];                                                                                  \
    for (int k = 0; k < SUMS; ++k) sum[k] = Vector{} + static_cast<float>(k);                          \
    const Vector by = Vector{} + in[0];                                                                \
    for (std::int64_t r = 0; r < rounds; ++r) {                                                        \
      const Vector a = *reinterpret_cast<const Unaligned*>(in + r % 8);                                \
      _Pragma("GCC unroll 24") for (int k = 0; k < SUMS; ++k) sum[k] = sum[k] * by + a;                \
    }                                                                                                  \
    float out = 0;                                                                                     \
    for (const Vector& s : sum) out += s[0];                                                           \
    return out;                                                                                        \
  }
#if defined(__x86_64__)
LAV_FMA_LOOP(fma_avx512, (target("avx512f,prefer-vector-width=512"), noinline), 64, 24)
LAV_FMA_LOOP(fma_avx2, (target("avx2,fma"), noinline), 32, 12)
#else
LAV_FMA_LOOP(fma_avx2, (noinline), 16, 12)
#endif
#undef LAV_FMA_LOOP

template <class Loop>
double gflops(const Loop& loop, int threads, int lanes, int sums) {
  constexpr std::int64_t kRounds = 2'000'000;
  const std::vector<float> in(32, 0.5F);
  const double time = seconds([&] {
#pragma omp parallel num_threads(threads)
    benchmark::DoNotOptimize(loop(in.data(), kRounds));
  });
  return 2e-9 * static_cast<double>(kRounds) * lanes * sums * threads / time;
}

/// Of this machine, measured by describe_machine; index 1 or 2 threads.
struct Peaks {
  double best[3] = {}, avx2[3] = {};  // floating-point operations per second
  double triad[3] = {};               // bytes per second
};
inline Peaks& peaks() {
  static Peaks only;
  return only;
}

/// Peak rate of multiply-adds, and memory's of reading and of a[i] = b[i] + s c[i] on 256 MiB each, by threads.
inline void describe_machine() {
  for (const int threads : {1, 2}) {
    const std::string on = std::to_string(threads) + (threads == 1 ? " thread " : " threads ");
    Peaks& p = peaks();
    p.avx2[threads] = p.best[threads] = 1e9 * gflops(fma_avx2, threads, 8, 12);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
      const double wide = gflops(fma_avx512, threads, 16, 24);
      p.best[threads] = std::max(p.best[threads], 1e9 * wide);
      benchmark::AddCustomContext(on + "FMA AVX-512", std::to_string(wide) + " GFLOP/s");
    }
#endif
    benchmark::AddCustomContext(on + "FMA AVX2", std::to_string(p.avx2[threads] / 1e9) + " GFLOP/s");
    constexpr std::int64_t kCount = std::int64_t{1} << 26;
    std::vector<float> a(kCount), b(kCount, 1.0F), c(kCount, 2.0F);
    double sum = 0;
    const double read = seconds([&] {
#pragma omp parallel for num_threads(threads) reduction(+ : sum)
      for (std::int64_t block = 0; block < kCount; block += 4096) {
        float part[16] = {};
        for (std::int64_t i = block; i < block + 4096; i += 16)
          for (std::int64_t k = 0; k < 16; ++k) part[k] += b[static_cast<std::size_t>(i + k)];
        sum += static_cast<double>(part[0]);
      }
    });
    benchmark::DoNotOptimize(sum);
    const double triad = seconds([&] {
#pragma omp parallel for num_threads(threads)
      for (std::int64_t i = 0; i < kCount; ++i)
        a[static_cast<std::size_t>(i)] = b[static_cast<std::size_t>(i)] + 3.0F * c[static_cast<std::size_t>(i)];
    });
    p.triad[threads] = 12.0 * kCount / triad;
    benchmark::AddCustomContext(on + "read, triad", std::to_string(4e-9 * kCount / read) + ", " +
                                                        std::to_string(12e-9 * kCount / triad) + " GB/s");
  }
}

enum Set : std::int64_t { kBest, kAvx2, kSse4 };

/// Threads and instruction set of one row; back to the machine's own at its end.
class Held {
 public:
  Held(std::int64_t threads, std::int64_t set) : before_(omp_get_max_threads()) {
    omp_set_num_threads(static_cast<int>(threads));
    // Better targets have lower bits.
    allow(set == kBest ? 0 : set == kAvx2 ? ~std::int64_t{HWY_AVX2 - 1} : ~std::int64_t{HWY_SSE4 - 1});
  }
  ~Held() {
    omp_set_num_threads(before_);
    allow(0);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  static void allow(std::int64_t targets) {
    hwy::SetSupportedTargetsForTest(0);
    if (targets != 0) hwy::SetSupportedTargetsForTest(targets & hwy::SupportedTargets());
    hwy::GetChosenTarget().DeInit();
  }
  int before_;
};

/// Seconds of one of the iterations that began at `begin`.
inline double per_iteration(const benchmark::State& state, Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count() / static_cast<double>(state.iterations());
}

/// The least that a row can take here: its operations at the peak rate of multiply-adds, two operations each, or its bytes at the
/// triad's rate, whichever is longer; and how many times that it took. Not for SSE4, whose peak is not measured.
inline void set_floor(benchmark::State& state, double time, double operations, double bytes, std::int64_t threads, std::int64_t set) {
  if (set == kSse4 || threads > 2) return;
  const auto t = static_cast<std::size_t>(threads);
  const double floor = std::max(operations / (set == kAvx2 ? peaks().avx2[t] : peaks().best[t]), bytes / peaks().triad[t]);
  state.counters["floor_ms"] = 1e3 * floor;
  state.counters["times_floor"] = time / floor;
}

/// Rows of the machine's best instruction set on one and two threads, then AVX2 and SSE4 on two.
inline void rows(benchmark::internal::Benchmark* b, const std::vector<std::int64_t>& first) {
  for (const auto& [threads, set] : {std::pair<std::int64_t, std::int64_t>{1, kBest}, {2, kBest}, {1, kAvx2}, {2, kAvx2}, {2, kSse4}}) {
    std::vector<std::int64_t> all = first;
    all.insert(all.end(), {threads, set});
    b->Args(all);
  }
}

/// Rows: the set is 0 the best, 1 AVX2, 2 SSE4.
inline int run(int argc, char** argv) {
  keep_heap();
  // All of them: LibTorch would take half of what there is where the environment says nothing.
  ::setenv("OMP_NUM_THREADS", std::to_string(omp_get_num_procs()).c_str(), 1);
  omp_set_num_threads(omp_get_num_procs());
  benchmark::Initialize(&argc, argv);
  describe_machine();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace layeravatar::bench
