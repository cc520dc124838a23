#pragma once

#include <armadillo>

#include <chest/random.hpp>

namespace chest {
inline namespace v0 {

/// L with L L^H = the Hermitian Toeplitz matrix of first column t. Lower triangular where Cholesky
/// works; 1e-12 on the diagonal, far below what a float32 file keeps, makes it work for the nearly
/// singular covariances of narrow clusters, at a tenth of the cost of an eigendecomposition.
arma::cx_mat toeplitz_factor(const arma::cx_vec& t);

/// Draws H = L_rx W L_tx^T with W iid CN(0, 1), so that vec(H) ~ CN(0, C_tx kron C_rx).
arma::cx_mat draw_kronecker(Rng& rng, const arma::cx_mat& L_rx, const arma::cx_mat& L_tx);

}  // namespace v0
}  // namespace chest
