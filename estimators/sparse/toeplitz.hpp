#pragma once

#include <armadillo>

namespace chest {
inline namespace v0 {

/// What a positive definite Hermitian Toeplitz matrix S, S(i, j) = c(i - j), says of a vector x, in
/// O(n^2) operations and O(n) memory.
struct ToeplitzSolution {
  arma::cx_vec solution;  ///< S^-1 x, [n]
  /// Sums along the diagonals of S^-1, q(k) = sum_i S^-1(i + k, i), [n].
  arma::cx_vec diagonals;
};

/// @param column  c(0) .. c(n - 1), the first column of S
/// @param x       [n]
/// @returns       false where S is not positive definite, to rounding; `out` is then not to be used
/// Source: the recursions of Levinson and Durbin, [Golub2013] 4.7; q from the formula of Gohberg and
/// Semencul for the inverse, [Musicus1985]
bool solve_toeplitz(const arma::cx_double* column, const arma::cx_double* x, arma::uword n,
                    ToeplitzSolution& out);

}  // namespace v0
}  // namespace chest
