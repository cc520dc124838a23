#include "toeplitz.hpp"

#include <algorithm>
#include <cmath>
#include <complex>

namespace chest {
inline namespace v0 {
namespace {

using Complex = std::complex<double>;

/// a conj(b), without the care for infinities that operator* takes.
Complex product_conj(Complex a, Complex b) {
  return {a.real() * b.real() + a.imag() * b.imag(), a.imag() * b.real() - a.real() * b.imag()};
}

/// sum_j a(j) b(j).
Complex sum_of_products(const Complex* a, const Complex* b, arma::uword n) {
  // Four sums side by side: one alone would wait for itself.
  double re0 = 0.0, im0 = 0.0, re1 = 0.0, im1 = 0.0;
  for (arma::uword j = 0; j < n; ++j) {
    re0 += a[j].real() * b[j].real();
    re1 += a[j].imag() * b[j].imag();
    im0 += a[j].real() * b[j].imag();
    im1 += a[j].imag() * b[j].real();
  }
  return {re0 - re1, im0 + im1};
}

}  // namespace

bool solve_toeplitz(const arma::cx_double* column, const arma::cx_double* x, arma::uword n,
                    ToeplitzSolution& out) {
  arma::cx_vec backwards(n);  // c(n - 1) .. c(0)
  std::reverse_copy(column, column + n, backwards.begin());
  // S_m a = error e_0 for the leading block S_m of size m, a(0) = 1; S_m u = x(0 .. m - 1).
  arma::cx_vec a(n, arma::fill::zeros), &u = out.solution;
  u.zeros(n);
  double error = column[0].real();
  if (!(error > 0.0)) return false;
  a(0) = 1.0;
  u(0) = x[0] / error;
  for (arma::uword m = 1; m < n; ++m) {
    // c(m) .. c(1) beside a(0) .. a(m - 1).
    const Complex* c = backwards.memptr() + (n - 1 - m);
    const Complex k = -sum_of_products(c, a.memptr(), m) / error;
    error *= 1.0 - std::norm(k);
    if (!(error > 0.0)) return false;
    // a <- (a, 0) + k (0, conj of a backwards), both ends at once.
    for (arma::uword i = 0, j = m; i <= j; ++i, --j) {
      const Complex head = a(i), tail = a(j);
      a(i) = head + product_conj(k, tail);
      a(j) = tail + product_conj(k, head);
    }
    const Complex step = (x[m] - sum_of_products(c, u.memptr(), m)) / error;
    for (arma::uword i = 0; i <= m; ++i) u(i) += product_conj(step, a(m - i));
  }
  arma::cx_vec weighted(n);
  for (arma::uword i = 0; i < n; ++i) weighted(i) = static_cast<double>(i) * a(i);
  out.diagonals.set_size(n);
  for (arma::uword k = 0; k < n; ++k) {
    const Complex plain = arma::cdot(a.head(n - k), a.tail(n - k));
    const Complex rising = arma::cdot(weighted.head(n - k), a.tail(n - k));
    out.diagonals(k) = (static_cast<double>(n - k) * plain - 2.0 * rising) / error;
  }
  return true;
}

}  // namespace v0
}  // namespace chest
