#pragma once

#include <armadillo>

#include <chest/estimators/common/column_noise.hpp>
#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

/// Noisy channels made noisier, with what an unbiased estimate of an error needs:
///
///   z = h + n,  n ~ CN(0, sigma2 I);   x = z + m,  m ~ CN(0, (level - sigma2) I)
///   target = z - a m,   a = min(1, sigma2 / (level - sigma2)),   c = sigma2 - a (level - sigma2)
///
/// For any D that is differentiable almost everywhere, with J its Jacobian in 2 n_h real coordinates,
///
///   E||D(x) - h||^2 = E[ ||D(x) - target||^2 + c tr J(x) ] - n_h (sigma2 + a^2 (level - sigma2)),
///
/// because target = h + (n - a m), the noise of x is n + m, and the two have the covariance c I: Stein's lemma.
/// At level = sigma2 that is SURE. From 2 sigma2 on c = 0: the noise of the target is independent of x, and no
/// derivative is needed.
/// Source: [Stein1981], [Pang2021]; docs/adapt.md
struct Recorrupted {
  arma::cx_mat x, target;  ///< [n_h, n_samples]
  arma::vec c;             ///< [n_samples]
  arma::vec offset;        ///< n_h (sigma2 + a^2 (level - sigma2)), [n_samples]
};

/// @param sigma2  noise variance of each column of z, at most `level`
/// @throws Error(invalid_argument) if a noise variance is not positive, or above the level
Recorrupted recorrupt(const arma::cx_mat& z, const arma::vec& sigma2, double level,
                      ColumnNoise& noise);

/// b^T J b for columns of x, b of random signs in 2 n_h real coordinates: tr J in the mean, from a difference of D.
/// @param D  D(x, level), all columns
/// @return [columns.n_elem]
/// Source: [Hutchinson1990], [Ramani2008]
arma::vec probed_traces(const Denoiser& denoiser, const arma::cx_mat& x, double level,
                        const arma::cx_mat& D, const arma::uvec& columns, ColumnNoise& noise);

/// Unbiased estimates of ||D(x, level) - h||^2 from noisy channels alone, per column; single ones may be negative.
/// tr J comes from one random direction and a difference of D, where c > 0.
/// @param z       noisy channels, [n_h, n_samples]
/// @param sigma2  noise variance of each column, at most `level`
/// @return [n_samples]
/// @throws Error(invalid_argument) as recorrupt(), or if sizes differ
/// Source: [Stein1981], [Ramani2008], [Pang2021]
arma::vec unbiased_errors(const Denoiser& denoiser, const arma::cx_mat& z, const arma::vec& sigma2,
                          double level, ColumnNoise& noise);

}  // namespace v0
}  // namespace chest
