#pragma once

#include <armadillo>

#include <chest/estimators/common/column_noise.hpp>
#include <chest/estimators/prior/denoiser.hpp>

/// Paths from an observation to the channel that carry the residual beside the noise. For white noise they are
/// no better than one call; docs/sampling.md says what each is worth.
namespace chest {
inline namespace v0 {

/// States x_t = h + a_t (y - h) + b_t eps, eps ~ CN(0, I), from the first level to the last; all end at h, a = b = 0,
/// after it. Variance exploding: a = 0, b = sigma. Of a mean mu in place of y, a = 1 - alpha, b = sqrt(1 - alpha^2):
/// mean reverting.
struct ResidualPath {
  arma::vec a;  ///< part of the residual, 1 .. 0, [n]
  arma::vec b;  ///< noise, > 0, [n]
};

/// a = eta_t, b = kappa sqrt(eta_t), sqrt(eta) from 1 to min(m / kappa, m) geometrically in ((t - 1) / (n - 1))^p.
/// @throws Error(invalid_argument) if n < 2 or another is not positive
/// Source: [Yue2023]
ResidualPath resshift_path(arma::uword n, double kappa, double p = 0.3, double m = 0.2);

/// a = sum of al_i ~ n + 1 - i, b^2 = sum of be_i ~ i up to step t, of sums 1 and sum_scale.
/// @throws Error(invalid_argument) if n is 0 or sum_scale is not positive
/// Source: [Liu2024]
ResidualPath rddm_path(arma::uword n, double sum_scale);

/// a = (1 - sqrt(ab)) / sqrt(ab), b = sqrt((1 - ab) / ab) of the alphas_cumprod ab of a schedule up to the first
/// sqrt(ab) nearest 1 / 2, which becomes 1 / 2: a = 1 there. The state is that of Resfusion over sqrt(ab).
/// @param alphas_cumprod  descending, [n_steps]
/// @throws Error(invalid_argument) if it does not come near 1 / 2
/// Source: [Shi2023]
ResidualPath resfusion_path(const arma::vec& alphas_cumprod);

/// One step of every path, from level t to s < t, h_hat = E[h | x_t, y] or a network's:
///
///   x_s = h_hat + a_s (y - h_hat) + sqrt(b_s^2 - v) e + sqrt(v) w,   e = (x_t - h_hat - a_t (y - h_hat)) / b_t,
///   v = eta (b_t^2 - b_s^2) b_s^2 / b_t^2
///
/// eta = 1 without w forwards the means (DMSE where a = 0), eta = 0 is the deterministic flow.
/// @param w  CN(0, I), as x; empty: left out
arma::cx_mat residual_step(const arma::cx_mat& x, const arma::cx_mat& h_hat, const arma::cx_mat& y,
                           double a_t, double b_t, double a_s, double b_s, double eta,
                           const arma::cx_mat& w = {});

/// E[h | x_t, y] for y = h + n, n ~ CN(0, sigma2 I): with u = (x_t - a y) / (1 - a), of noise t2 = (b / (1 - a))^2,
///
///   D((y / sigma2 + u / t2) / (1 / sigma2 + 1 / t2), 1 / (1 / sigma2 + 1 / t2));   D(y, sigma2) where a = 1
arma::cx_mat residual_mean(const Denoiser& D, const arma::cx_mat& x, const arma::cx_mat& y,
                           double sigma2, double a, double b);

/// How a path is walked.
struct ResidualWalk {
  double eta = 1.0;          ///< 0 .. 1
  bool noise = false;        ///< new noise in each step: a draw of the posterior for eta = 1
  bool start_noise = false;  ///< x_1 = y + (1 - a_1) 0 + b_1 eps; false: y, the start without noise
};

/// Walks a path from y to an estimate of h, one call a level.
/// @param noise  what is drawn for each column
/// @throws Error(invalid_argument) if the path is empty, not from 1 down, or sizes differ
arma::cx_mat walk_residual_path(const Denoiser& D, const ResidualPath& path, const arma::cx_mat& y,
                                double sigma2, const ResidualWalk& walk, ColumnNoise& noise);

}  // namespace v0
}  // namespace chest
