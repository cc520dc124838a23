#pragma once

#include <armadillo>
#include <complex>
#include <numbers>

#include <chest/grid_covariance.hpp>

namespace chest::test {

/// C = E h h^H, entry by entry as the formula has it.
inline arma::cx_mat dense(const GridCovariance& covariance) {
  const GridAxes& grid = covariance.grid;
  const arma::uword n_rx = covariance.n_rx, n_tx = covariance.n_tx, n_f = grid.n_subcarriers;
  const arma::uword n_h = n_rx * n_tx * grid.n_elements();
  arma::cx_mat C(n_h, n_h, arma::fill::zeros);
  for (const GridCovariance::Path& path : covariance.paths) {
    const arma::cx_mat R_rx = covariance.rx[path.rx] * covariance.rx[path.rx].t();
    const arma::cx_mat R_tx = path.tx * path.tx.t();
    for (arma::uword j = 0; j < n_h; ++j) {
      for (arma::uword i = 0; i < n_h; ++i) {
        const arma::uword ti = i / n_rx % n_tx, tj = j / n_rx % n_tx;
        const arma::uword ei = i / (n_rx * n_tx), ej = j / (n_rx * n_tx);
        const double lag = double(ei % n_f) - double(ej % n_f);
        C(i, j) += R_rx(i % n_rx, j % n_rx) * R_tx(ti + n_tx * (ei / n_f), tj + n_tx * (ej / n_f)) *
                   std::polar(1.0, -2.0 * std::numbers::pi * lag * grid.spacing_hz * path.delay_s);
      }
    }
  }
  return C;
}

}  // namespace chest::test
