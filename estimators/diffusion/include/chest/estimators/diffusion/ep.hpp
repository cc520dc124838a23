#pragma once

#include <armadillo>
#include <memory>
#include <string>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/errors.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

struct EpOptions {
  arma::uword n_iterations = 20;  ///< denoiser calls, >= 1
  double damping = 0.5;           ///< share of the new message from the second iteration on, (0, 1]
  /// Estimates the channels whose messages do not settle: those that move by more than their own
  /// standard deviation in the last iteration, or leave the range of numbers. Null: they keep what
  /// they have.
  std::shared_ptr<const Estimator> fallback{};
  /// Per-entry error of the denoiser over noise levels, its "analytic variance".
  DenoiserErrors errors{};
  std::string why_invalid() const;
};

inline constexpr auto ep_options = options_of<EpOptions>(
    option("iterations", &EpOptions::n_iterations, within(1, 100'000), "denoiser calls"),
    option("damping", &EpOptions::damping, up_to(0, 1),
           "share of the new message from the second iteration on"),
    option("fallback", &EpOptions::fallback, "estimates the channels that do not settle")
        .default_is("diffpir on the same prior; none: they keep what they have"));

/// Expectation propagation (vector approximate message passing) between the observation and the
/// prior: an LMMSE block and the denoiser exchange Gaussian messages from which their own
/// information has been removed. The fixed point approximates the posterior mean. Variances follow
/// from A, sigma2 and the denoiser's errors alone, so all channels share the noise levels. Predicts
/// its mse, the state evolution's. nfe is the largest of the batch: with the calls of the fallback
/// where a channel needed it.
///
/// @throws Error(invalid_argument) if sizes differ, or options are invalid
/// Source: [Rangan2019], [Opper2005]; docs/model.md
std::unique_ptr<Estimator> make_ep(std::shared_ptr<const ObservationOperator> A,
                                   std::shared_ptr<const Denoiser> denoiser,
                                   const EpOptions& options);

}  // namespace v0
}  // namespace chest
