#pragma once

#include <armadillo>
#include <complex>

namespace chest {
inline namespace v0 {

/// Conjugate gradients for `times(x) = b`, every column on its own: x holds the start and gets the
/// solution. `times` is real-linear, symmetric and positive semidefinite in Re<a, b>, as every
/// Hermitian positive semidefinite operator is. A column stops at the tolerance, relative to b, or
/// where the operator turns out not to be positive.
/// @param x      start, [n, n_columns]; empty: zero
/// @param times  cx_mat -> cx_mat, [n, n_columns]
template <class Operator>
void conjugate_gradients(Operator&& times, const arma::cx_mat& b, arma::cx_mat& x,
                         arma::uword n_steps, double tolerance) {
  const auto products = [](const arma::cx_mat& a, const arma::cx_mat& c) {
    arma::rowvec out(a.n_cols);
    for (arma::uword k = 0; k < a.n_cols; ++k) out(k) = std::real(arma::cdot(a.col(k), c.col(k)));
    return out;
  };
  arma::cx_mat r = b;
  if (x.is_empty()) {
    x.zeros(b.n_rows, b.n_cols);
  } else {
    r -= times(x);
  }
  arma::cx_mat q = r;
  arma::rowvec power = products(r, r);
  const arma::rowvec enough = products(b, b) * (tolerance * tolerance);
  for (arma::uword i = 0; i < n_steps && arma::any(power > enough); ++i) {
    const arma::cx_mat Aq = times(q);
    for (arma::uword k = 0; k < q.n_cols; ++k) {
      const double curvature = std::real(arma::cdot(q.col(k), Aq.col(k)));
      if (!(power(k) > enough(k) && curvature > 0.0)) {
        q.col(k).zeros();
        power(k) = 0.0;
        continue;
      }
      const double step = power(k) / curvature;
      x.col(k) += step * q.col(k);
      r.col(k) -= step * Aq.col(k);
      const double next = std::real(arma::cdot(r.col(k), r.col(k)));
      q.col(k) = r.col(k) + (next / power(k)) * q.col(k);
      power(k) = next;
    }
  }
}

}  // namespace v0
}  // namespace chest
