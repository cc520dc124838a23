#pragma once

#include <armadillo>
#include <cstdint>

#include <chest/estimators/prior/denoiser.hpp>
#include <chest/gaussian_mixture.hpp>

/// The probability-flow ODE dz / du = (z - D(z, tau2)) / 2, u = ln tau2, as a map from channels to noise and back.
namespace chest {
inline namespace v0 {

/// How Re tr J, J = dD / dz, is found.
enum class TraceRule {
  predicted,  ///< E||h - D||^2 / tau2 of the denoiser: exact where the denoiser is
  whole,      ///< 2 n_h passes
  probes      ///< random directions, the same at all levels
};

struct FlowOptions {
  double tau2_low = 1e-3, tau2_high = 400.0;  ///< cut to the range of the prior
  arma::uword n_steps = 100;                  ///< of Heun's rule, uniform in u; >= 1
  TraceRule trace = TraceRule::probes;
  arma::uword n_probes = 2;
  arma::cx_mat C = {};     ///< of the Gaussian at tau2_high, with tau2_high I; empty: I
  std::uint64_t seed = 1;  ///< of noise and probes
  std::uint64_t first_sample = 0;
};

/// ln p(z; tau2_low) in nats of each column of z,
///
///   ln CN(z_high; 0, C + tau2_high I) + integral of (n_h - Re tr J) du
///
/// @throws Error(invalid_argument) if sizes or options do not fit, or `predicted` is asked of a denoiser that predicts
///         no error
/// Source: [Song2021]
arma::vec flow_log_density(const Denoiser& denoiser, const arma::cx_mat& z,
                           const FlowOptions& options = {});

/// ln p(z; tau2) in nats of each column: h of the mixture and noise of variance tau2, in closed form.
/// @throws Error(invalid_argument) if sizes differ or tau2 is not positive
arma::vec mixture_log_density(const GaussianMixture& mixture, const arma::cx_mat& z, double tau2);

/// z = h + noise of variance tau2_low of the seed, in which both functions are asked. [n_h, n]
arma::cx_mat flow_start(const arma::cx_mat& h, const FlowOptions& options,
                        const Denoiser& denoiser);

/// Round trips from channels to noise and back on n_steps + 1 levels.
struct InversionReport {
  /// ||back - z|| / ||z|| over all channels: by DDIM, and by BDIA, whose steps invert exactly.
  double ddim = 0.0, bdia = 0.0;
  double latent_ddim = 0.0, latent_bdia = 0.0;  ///< power per entry of the noise, which is 1
};

/// BDIA goes on from two levels, i - 1 and i, to the next,
///
///   x_(i+1) = g x_(i-1) + (a_(i,i+1) - g a_(i,i-1)) x_i + (b_(i,i+1) - g b_(i,i-1)) e_i,   x = z / sqrt(1 + tau2)
///
/// a_ij = sqrt(v_j / v_i), b_ij = sqrt(1 - v_j) - a_ij sqrt(1 - v_i), v = 1 / (1 + tau2), e = (z - D) / tau: a line that is
/// solved for x_(i-1) as well.
/// @param g  0 < g <= 1; rounding grows by 1 / g a step
/// @throws Error(invalid_argument) if sizes or options do not fit
/// Source: [Zhang2024]
InversionReport measure_inversion(const Denoiser& denoiser, const arma::cx_mat& h, double g = 1.0,
                                  const FlowOptions& options = {});

}  // namespace v0
}  // namespace chest
