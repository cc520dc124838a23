#pragma once

#include <armadillo>

namespace chest {
inline namespace v0 {

/// ||h_hat_k - h_k||^2 per column, [n_samples].
/// @throws Error(invalid_argument) if the sizes differ
arma::vec squared_errors(const arma::cx_mat& h_hat, const arma::cx_mat& h);
/// ||h_k||^2 per column, [n_samples].
arma::vec squared_norms(const arma::cx_mat& h);
/// ||X||^2, the sum over all entries.
double squared_norm(const arma::cx_mat& X);
/// |X_ij|^2, of the size of X, without the square root that arma::abs takes of every entry.
arma::mat squared_magnitudes(const arma::cx_mat& X);
/// sum ||h_hat - h||^2 / sum ||h||^2 over all columns, linear.
/// @throws Error(invalid_argument) if the sizes differ;  Error(numeric) if h is zero
double nmse(const arma::cx_mat& h_hat, const arma::cx_mat& h);

/// 10 log10(x) and back.
double to_db(double linear);
double from_db(double db);

}  // namespace v0
}  // namespace chest
