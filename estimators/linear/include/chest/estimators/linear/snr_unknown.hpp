#pragma once

#include <memory>

#include <chest/estimators/common/estimator.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// Estimates without being told the noise variance: it is fitted to each observation by maximum
/// likelihood under the estimator's own prior, as the fixed point of the EM step
///
///   sigma2 <- (||y - A h_hat||^2 + c mse) / n_obs,     c = ||A||_F^2 / n_h
///
/// with h_hat and mse at the present sigma2, found from above by secants in dB. Exact for an exact
/// conditional mean and A^H A = c I. Observation::sigma2 is not read; Estimate::sigma2 says what
/// was found. Channels at (nearly) one level share a call; nfe counts the calls of all rounds.
///
/// @param estimator  predicts its mse
/// @throws Error(invalid_argument) if one is null, or when the estimator predicts no mse
/// Source: [Dempster1977]; docs/model.md
std::unique_ptr<Estimator> make_noise_blind(std::shared_ptr<const ObservationOperator> A,
                                            std::shared_ptr<const Estimator> estimator);

/// An estimator that is told an SNR that is off by error_db: how much does it depend on it?
/// @throws Error(invalid_argument) if the estimator is null or error_db is not finite
std::unique_ptr<Estimator> make_misinformed(std::shared_ptr<const Estimator> estimator,
                                            double error_db);

}  // namespace v0
}  // namespace chest
