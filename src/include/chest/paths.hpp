#pragma once

#include <armadillo>
#include <complex>

#include <chest/grid.hpp>

namespace chest {
inline namespace v0 {

/// One wideband channel as paths: what files hold in place of grids.
struct Paths {
  arma::cx_cube gains;  ///< [n_rx n_tx, n_paths, n_symbols]; one symbol: the channel stands still
  arma::mat delays;     ///< in s, >= 0, [1, n_paths], or [n_rx n_tx, n_paths] of each antenna pair
};

/// The channel on a grid, subcarrier f counted from 0:
///
///   h[r, t, f, s] = sum_p gains[r, t, p, s] exp(-j 2 pi f spacing_hz delays[p])
///
/// @param grid  of at most as many symbols as the gains have, where these have more than one
/// @param out   [n_rx n_tx, n_subcarriers, n_symbols], the first fastest
void put_on_grid(const Paths& paths, const GridAxes& grid, std::complex<double>* out);

/// exp(j 2 pi k cycles), k = 0 .. n - 1, to rounding for any n.
void fill_geometric(double cycles, arma::uword n, std::complex<double>* out);

}  // namespace v0
}  // namespace chest
