#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <string>

#include <chest/estimators/network/vae_model.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/observation.hpp>
#include <chest/run_control.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

struct VaeFitOptions {
  VaeConfig network;
  double learning_rate = 2e-3;  ///< Adam, > 0; warm-up, then a cosine to zero
  arma::uword batch = 32;       ///< > 0
  arma::uword max_epochs = 60;  ///< >= 1
  double max_minutes = 0.0;     ///< wall-clock limit; 0: none
  arma::uword patience = 15;    ///< epochs without a better validation loss until it stops
  std::uint64_t seed = 1;
  unsigned n_threads = 1;

  std::string why_invalid() const;
};

/// Fits encoder q(z | y) and decoder by the evidence lower bound of the channel,
///
///   E_q[ln CN(F h; m(z), diag c(z))] - KL(q(z | y) || N(0, I)),
///
/// with an encoder that sees noisy observations: A = I for half of the micro-batches and random
/// pilots, 1 .. n_tx of them, for the others; SNRs uniform in dB, a random phase for each channel.
/// Keeps the averaged weights of the best validation epoch. Depends on the seed, not on threads.
/// @throws Error(invalid_argument) if options or sizes do not fit, or chest was built without
///         LibTorch;  Error(numeric) if the loss is not finite
/// Source: [Baur2024], VAE-noisy
VaeModel fit_vae(const SampleReader& train, const SampleReader& validation,
                 const VaeFitOptions& options, const RunControl& control = {});

/// Conditional mean of the Gaussian that the decoder gives at the encoder's latent mean:
///
///   h_hat = m + C A^H (A C A^H + sigma2 I)^-1 (y - A m),   C = F^H diag c F,  m and c from A^+ y
///
/// for any A: elementwise where A^H A = c I, a solve of size n_pilots per angular receive row for
/// pilots, one of size n_obs otherwise. Predicts its mse, the trace of the posterior covariance.
///
/// @throws Error(invalid_argument) if A is null or not for the model's channels, the weights do not
///         fit, or chest was built without LibTorch
/// Source: [Baur2024]
std::unique_ptr<Estimator> make_vae(std::shared_ptr<const ObservationOperator> A,
                                    const VaeModel& model);

}  // namespace v0
}  // namespace chest
