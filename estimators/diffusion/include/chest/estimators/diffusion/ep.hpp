#pragma once

#include <armadillo>
#include <memory>
#include <string>
#include <utility>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/errors.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// What the denoiser's message to the linear block says of its own error. Its input is white: the
/// denoiser is told one level.
enum class EpVariance {
  analytic,  ///< one variance, DenoiserErrors::mse
  rows,  ///< one per receive angle: the means over its transmit angles of DenoiserErrors::angular
  angular,  ///< one per angle, DenoiserErrors::angular
  head      ///< one per angle and channel, as the denoiser predicts it; channels go one by one
};
inline constexpr std::pair<EpVariance, const char*> ep_variance_names[] = {
    {EpVariance::analytic, "analytic"},
    {EpVariance::rows, "rows"},
    {EpVariance::angular, "angular"},
    {EpVariance::head, "head"}};

struct EpOptions {
  arma::uword n_iterations = 20;  ///< denoiser calls, >= 1
  /// Share of the new message, (0, 1]; with one variance from the second iteration on.
  double damping = 0.5;
  EpVariance variance = EpVariance::analytic;
  /// Estimates the channels whose messages do not settle: those that move by more than their own
  /// standard deviation in the last iteration, or leave the range of numbers. Null: they keep what
  /// they have.
  std::shared_ptr<const Estimator> fallback{};
  /// Per-entry error of the denoiser over noise levels, its "analytic variance"; `angular` beside it
  /// for all variances but analytic.
  DenoiserErrors errors{};
  /// Antennas of h, for all variances but analytic; 0: those of A's pilots.
  arma::uword n_rx = 0, n_tx = 0;
  std::string why_invalid() const;
};

inline constexpr auto ep_options = options_of<EpOptions>(
    option("iterations", &EpOptions::n_iterations, within(1, 100'000), "denoiser calls"),
    option("damping", &EpOptions::damping, up_to(0, 1),
           "share of the new message; variance=analytic: from the second iteration on"),
    option("variance", &EpOptions::variance, ep_variance_names,
           "of the network's message: one, per receive angle, per angle, per angle and channel"),
    option("fallback", &EpOptions::fallback, "estimates the channels that do not settle")
        .default_is("diffpir on the same prior; none: they keep what they have"));

/// Expectation propagation (vector approximate message passing) between the observation and the
/// prior: an LMMSE block and the denoiser exchange Gaussian messages from which their own
/// information has been removed. The fixed point approximates the posterior mean. Variances follow
/// from A, sigma2 and the denoiser's errors alone (but for EpVariance::head), so all channels share
/// the noise levels. Predicts its mse, the state evolution's.
///
/// With a variance per angle the linear block is AngularLmmse, a small system per receive angle for
/// A = P^T kron I, started from the variances at the highest level; the white message back has the
/// precision g2 of mean(1 / (g1 + g2)) = mean(v2). For a Gaussian prior that is white over angles the
/// denoiser's message is the prior, and the result LMMSE, whatever the pilots.
///
/// nfe is the largest of the batch: with the calls of the fallback
/// where a channel needed it.
///
/// @throws Error(invalid_argument) if sizes differ, or options are invalid
/// Source: [Rangan2019], [Opper2005]; docs/model.md
std::unique_ptr<Estimator> make_ep(std::shared_ptr<const ObservationOperator> A,
                                   std::shared_ptr<const Denoiser> denoiser,
                                   const EpOptions& options);

}  // namespace v0
}  // namespace chest
