#include <chest/paths.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace chest {
inline namespace v0 {
namespace {

/// exp(j 2 pi f spacing delay), [n_subcarriers, n_paths]
arma::cx_mat steering(const arma::rowvec& delays, const GridAxes& grid) {
  arma::cx_mat E(grid.n_subcarriers, delays.n_elem, arma::fill::none);
  for (arma::uword p = 0; p < delays.n_elem; ++p) {
    fill_geometric(grid.spacing_hz * delays(p), grid.n_subcarriers, E.colptr(p));
  }
  return E;
}

}  // namespace

void fill_geometric(double cycles, arma::uword n, std::complex<double>* out) {
  // Multiplied from one to the next, and begun anew before rounding adds up.
  constexpr arma::uword run = 64;
  const double step = cycles - std::round(cycles);
  const double cos_q = std::cos(2.0 * std::numbers::pi * step);
  const double sin_q = std::sin(2.0 * std::numbers::pi * step);
  for (arma::uword first = 0; first < n; first += run) {
    const double turns = static_cast<double>(first) * step;
    const double angle = 2.0 * std::numbers::pi * (turns - std::round(turns));
    double re = std::cos(angle), im = std::sin(angle);
    const arma::uword end = std::min(first + run, n);
    for (arma::uword k = first; k < end; ++k) {
      out[k] = {re, im};
      const double next = re * cos_q - im * sin_q;
      im = re * sin_q + im * cos_q;
      re = next;
    }
  }
}

void put_on_grid(const Paths& paths, const GridAxes& grid, std::complex<double>* out) {
  const arma::uword n_pairs = paths.gains.n_rows, n_paths = paths.gains.n_cols;
  const arma::uword n_f = grid.n_subcarriers, n_s = grid.n_symbols;
  const arma::uword n_different = std::min<arma::uword>(paths.gains.n_slices, n_s);
  if (paths.delays.n_rows == 1) {
    const arma::cx_mat E = steering(paths.delays.row(0), grid);
    for (arma::uword s = 0; s < n_different; ++s) {
      arma::cx_mat H(out + s * n_pairs * n_f, n_pairs, n_f, false, true);
      H = paths.gains.slice(s) * E.t();
    }
  } else {
    arma::cx_mat of_pair(n_different, n_paths);
    for (arma::uword i = 0; i < n_pairs; ++i) {
      const arma::cx_mat E = steering(paths.delays.row(i), grid);
      for (arma::uword s = 0; s < n_different; ++s) {
        for (arma::uword p = 0; p < n_paths; ++p) of_pair(s, p) = paths.gains(i, p, s);
      }
      const arma::cx_mat H = of_pair * E.t();
      for (arma::uword s = 0; s < n_different; ++s) {
        for (arma::uword f = 0; f < n_f; ++f) out[(s * n_f + f) * n_pairs + i] = H(s, f);
      }
    }
  }
  for (arma::uword s = n_different; s < n_s; ++s) {
    std::copy_n(out, n_pairs * n_f, out + s * n_pairs * n_f);
  }
}

}  // namespace v0
}  // namespace chest
