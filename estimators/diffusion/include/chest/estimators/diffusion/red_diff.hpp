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

struct RedDiffOptions {
  arma::uword n_iterations = 150;  ///< denoiser calls, >= 1
  /// Weight of the prior; 0: 5 sigma2.
  double lambda = 0.0;
  double learning_rate = 0.1;  ///< of Adam, falling linearly to 0; > 0
  double tau2_first = 10.0, tau2_last = 1e-4;
  std::string why_invalid() const;
};

inline constexpr auto red_diff_options = options_of<RedDiffOptions>(
    option("iterations", &RedDiffOptions::n_iterations, within(1, 100'000), "denoiser calls"),
    option("lambda", &RedDiffOptions::lambda, at_least(0), "weight of the prior")
        .default_is("0: 5 sigma2"),
    option("rate", &RedDiffOptions::learning_rate, above(0), "learning rate of Adam"));

/// RED-diff: a point mu fitted by Adam to the data and to the denoiser at falling noise levels,
///
///   gradient = A^H (A mu - y) + lambda (mu - D(mu + tau e)),   from mu = A^+ y
///
/// No gradient through the network. Seeks a mode, not the mean.
/// @throws Error(invalid_argument) if sizes differ or options are invalid
/// Source: [Mardani2024]
std::unique_ptr<Estimator> make_red_diff(std::shared_ptr<const ObservationOperator> A,
                                         std::shared_ptr<const Denoiser> denoiser,
                                         const RedDiffOptions& options = {});

}  // namespace v0
}  // namespace chest
