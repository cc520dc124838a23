#pragma once

#include <armadillo>
#include <string>
#include <vector>

#include <chest/archive.hpp>
#include <chest/grid.hpp>

namespace chest {
inline namespace v0 {

/// The covariance that channels on a grid were drawn with, in closed form: a sum over paths, each
/// with its delay and its covariances over the receive antennas and over transmit antennas and symbols,
///
///   E h[r, t, f, s] conj(h[r', t', f', s']) =
///       sum_l (rx_l rx_l^H)[r, r'] (tx_l tx_l^H)[t s, t' s'] exp(-j 2 pi (f - f') spacing delay_l)
struct GridCovariance {
  struct Path {
    double delay_s = 0.0;
    arma::uword rx = 0;  ///< which of the factors `rx`
    arma::cx_mat tx;     ///< [n_tx n_symbols, rank], n_tx fastest; holds the power of the path
  };

  GridAxes grid;
  arma::uword n_rx = 0, n_tx = 0;
  std::vector<arma::cx_mat> rx;  ///< [n_rx, rank] each; one alone where all paths share it
  std::vector<Path> paths;

  /// Empty when usable; otherwise one sentence.
  std::string why_invalid() const;
  /// Of the first symbols of another grid. Where there is one symbol the channel stands still, for as
  /// many as are asked for.
  GridCovariance on(const GridAxes& other) const;
  /// Of `factor` times the channels.
  GridCovariance scaled(double factor) const;
};

/// F with F F^H = C, [n, rank]: what is below rounding is left out.
/// @param C  Hermitian, positive semidefinite
arma::cx_mat thin_factor(const arma::cx_mat& C);

/// To the group /grid_covariance of a file of channels.
void save(ArchiveWriter& archive, const GridCovariance& covariance);
/// @throws Error(format) if it is damaged
GridCovariance load_grid_covariance(const ArchiveReader& archive);

}  // namespace v0
}  // namespace chest
