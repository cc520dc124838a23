#pragma once

#include <armadillo>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/provenance.hpp>

namespace chest {
inline namespace v0 {

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
  GridStatistics grid = {};  ///< of channels on a grid, whose planes this is a model of

  std::int64_t n_parameters() const;
};

void save(const std::filesystem::path& file, const VaeModel& model);
/// @throws Error(io) or Error(format) if the file is not a VAE model or is damaged
VaeModel load_vae_model(const std::filesystem::path& file);

}  // namespace v0
}  // namespace chest
