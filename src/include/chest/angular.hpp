#pragma once

#include <armadillo>

#include <chest/grid.hpp>

namespace chest {
inline namespace v0 {

/// Antenna domain <-> angular domain: the unitary two-dimensional DFT of each channel matrix.
///
///   H_ang = F_rx H F_tx^T,   F[m, n] = exp(-j 2 pi m n / M) / sqrt(M),   no shift of the bins
///
/// Noise stays CN(0, sigma2 I) and norms are kept, so NMSE and SNR are the same in both domains.
class AngularTransform {
 public:
  /// @throws Error(invalid_argument) if n_rx or n_tx is 0
  AngularTransform(arma::uword n_rx, arma::uword n_tx);

  /// Columns h -> angular columns, [n_rx * n_tx, n_samples]; `out` may be `in`.
  /// @throws Error(invalid_argument) if `in` does not have n_rx * n_tx rows
  void forward(const arma::cx_mat& in, arma::cx_mat& out) const;
  /// The inverse of forward.
  void inverse(const arma::cx_mat& in, arma::cx_mat& out) const;
  arma::cx_mat forward(const arma::cx_mat& in) const;
  arma::cx_mat inverse(const arma::cx_mat& in) const;

  arma::uword n_rx() const { return F_rx_.n_rows; }
  arma::uword n_tx() const { return F_tx_.n_rows; }

 private:
  arma::cx_mat F_rx_, F_tx_;
};

/// Unitary DFT matrix, [n, n]: F[m, k] = exp(-j 2 pi m k / n) / sqrt(n).
arma::cx_mat dft_matrix(arma::uword n);

/// A unitary mix of the antennas of a panel, [n, n], whose dft_matrix(n) is the transform of the panel:
/// F_n W holds the rows of I_polarisations kron F_columns kron F_rows, those of the columns first, then
/// those of the rows, then the polarisations. What works on the angles of a line works on those of a
/// panel after it. The identity for a line of n antennas.
/// @throws Error(invalid_argument) if the panel does not have n antennas
arma::cx_mat panel_mix(const PanelShape& panel, arma::uword n);

/// Responses of a panel on a grid of angles, [n, oversampled rows x columns x polarisations], unit
/// columns; a path of one polarisation is a column. For a line steering_vectors(n, oversampling). A
/// panel of one row or column is not oversampled along it.
/// @param mixed  times panel_mix()
/// @throws Error(invalid_argument) if the panel does not have n antennas
arma::cx_mat panel_steering_vectors(const PanelShape& panel, arma::uword n,
                                    arma::uword oversampling, bool mixed = false);

/// Responses of a uniform linear array on a grid of angles, [n, oversampling n], unit columns:
/// G[m, k] = exp(j 2 pi m k / (oversampling n)) / sqrt(n).  A path is the channel g_rx g_tx^T.
arma::cx_mat steering_vectors(arma::uword n, arma::uword oversampling);

}  // namespace v0
}  // namespace chest
