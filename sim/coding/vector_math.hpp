#pragma once

#include <cstddef>
#include <cstdint>

// For plain loops over lanes, compiled once for each kind of vector registers. What they call must be inlined, so
// that it is compiled with them.
#define CHEST_INLINE static inline __attribute__((always_inline))

// Before a loop over lanes: what it reads and what it writes are the same lane or do not overlap.
#if defined(__clang__)
#define CHEST_LANES _Pragma("clang loop vectorize(assume_safety)")
#else
#define CHEST_LANES _Pragma("GCC ivdep")
#endif

#if defined(__x86_64__)
#define CHEST_AVX2 __attribute__((target("avx2,fma")))
#if defined(__clang__)
#define CHEST_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#else
#define CHEST_AVX512 \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")))
#endif
#endif

namespace chest {
inline namespace v0 {
namespace sim {

#if defined(__x86_64__)
/// Whether this processor runs what CHEST_AVX2 and CHEST_AVX512 compile.
static inline bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static inline bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif

template <class To, class From>
CHEST_INLINE To bits_of(From from) {
  return __builtin_bit_cast(To, from);
}

/// a b + c, rounded once on every processor.
CHEST_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

/// exp(-x) for 0 <= x <= 80, to 1e-7 of itself.
CHEST_INLINE float exp_of_minus(float x) {
  constexpr float to_nearest = 12582912.0f;  // 1.5 * 2^23
  const float n = fma(x, 1.44269504f, to_nearest) - to_nearest;
  // r = n log 2 - x, |r| <= 0.35, with log 2 in two parts.
  const float r = fma(n, -2.12194440e-4f, fma(n, 0.693359375f, -x));
  const float r2 = r * r;
  const float p0 = r + 1.0f, p1 = fma(r, 1.0f / 6, 0.5f), p2 = fma(r, 1.0f / 120, 1.0f / 24),
              p3 = fma(r, 1.0f / 5040, 1.0f / 720);
  const float p = fma(fma(fma(p3, r2, p2), r2, p1), r2, p0);
  return p * bits_of<float>((127 - static_cast<std::int32_t>(n)) << 23);
}

/// log(x) of a normal x > 0.
CHEST_INLINE float log_of(float x) {
  const std::int32_t bits = bits_of<std::int32_t>(x);
  const std::int32_t exponent = (bits - 0x3f3504f3) >> 23;  // x = 2^exponent m, m >= sqrt(1/2)
  const float m = bits_of<float>(bits - (exponent << 23));
  const float s = (m - 1.0f) / (m + 1.0f), w = s * s;
  const float odd = fma(w, fma(w, 2.0f / 9, 2.0f / 7), 2.0f / 5);
  const float series = s * fma(w, fma(w, odd, 2.0f / 3), 2.0f);
  const float n = static_cast<float>(exponent);
  return fma(n, 0.693359375f, fma(n, -2.12194440e-4f, series));
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
