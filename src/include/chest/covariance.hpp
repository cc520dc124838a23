#pragma once

#include <armadillo>

namespace chest {
inline namespace v0 {

/// Hermitian Toeplitz matrix from its first column: C[i, j] = t[i - j] for i >= j.
/// @param t  first column, [n]; t[0] real
arma::cx_mat toeplitz(const arma::cx_vec& t);

/// Eigendecomposition C = U diag(l) U^H of a Hermitian matrix, l ascending.
///
/// Called instead of arma::eig_sym, whose zheevd reads one column past the end of the matrix in OpenBLAS
/// 0.3.21 (zgemv on a row, in zlatrd, for n > 32): where that memory is not mapped, the process ends.
/// @param C  [n, n], Hermitian up to rounding
/// @throws Error(numeric) if the decomposition fails
void hermitian_eigen(const arma::cx_mat& C, arma::vec& l, arma::cx_mat& U);

/// A factor L with C = L L^H for a Hermitian positive semidefinite C, singular ones included
/// (by eigenvalues; those below zero by rounding are taken as zero).
/// @throws Error(numeric) if C has an eigenvalue below -1e-8 times the largest
arma::cx_mat covariance_factor(const arma::cx_mat& C);

/// What a genie knows of each channel: C_k = C_tx,k kron C_rx,k, both Hermitian Toeplitz and given
/// by their first columns. Column k belongs to channel k.
struct ToeplitzKroneckerCovariances {
  arma::cx_mat t_rx;  ///< [n_rx, n_samples]
  arma::cx_mat t_tx;  ///< [n_tx, n_samples]
  bool empty() const { return t_rx.n_cols == 0; }
};

/// Block-Toeplitz average of a covariance of vec(H): entries that belong to the same antenna
/// offsets (i_rx - j_rx, i_tx - j_tx) get their mean, as uniform linear arrays on both sides imply.
/// @param C  [n_rx n_tx, n_rx n_tx], Hermitian
/// @throws Error(invalid_argument) if C is not of that size
arma::cx_mat block_toeplitz_average(const arma::cx_mat& C, arma::uword n_rx, arma::uword n_tx);

}  // namespace v0
}  // namespace chest
