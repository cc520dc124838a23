#include "qam_kernels.hpp"

#include "vector_math.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// All lanes, whether used or not. Sums are taken relative to their largest term, so that far symbols do not underflow.
CHEST_INLINE void demap_axis(QamAxis& axis) {
  constexpr unsigned n = QamAxis::most_lanes;
  const unsigned n_levels = 1u << axis.n_bits;
  for (unsigned label = 0; label < n_levels; ++label) {
    const float level = axis.level[label];
    float* const distance = axis.distance[label];
    CHEST_LANES
    for (unsigned i = 0; i < n; ++i) {
      const float d = axis.value[i] - level;
      distance[i] = d * d * axis.precision[i];
    }
  }
  for (unsigned bit = 0; bit < axis.n_bits; ++bit) {
    const unsigned mask = 1u << (axis.n_bits - 1 - bit);
    float least[2][n], sum[2][n];
    for (unsigned b = 0; b < 2; ++b) {
      float* const nearest = least[b];
      CHEST_LANES
      for (unsigned i = 0; i < n; ++i) nearest[i] = 3e38f;
    }
    for (unsigned label = 0; label < n_levels; ++label) {
      float* const nearest = least[(label & mask) != 0];
      const float* const distance = axis.distance[label];
      CHEST_LANES
      for (unsigned i = 0; i < n; ++i)
        nearest[i] = distance[i] < nearest[i] ? distance[i] : nearest[i];
    }
    float* const llr = axis.llr[bit];
    CHEST_LANES
    for (unsigned i = 0; i < n; ++i) llr[i] = least[1][i] - least[0][i];
    // Of one symbol each, the largest term is the sum.
    if (axis.max_log || axis.n_bits == 1) continue;
    for (unsigned b = 0; b < 2; ++b) {
      float* const terms = sum[b];
      CHEST_LANES
      for (unsigned i = 0; i < n; ++i) terms[i] = 0.0f;
    }
    for (unsigned label = 0; label < n_levels; ++label) {
      const unsigned b = (label & mask) != 0;
      const float* const nearest = least[b];
      float* const terms = sum[b];
      const float* const distance = axis.distance[label];
      CHEST_LANES
      for (unsigned i = 0; i < n; ++i) {
        const float x = distance[i] - nearest[i];
        terms[i] += exp_of_minus(x < 80.0f ? x : 80.0f);
      }
    }
    CHEST_LANES
    for (unsigned i = 0; i < n; ++i) llr[i] += log_of(sum[0][i] / sum[1][i]);
  }
}

#define CHEST_QAM_KERNEL(NAME, TARGET)                          \
  TARGET void demap_##NAME(QamAxis& axis) { demap_axis(axis); } \
  const QamKernel kernel_##NAME{#NAME, &demap_##NAME};

CHEST_QAM_KERNEL(generic, )
#if defined(__x86_64__)
CHEST_QAM_KERNEL(avx2, CHEST_AVX2)
CHEST_QAM_KERNEL(avx512, CHEST_AVX512)
#endif

}  // namespace

std::vector<const QamKernel*> qam_kernels() {
  std::vector<const QamKernel*> all;
#if defined(__x86_64__)
  if (has_avx512()) all.push_back(&kernel_avx512);
  if (has_avx2()) all.push_back(&kernel_avx2);
#endif
  all.push_back(&kernel_generic);
  return all;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
