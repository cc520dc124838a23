#include "plane_transform.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace chest {
inline namespace v0 {
namespace inference {
namespace {

/// Below this a product with the whole matrix is faster than two smaller ones.
constexpr std::size_t longest_dense = 24;

/// The largest divisor of n that is not above its root.
std::size_t lower_factor(std::size_t n) {
  for (auto f = static_cast<std::size_t>(std::sqrt(static_cast<double>(n))); f > 1; --f) {
    if (n % f == 0) return f;
  }
  return 1;
}

}  // namespace

PlaneTransform::Matrix PlaneTransform::dft(std::size_t n, std::size_t stride) {
  Matrix out;
  out.n = n;
  out.stride = stride;
  for (Buffer* part : {&out.re, &out.im, &out.inverse_im}) *part = Buffer(n * stride);
  const double scale = 1.0 / std::sqrt(static_cast<double>(n));
  for (std::size_t k = 0; k < n; ++k) {
    for (std::size_t m = 0; m < n; ++m) {
      const double angle = -2.0 * M_PI * static_cast<double>(k * m % n) / static_cast<double>(n);
      const std::size_t at = k * stride + m;
      out.re[at] = static_cast<float>(scale * std::cos(angle));
      out.im[at] = static_cast<float>(scale * std::sin(angle));
      out.inverse_im[at] = -out.im[at];
    }
  }
  return out;
}

PlaneTransform::PlaneTransform(std::size_t n_slow, std::size_t n_fast)
    : n_slow_(n_slow), n_fast_(n_fast), width_(rounded_up(n_fast)) {
  fast_ = dft(n_fast, width_);
  n_outer_ = n_slow > longest_dense ? lower_factor(n_slow) : 1;
  n_inner_ = n_slow / n_outer_;
  inner_ = dft(n_inner_, n_inner_);
  if (n_outer_ == 1) return;
  outer_ = dft(n_outer_, n_outer_);
  twiddles_.n = n_outer_;
  twiddles_.stride = n_inner_;
  for (Buffer* part : {&twiddles_.re, &twiddles_.im, &twiddles_.inverse_im}) {
    *part = Buffer(n_slow);
  }
  for (std::size_t k = 0; k < n_outer_; ++k) {
    for (std::size_t m = 0; m < n_inner_; ++m) {
      const double angle = -2.0 * M_PI * static_cast<double>(k * m) / static_cast<double>(n_slow);
      const std::size_t at = k * n_inner_ + m;
      twiddles_.re[at] = static_cast<float>(std::cos(angle));
      twiddles_.im[at] = static_cast<float>(std::sin(angle));
      twiddles_.inverse_im[at] = -twiddles_.im[at];
    }
  }
}

void PlaneTransform::slow_axis(Planes z, Planes scratch, bool inverse) const {
  const Kernels& work = kernels();
  const auto imaginary = [&](const Matrix& m) {
    return inverse ? m.inverse_im.data() : m.im.data();
  };
  if (n_outer_ == 1) {
    work.multiply({n_slow_, n_slow_, width_, inner_.re.data(), imaginary(inner_), n_slow_, z.re,
                   z.im, width_, scratch.re, scratch.im, width_});
    std::memcpy(z.re, scratch.re, plane() * sizeof(float));
    std::memcpy(z.im, scratch.im, plane() * sizeof(float));
    return;
  }
  // Row m = n_inner m1 + m2 of z, row k = k1 + n_outer k2 of the result.
  const std::size_t run = n_inner_ * width_;
  work.multiply({n_outer_, n_outer_, run, outer_.re.data(), imaginary(outer_), n_outer_, z.re, z.im,
                 run, scratch.re, scratch.im, run});
  const float *t_re = twiddles_.re.data(), *t_im = imaginary(twiddles_);
  for (std::size_t row = 0; row < n_slow_; ++row) {
    float *re = scratch.re + row * width_, *im = scratch.im + row * width_;
    const float a = t_re[row], b = t_im[row];
    for (std::size_t j = 0; j < width_; ++j) {
      const float x = re[j], y = im[j];
      re[j] = a * x - b * y;
      im[j] = a * y + b * x;
    }
  }
  for (std::size_t k1 = 0; k1 < n_outer_; ++k1) {
    work.multiply({n_inner_, n_inner_, width_, inner_.re.data(), imaginary(inner_), n_inner_,
                   scratch.re + k1 * run, scratch.im + k1 * run, width_, z.re + k1 * width_,
                   z.im + k1 * width_, n_outer_ * width_});
  }
}

void PlaneTransform::apply(Planes z, Planes scratch, bool inverse) const {
  slow_axis(z, scratch, inverse);
  kernels().multiply({n_slow_, n_fast_, width_, z.re, z.im, width_, fast_.re.data(),
                      inverse ? fast_.inverse_im.data() : fast_.im.data(), width_, scratch.re,
                      scratch.im, width_});
  std::memcpy(z.re, scratch.re, plane() * sizeof(float));
  std::memcpy(z.im, scratch.im, plane() * sizeof(float));
}

}  // namespace inference
}  // namespace v0
}  // namespace chest
