#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <string>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

struct CoarseToFineOptions {
  double step = 0.05;                 ///< h0, first share of the residual that is taken, (0, 1]
  double noise = 0.3;                 ///< beta: 1 puts no noise in, 0 all that was removed; 0 .. 1
  double last_tau = 0.02;             ///< stop at this residual; > 0
  arma::uword most_iterations = 400;  ///< >= 1
  std::string why_invalid() const;
};

inline constexpr auto coarse_to_fine_options = options_of<CoarseToFineOptions>(
    option("iterations", &CoarseToFineOptions::most_iterations, within(1, 100'000), "most steps"),
    option("step", &CoarseToFineOptions::step, up_to(0, 1), "first share of the residual"),
    option("noise", &CoarseToFineOptions::noise, within(0, 1), "1 puts no noise in"),
    option("last", &CoarseToFineOptions::last_tau, above(0), "residual at which it stops"));

/// Stochastic coarse-to-fine ascent with a denoiser that is not told the noise level: each step
/// takes a growing share of the denoiser's residual, outside the row space of A, and of the way to
/// the data inside it, and puts in less noise than it removed. The level is read off the residual.
/// For noisy pilots it stops at sigma / s_max, and ends with a proximal step there, so that the
/// noise is not copied into h.
/// @throws Error(invalid_argument) if sizes differ, options are invalid or the denoiser is not
/// blind()
/// Source: [Kadkhodaie2021], [Kadkhodaie2024]
std::unique_ptr<Estimator> make_coarse_to_fine(std::shared_ptr<const ObservationOperator> A,
                                               std::shared_ptr<const Denoiser> denoiser,
                                               const CoarseToFineOptions& options = {});

}  // namespace v0
}  // namespace chest
