#pragma once

#include <armadillo>

#include <chest/estimators/common/column_noise.hpp>
#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

/// Columns z with a noise level each, as Langevin-Gibbs moves them.
struct LeveledStates {
  arma::cx_mat z;    ///< [n_h, n_samples]
  arma::uvec level;  ///< index into the levels, [n_samples]
};

/// D at each column's own level, and with `slope` d ln p(z; tau2) / d ln tau2,
///
///   tr J - n_h + ||D - z||^2 / tau2,   tr J = E||h - D||^2 / tau2
///
/// where the denoiser predicts its error.  Source: [Efron2011]
arma::cx_mat denoise_leveled(const Denoiser& denoiser, const arma::vec& levels,
                             const LeveledStates& states, arma::vec* slope = nullptr);

/// Sweeps of a chain whose law is the sum of p(z; tau2) over the levels, each as likely: a Langevin step of
/// size step tau2, then a Metropolis move to a level beside, by the trapezoidal rule over d ln p / d ln tau2.
/// Two calls each, and one before. Changes `states`.
/// Source: [Kim2023], which goes on from the lowest level visited: that choice would change the law.
void langevin_gibbs(const Denoiser& denoiser, const arma::vec& levels, double step,
                    arma::uword sweeps, LeveledStates& states, ColumnNoise& noise);

}  // namespace v0
}  // namespace chest
