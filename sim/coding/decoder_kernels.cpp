#include "decoder_kernels.hpp"

#include "vector_math.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// x^2, or that of a small number: no power of it is a denormal, which takes processors long.
CHEST_INLINE float square_of(float x) {
  const float normal = x > 1e-9f ? x : 1e-9f;
  return normal * normal;
}

/// -log(tanh(x / 2)) for 1e-30 <= x <= 80, its own inverse: 2 artanh(exp(-x)) above the fixed point, where
/// the tanh is near 1, and below it the logarithm.
CHEST_INLINE float phi(float x) {
  const float u = exp_of_minus(x), v = u < 0.4143f ? u : 0.4143f, w = square_of(v), w2 = w * w;
  const float far0 = fma(w, 2.0f / 3, 2.0f), far1 = fma(w, 2.0f / 7, 2.0f / 5),
              far2 = fma(w, 2.0f / 11, 2.0f / 9), far3 = fma(w, 2.0f / 15, 2.0f / 13);
  const float far = v * fma(fma(fma(far3, w2, far2), w2, far1), w2, far0);
  const float h = 0.5f * (x < 0.8815f ? x : 0.8815f), y = square_of(h), y2 = y * y;
  const float near0 = fma(y, -1.0f / 3, 1.0f), near1 = fma(y, -17.0f / 315, 2.0f / 15),
              near2 = fma(y, -1382.0f / 155925, 62.0f / 2835),
              near3 = fma(y, -1.45583432e-3f, 21844.0f / 6081075);
  const float near = -log_of(h * fma(fma(fma(near3, y2, near2), y2, near1), y2, near0));
  return x < 0.88137f ? near : far;
}

CHEST_INLINE float magnitude(float x) {
  return bits_of<float>(bits_of<std::uint32_t>(x) & 0x7fffffffu);
}
CHEST_INLINE std::int8_t magnitude(std::int8_t x) {
  return static_cast<std::int8_t>(x < 0 ? -x : x);
}

CHEST_INLINE std::uint32_t sign_of(float x) { return bits_of<std::uint32_t>(x) & 0x80000000u; }
CHEST_INLINE std::uint8_t sign_of(std::int8_t x) { return bits_of<std::uint8_t>(x) & 0x80u; }
CHEST_INLINE float with_sign(float a, std::uint32_t s) {
  return bits_of<float>(bits_of<std::uint32_t>(a) | s);
}
CHEST_INLINE std::int8_t with_sign(std::int8_t a, std::uint8_t s) {
  const auto mask = static_cast<std::int8_t>(s == 0 ? 0 : -1);
  return static_cast<std::int8_t>((a ^ mask) - mask);
}

/// Messages of the bits: what they know without the last message of this row.
template <class T, class Sum>
CHEST_INLINE void collect(const CheckRow<T, Sum>& row) {
  const std::size_t n = row.padded / 16 * 16;
  const Sum limit = row.clip;
  for (std::uint32_t e = 0; e < row.degree; ++e) {
    const Sum* const in = row.in + row.column[e] + row.shift[e];
    const T* const old = row.to_bits + e * n;
    T* const to = row.from_bits + e * n;
    CHEST_LANES
    for (std::size_t i = 0; i < n; ++i) {
      const Sum x = static_cast<Sum>(in[i] - old[i]);
      const Sum low = x > static_cast<Sum>(-limit) ? x : static_cast<Sum>(-limit);
      to[i] = static_cast<T>(low < limit ? low : limit);
    }
  }
}

/// Takes the new messages, in from_bits, to the bits.
template <bool layered, class T, class Sum>
CHEST_INLINE void distribute_as(const CheckRow<T, Sum>& row) {
  const std::size_t z = row.z, n = row.padded / 16 * 16;
  for (std::uint32_t e = 0; e < row.degree; ++e) {
    const std::size_t shift = row.shift[e];
    Sum* const column = row.out + row.column[e];
    Sum* const out = column + shift;
    T* const old = row.to_bits + e * n;
    const T* const from = row.from_bits + e * n;
    CHEST_LANES
    for (std::size_t i = 0; i < n; ++i) {
      const T now = from[i];
      const Sum before = layered ? static_cast<Sum>(out[i] - old[i]) : out[i];
      out[i] = static_cast<Sum>(before + now);
      old[i] = now;
    }
    // The two copies of the column agree again; lanes behind z wrote on what is replaced here.
    __builtin_memcpy(out + z, out, (z - shift) * sizeof(Sum));
    __builtin_memcpy(column, column + z, shift * sizeof(Sum));
  }
}
template <class T, class Sum>
CHEST_INLINE void distribute(const CheckRow<T, Sum>& row) {
  if (row.layered) {
    distribute_as<true>(row);
  } else {
    distribute_as<false>(row);
  }
}

/// The sum-product rule: |message| = phi(sum of phi(|others|)). The others are summed from both ends, not
/// by taking one away from all, which would lose small ones.
CHEST_INLINE void update_bp(const FloatRow& row) {
  constexpr float least = 1e-30f;
  collect(row);
  const std::size_t n = row.padded / 16 * 16;
  const float clip = row.clip;
  std::uint32_t* const sign = row.signs;
  float* const sum = row.work + 2 * row.degree * n;
  CHEST_LANES
  for (std::size_t i = 0; i < n; ++i) {
    sum[i] = 0.0f;
    sign[i] = 0;
  }
  for (std::uint32_t e = 0; e < row.degree; ++e) {
    const float* const v = row.from_bits + e * n;
    float* const own = row.work + e * n;
    float* const before = row.work + (row.degree + e) * n;
    CHEST_LANES
    for (std::size_t i = 0; i < n; ++i) {
      const float a = magnitude(v[i]);
      const float p = phi(a > least ? a : least), s = sum[i];
      own[i] = p;
      before[i] = s;
      sum[i] = s + p;
      sign[i] ^= sign_of(v[i]);
    }
  }
  CHEST_LANES
  for (std::size_t i = 0; i < n; ++i) sum[i] = 0.0f;
  for (std::uint32_t e = row.degree; e-- > 0;) {
    float* const v = row.from_bits + e * n;
    const float* const own = row.work + e * n;
    const float* const before = row.work + (row.degree + e) * n;
    CHEST_LANES
    for (std::size_t i = 0; i < n; ++i) {
      const float behind = sum[i], others = before[i] + behind;
      const float low = others > least ? others : least;
      const float a = phi(low < 80.0f ? low : 80.0f);
      sum[i] = behind + own[i];
      v[i] = with_sign(a < clip ? a : clip, sign_of(v[i]) ^ sign[i]);
    }
  }
  distribute(row);
}

template <bool by_offset>
CHEST_INLINE float weakened(float a, float by) {
  if (!by_offset) return a * by;
  const float less = a - by;
  return less > 0.0f ? less : 0.0f;
}
template <bool by_offset>
CHEST_INLINE std::int8_t weakened(std::int8_t a, std::int8_t by) {
  if (!by_offset) return static_cast<std::int8_t>(static_cast<std::int16_t>(a * by + 8) >> 4);
  const auto less = static_cast<std::int8_t>(a - by);
  return less > 0 ? less : std::int8_t{0};
}

/// The least magnitude of the others is the least of all, but for the bit that has it.
template <bool by_offset, class T, class Sum, class Sign>
CHEST_INLINE void update_min_sum(const CheckRow<T, Sum>& row, Sign* sign) {
  collect(row);
  const std::size_t n = row.padded / 16 * 16;
  const T clip = row.clip, by = by_offset ? row.offset : row.scale;
  T* const least = row.work;
  T* const second = row.work + n;
  CHEST_LANES
  for (std::size_t i = 0; i < n; ++i) {
    least[i] = second[i] = clip;
    sign[i] = 0;
  }
  for (std::uint32_t e = 0; e < row.degree; ++e) {
    const T* const v = row.from_bits + e * n;
    CHEST_LANES
    for (std::size_t i = 0; i < n; ++i) {
      const T a = magnitude(v[i]), first = least[i], next = second[i];
      const T larger = a > first ? a : first;
      second[i] = larger < next ? larger : next;
      least[i] = a < first ? a : first;
      sign[i] = static_cast<Sign>(sign[i] ^ sign_of(v[i]));
    }
  }
  for (std::uint32_t e = 0; e < row.degree; ++e) {
    T* const v = row.from_bits + e * n;
    CHEST_LANES
    for (std::size_t i = 0; i < n; ++i) {
      const T first = least[i], next = second[i];
      const T a = magnitude(v[i]) == first ? next : first;
      v[i] = with_sign(weakened<by_offset>(a, by), static_cast<Sign>(sign_of(v[i]) ^ sign[i]));
    }
  }
  distribute(row);
}

template <class T, class Sum>
CHEST_INLINE bool row_holds(const CheckRow<T, Sum>& row) {
  const std::size_t z = row.z, n = row.padded / 16 * 16;
  auto* const odd = reinterpret_cast<std::uint8_t*>(row.signs);
  for (std::size_t i = 0; i < n; ++i) odd[i] = 0;
  for (std::uint32_t e = 0; e < row.degree; ++e) {
    const Sum* const in = row.in + row.column[e] + row.shift[e];
    CHEST_LANES
    for (std::size_t i = 0; i < n; ++i)
      odd[i] = static_cast<std::uint8_t>(odd[i] ^ (in[i] < 0 ? 1 : 0));
  }
  unsigned any = 0;
  for (std::size_t i = 0; i < z; ++i) any |= odd[i];
  return any == 0;
}

#define CHEST_DECODER_KERNELS(NAME, TARGET)                                                      \
  TARGET void bp_##NAME(const FloatRow& row) { update_bp(row); }                                 \
  TARGET void min_sum_##NAME(const FloatRow& row) { update_min_sum<false>(row, row.signs); }     \
  TARGET void offset_##NAME(const FloatRow& row) { update_min_sum<true>(row, row.signs); }       \
  TARGET void min_sum_int8_##NAME(const Int8Row& row) {                                          \
    update_min_sum<false>(row, reinterpret_cast<std::uint8_t*>(row.signs));                      \
  }                                                                                              \
  TARGET void offset_int8_##NAME(const Int8Row& row) {                                           \
    update_min_sum<true>(row, reinterpret_cast<std::uint8_t*>(row.signs));                       \
  }                                                                                              \
  TARGET bool holds_##NAME(const FloatRow& row) { return row_holds(row); }                       \
  TARGET bool holds_int8_##NAME(const Int8Row& row) { return row_holds(row); }                   \
  const DecoderKernels kernels_##NAME{#NAME,          &bp_##NAME,           &min_sum_##NAME,     \
                                      &offset_##NAME, &min_sum_int8_##NAME, &offset_int8_##NAME, \
                                      &holds_##NAME,  &holds_int8_##NAME};

CHEST_DECODER_KERNELS(generic, )
#if defined(__x86_64__)
CHEST_DECODER_KERNELS(avx2, CHEST_AVX2)
CHEST_DECODER_KERNELS(avx512, CHEST_AVX512)
#endif

}  // namespace

std::vector<const DecoderKernels*> decoder_kernels() {
  std::vector<const DecoderKernels*> all;
#if defined(__x86_64__)
  if (has_avx512()) all.push_back(&kernels_avx512);
  if (has_avx2()) all.push_back(&kernels_avx2);
#endif
  all.push_back(&kernels_generic);
  return all;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
