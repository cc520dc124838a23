#pragma once

#include <armadillo>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <chest/estimators/estimator.hpp>
#include <chest/estimators/network.hpp>
#include <chest/observation.hpp>
#include <chest/provenance.hpp>
#include <chest/run_control.hpp>
#include <chest/samples.hpp>

namespace chest {

/// Layers of a variational autoencoder: 3x3 convolutions with periodic edges and ReLU.
///
///   encoder: observation -> hidden[0] at full size -> hidden[1] at half of it on either side -> ..
///            -> linear -> mean and log variance of z
///   decoder: z -> linear -> .. -> hidden[1] -> hidden[0] -> mean and log c of the angular entries
struct VaeConfig {
  int latent = 32;                          ///< entries of z, 1 to 1024
  std::vector<int> hidden{16, 24, 32, 32};  ///< channels at full size, half, quarter ..
  bool zero_mean = false;  ///< h given z has mean 0: all that z says is the spectrum
  /// Range of SNRs that it is fitted for; levels outside count as its ends.
  static constexpr double snr_low_db = -20.0, snr_high_db = 40.0;

  std::string why_invalid() const;
};

/// What `chest fit vae` writes and the VAE estimator runs: a conditionally Gaussian prior,
///
///   F h | z ~ CN(m(z), diag c(z)),   z ~ N(0, I),   F the unitary 2-D DFT (AngularTransform).
struct VaeModel {
  arma::uword n_rx = 0, n_tx = 0;
  VaeConfig network;
  std::vector<NamedTensor> weights;
  /// Power normalisation of the fitting channels: h was scaled by this factor.
  double channel_scale = 1.0;
  arma::vec train_losses, validation_losses;  ///< minus the ELBO per entry of h, nats, per epoch
  std::string training_data;                  ///< JSON: file, dataset, samples, hash
  Provenance provenance;

  std::int64_t n_parameters() const;
};

void save(const std::filesystem::path& file, const VaeModel& model);
/// @throws Error(io) or Error(format) if the file is not a VAE model or is damaged
VaeModel load_vae_model(const std::filesystem::path& file);

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

}  // namespace chest
