#pragma once

#include <cstddef>
#include <vector>

#include "buffer.hpp"
#include "kernels.hpp"

namespace chest {
inline namespace v0 {
namespace inference {

/// Complex planes, real and imaginary parts apart: rows of `width` floats, a multiple of 16.
struct Planes {
  float *re = nullptr, *im = nullptr;
};

/// The unitary two-dimensional DFT of planes [n_slow, n_fast] as products with DFT matrices: at the
/// sizes of arrays that is as fast as a fast transform, and has no plan. A long slow axis is split in
/// two factors (Cooley and Tukey).
class PlaneTransform {
 public:
  PlaneTransform() = default;
  PlaneTransform(std::size_t n_slow, std::size_t n_fast);
  std::size_t width() const { return width_; }
  /// Floats of one real plane.
  std::size_t plane() const { return n_slow_ * width_; }
  /// In place; `scratch` is as large. Entries beyond n_fast of a row become zero.
  void forward(Planes z, Planes scratch) const { apply(z, scratch, false); }
  void inverse(Planes z, Planes scratch) const { apply(z, scratch, true); }

 private:
  /// exp(-j 2 pi k m / n) / sqrt(n), rows of `stride` floats; with its negative imaginary part, which is
  /// that of the inverse.
  struct Matrix {
    std::size_t n = 0, stride = 0;
    Buffer re, im, inverse_im;
  };
  static Matrix dft(std::size_t n, std::size_t stride);
  void apply(Planes z, Planes scratch, bool inverse) const;
  void slow_axis(Planes z, Planes scratch, bool inverse) const;

  std::size_t n_slow_ = 0, n_fast_ = 0, width_ = 0;
  Matrix fast_;
  std::size_t n_outer_ = 0, n_inner_ = 0;  ///< n_slow = n_outer n_inner
  Matrix outer_, inner_;
  Matrix twiddles_;  ///< [n_outer, n_inner]
};

}  // namespace inference
}  // namespace v0
}  // namespace chest
