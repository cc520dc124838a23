#pragma once

#include <armadillo>
#include <string>

#include <chest/observation.hpp>

/// Positive quantities, such as the power of each angle or delay, by the logarithm: what is additive there is
/// multiplicative here, and no estimate is negative (docs/sampling.md).
namespace chest {
inline namespace v0 {

/// ln p ~ N(mean, C).
struct LogNormalPrior {
  arma::vec mean;  ///< [n]
  arma::mat C;     ///< [n, n], positive semidefinite
  /// Empty when usable; otherwise one sentence.
  std::string why_invalid() const;
};

/// Mean and covariance of ln p over samples, the covariance shrunk to its diagonal as far as its error asks for.
/// @param p  positive, [n, n_samples]
/// @throws Error(invalid_argument) if there are fewer than two samples, or a value is not positive and finite
/// Source: [Schaefer2005] for the shrinkage
LogNormalPrior fit_log_normal(const arma::mat& p);

/// A log-normal posterior.
struct LogNormal {
  arma::mat log_mean;      ///< [n, n_samples]; its exponential is the median
  arma::mat log_variance;  ///< of each entry, [n, n_samples]
  /// E p = exp(log_mean + log_variance / 2) > 0
  arma::mat mean() const;
};

/// p given q = p exp(e), e ~ N(0, noise I): the Gaussian denoiser on ln q. Exact.
/// @param q      positive, [n, n_samples]
/// @param noise  variance of the logarithm, > 0
/// @throws Error(invalid_argument) if sizes differ, or q or noise are not positive and finite
/// Source: [Shetty2025]
LogNormal denoise_log_normal(const LogNormalPrior& prior, const arma::mat& q, double noise);

/// Power of each entry of z = x + n, x_i ~ CN(0, p_i), n ~ CN(0, sigma2 I), from few snapshots: the likelihood
///
///   prod_i (p_i + sigma2)^-n exp(-n q_i / (p_i + sigma2)),     q_i mean |z_i|^2 of n snapshots
///
/// as a normal one of ln p around the mode with the prior (Laplace). Each Newton step to it is the denoiser above with a
/// noise level for each entry, and multiplies p by a factor.
/// @param q            mean power of the snapshots, >= 0, [n, n_samples]
/// @param n_snapshots  >= 1
/// @throws Error(invalid_argument) if sizes differ or a number is out of range
/// @throws Error(numeric) if the steps do not settle
/// Source: [Shetty2025] for the domain; docs/sampling.md
LogNormal power_profile(const LogNormalPrior& prior, const arma::mat& q, arma::uword n_snapshots,
                        double sigma2);

}  // namespace v0
}  // namespace chest
