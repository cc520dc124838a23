// Compiled once for each kind of processor: Highway includes this file again with other instructions
// switched on, and chooses at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels.cpp"  // NOLINT(build/include)
// Vectors whose size is not known to the compiler do not go into arrays.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV | HWY_SSSE3)
// The first includes this file again, and stays the first.
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#include "kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace chest {
inline namespace v0 {
namespace inference {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;

// Sums that fit into the registers: 6 outputs of 4 vectors where there are 32, of 2 where there are 16.
constexpr int most_vectors = (HWY_TARGET & (HWY_AVX3 | HWY_AVX3_DL)) != 0 ? 4 : 2;

// n_outputs rows of n_vectors vectors: the sums stay in registers, each value that is loaded serves all
// outputs, each weight all vectors.
template <int n_outputs, int n_vectors>
HWY_INLINE void convolve_tile(const Convolution& c, const float* in, const float* HWY_RESTRICT w,
                              int first_output, std::size_t at) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d), plane = c.shape->plane;
  Vector sums[n_outputs][n_vectors];
#pragma GCC unroll 8
  for (int o = 0; o < n_outputs; ++o) {
#pragma GCC unroll 8
    for (int v = 0; v < n_vectors; ++v) sums[o][v] = hn::Zero(d);
  }
  for (int i = 0; i < c.n_in; ++i, in += plane) {
    for (int t = 0; t < c.n_taps; ++t, w += n_outputs) {
      const float* x = in + c.taps[t];
      Vector values[n_vectors];
#pragma GCC unroll 8
      for (int v = 0; v < n_vectors; ++v) values[v] = hn::LoadU(d, x + v * lanes);
#pragma GCC unroll 8
      for (int o = 0; o < n_outputs; ++o) {
        const Vector weight = hn::Set(d, w[o]);
#pragma GCC unroll 8
        for (int v = 0; v < n_vectors; ++v) {
          sums[o][v] = hn::MulAdd(weight, values[v], sums[o][v]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int o = 0; o < n_outputs; ++o) {
    const int k = first_output + o;
    const Vector gain = hn::Set(d, c.gain[k]), offset = hn::Set(d, c.offset[k]);
    float* out = c.out + k * plane + at;
#pragma GCC unroll 8
    for (int v = 0; v < n_vectors; ++v) {
      Vector sum = sums[o][v];
      if (c.map) sum = hn::Add(sum, hn::LoadU(d, c.map + k * plane + at + v * lanes));
      sum = hn::MulAdd(sum, gain, offset);
      if (c.relu) sum = hn::Max(sum, hn::Zero(d));
      hn::StoreU(sum, d, out + v * lanes);
    }
  }
}

template <int n_vectors>
HWY_INLINE void convolve_outputs(const Convolution& c, std::size_t at) {
  const int n_blocks = n_output_blocks(c.n_out);
  const float* in = c.in + at;
  for (int b = 0; b < n_blocks; ++b) {
    const int first = first_output(c.n_out, b), n = first_output(c.n_out, b + 1) - first;
    const float* w = c.weights + static_cast<std::size_t>(first) * c.n_in * c.n_taps;
    switch (n) {
      case 6:
        convolve_tile<6, n_vectors>(c, in, w, first, at);
        break;
      case 5:
        convolve_tile<5, n_vectors>(c, in, w, first, at);
        break;
      case 4:
        convolve_tile<4, n_vectors>(c, in, w, first, at);
        break;
      case 3:
        convolve_tile<3, n_vectors>(c, in, w, first, at);
        break;
      case 2:
        convolve_tile<2, n_vectors>(c, in, w, first, at);
        break;
      default:
        convolve_tile<1, n_vectors>(c, in, w, first, at);
    }
  }
}

HWY_ATTR void convolve(const Convolution& c) {
  const std::size_t lanes = hn::Lanes(Floats());
  const PlaneShape& s = *c.shape;
  const std::size_t n_runs = s.flat ? 1 : s.n_slow;
  const std::size_t length = s.flat ? (s.n_slow - 1) * s.row + s.n_fast : s.n_fast;
  for (std::size_t r = 0; r < n_runs; ++r) {
    const std::size_t begin = s.first + r * s.row;
    for (std::size_t i = 0; i < length;) {
      const std::size_t left = (length - i + lanes - 1) / lanes;
      if (most_vectors == 4 && left >= 4) {
        convolve_outputs<most_vectors>(c, begin + i);
        i += 4 * lanes;
      } else if (most_vectors == 4 && left == 3) {
        convolve_outputs<(most_vectors == 4 ? 3 : 1)>(c, begin + i);
        i += 3 * lanes;
      } else if (left >= 2) {
        convolve_outputs<2>(c, begin + i);
        i += 2 * lanes;
      } else {
        convolve_outputs<1>(c, begin + i);
        i += lanes;
      }
    }
  }
}

template <int n_rows, int n_vectors>
HWY_INLINE void multiply_tile(const ComplexProduct& p, std::size_t row, std::size_t at) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  Vector re[n_rows][n_vectors], im[n_rows][n_vectors];
#pragma GCC unroll 8
  for (int r = 0; r < n_rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < n_vectors; ++v) re[r][v] = im[r][v] = hn::Zero(d);
  }
  const float *b_re = p.b_re + at, *b_im = p.b_im + at;
  for (std::size_t k = 0; k < p.n_inner; ++k, b_re += p.b_stride, b_im += p.b_stride) {
    Vector x[n_vectors], y[n_vectors];
#pragma GCC unroll 8
    for (int v = 0; v < n_vectors; ++v) {
      x[v] = hn::LoadU(d, b_re + v * lanes);
      y[v] = hn::LoadU(d, b_im + v * lanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; ++r) {
      const Vector a = hn::Set(d, p.a_re[(row + r) * p.a_stride + k]);
      const Vector b = hn::Set(d, p.a_im[(row + r) * p.a_stride + k]);
#pragma GCC unroll 8
      for (int v = 0; v < n_vectors; ++v) {
        re[r][v] = hn::NegMulAdd(b, y[v], hn::MulAdd(a, x[v], re[r][v]));
        im[r][v] = hn::MulAdd(b, x[v], hn::MulAdd(a, y[v], im[r][v]));
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < n_rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < n_vectors; ++v) {
      hn::StoreU(re[r][v], d, p.out_re + (row + r) * p.out_stride + at + v * lanes);
      hn::StoreU(im[r][v], d, p.out_im + (row + r) * p.out_stride + at + v * lanes);
    }
  }
}

template <int n_vectors>
HWY_INLINE void multiply_columns(const ComplexProduct& p, std::size_t at) {
  constexpr int rows = most_vectors == 4 ? 6 : 3;
  std::size_t r = 0;
  for (; r + rows <= p.n_rows; r += rows) multiply_tile<rows, n_vectors>(p, r, at);
  for (; r < p.n_rows; ++r) multiply_tile<1, n_vectors>(p, r, at);
}

HWY_ATTR void multiply(const ComplexProduct& p) {
  const std::size_t lanes = hn::Lanes(Floats());
  std::size_t at = 0;
  for (; at + 2 * lanes <= p.n_columns; at += 2 * lanes) multiply_columns<2>(p, at);
  for (; at < p.n_columns; at += lanes) multiply_columns<1>(p, at);
}

HWY_ATTR void log_magnitude(const float* re, const float* im, float gain, float scale,
                            std::size_t n, float* out) {
  const Floats d;
  const Vector g = hn::Set(d, gain), s = hn::Set(d, scale);
  for (std::size_t k = 0; k < n; k += hn::Lanes(d)) {
    const Vector x = hn::LoadU(d, re + k), y = hn::LoadU(d, im + k);
    const Vector power = hn::MulAdd(x, x, hn::Mul(y, y));
    hn::StoreU(hn::Mul(s, hn::Log1p(d, hn::Mul(g, power))), d, out + k);
  }
}

HWY_ATTR void squared_softplus(const float* in, float least, std::size_t n, float* out) {
  const Floats d;
  const Vector low = hn::Set(d, least);
  for (std::size_t k = 0; k < n; k += hn::Lanes(d)) {
    const Vector x = hn::Max(hn::LoadU(d, in + k), low);
    // ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|): e^x may be too large.
    const Vector rest = hn::Log1p(d, hn::Exp(d, hn::Neg(hn::Abs(x))));
    const Vector value = hn::Add(hn::Max(x, hn::Zero(d)), rest);
    hn::StoreU(hn::Mul(value, value), d, out + k);
  }
}

HWY_ATTR const Kernels* table() {
  static const Kernels of_target{hwy::TargetName(HWY_TARGET),
                                 hn::Lanes(Floats()),
                                 convolve,
                                 multiply,
                                 log_magnitude,
                                 squared_softplus};
  return &of_target;
}

}  // namespace HWY_NAMESPACE
}  // namespace inference
}  // namespace v0
}  // namespace chest
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace chest {
inline namespace v0 {
namespace inference {

HWY_EXPORT(table);

const Kernels& kernels() { return *HWY_DYNAMIC_DISPATCH(table)(); }

}  // namespace inference
}  // namespace v0
}  // namespace chest
#endif
