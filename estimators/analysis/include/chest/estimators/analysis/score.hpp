#pragma once

#include <armadillo>
#include <cstdint>

#include <chest/estimators/prior/denoiser.hpp>

/// Whether (D(z, sigma2) - z) / sigma2 is the score of a density, and how many dimensions a prior has.
namespace chest {
inline namespace v0 {

struct ScoreCheckOptions {
  arma::uword n_probes = 4;     ///< directions per channel, >= 1
  arma::uword n_points = 8;     ///< Gauss-Legendre points of each side of a polygon, 2 .. 16
  double side = 1.0;            ///< of the polygons, over the noise sqrt(n_h sigma2); > 0
  arma::uword most_whole = 64;  ///< n_h up to which Jacobians are computed whole
  std::uint64_t seed = 1;
  std::uint64_t first_sample = 0;  ///< noise and directions are those of these samples
};

/// How far the field f = (D - z) / sigma2 is from a gradient.
struct ConservativityReport {
  /// ||J - J^T|| / ||J + J^T|| over the channels, from u^T J v and v^T J u with random u, v.
  double asymmetry = 0.0;
  /// Of parallelograms z, z + a, z + a + b, z + b: root mean square of the integral of <f, dl> around them over the
  /// root of the summed squares of their sides' integrals.
  double circulation = 0.0;
  /// The same predicted from J - J^T at z, by Stokes: a^T (J^T - J) b / sigma2.
  double stokes = 0.0;
  /// NMSE of D, and of the nearest thing to it that is conservative, the gradient of the potential that f has along
  /// rays from 0: D_c(z) = int_0^1 D(t z) + t J(t z)^T z dt, which is D where J is symmetric, and (J + J^T) z / 2 of a
  /// linear D. NaN for a denoiser without gradients.
  double nmse = 0.0, nmse_conservative = 0.0;
  double difference = 0.0;  ///< sum ||D_c - D||^2 / sum ||h||^2
};

/// @param h  channels, [n_h, n]; z = h + noise of the seed
/// @throws Error(invalid_argument) if sizes do not fit or an option is out of range
/// Source: [Horvat2024], [Vuong2025]
ConservativityReport measure_conservativity(const Denoiser& denoiser, const arma::cx_mat& h,
                                            double sigma2, const ScoreCheckOptions& options = {});

/// Laws that a score of the law of z keeps, with f = (D - z) / sigma2 and z = h + noise.
struct ScoreReport {
  /// -E Re<f, z> / n_h, 1 for a score (Stein).
  double stein = 0.0;
  /// ||E f||^2 over what its noise makes of it; near 1 for a score whose mean vanishes.
  double mean = 0.0;
  double predicted =
      0.0;  ///< (sigma2 / 2) tr J_r / n_h: the error that Tweedie's second formula tells
  double measured = 0.0;  ///< E||D - h||^2 / n_h
};
ScoreReport test_score(const Denoiser& denoiser, const arma::cx_mat& h, double sigma2,
                       const ScoreCheckOptions& options = {});

/// Complex dimensions of the prior at a noise level.
struct DimensionReport {
  double trace = 0.0;  ///< tr J_r / 2, mean over the channels
  double error = 0.0;  ///< E||D - h||^2 / sigma2
  /// Singular values of J_r above 1/2, halved, on the first channel; NaN beyond n_h = 256.
  double count = 0.0;
};
DimensionReport measure_dimension(const Denoiser& denoiser, const arma::cx_mat& h, double sigma2,
                                  const ScoreCheckOptions& options = {});

/// The noise of these reports: column k is that of sample first_sample + k. [n_h, n]
arma::cx_mat report_noise(arma::uword n_h, arma::uword n, double sigma2,
                          const ScoreCheckOptions& options);

}  // namespace v0
}  // namespace chest
