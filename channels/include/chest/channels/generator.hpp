#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <chest/channels/dataset.hpp>
#include <chest/gaussian_mixture.hpp>

namespace chest {
inline namespace v0 {

/// Draws channels. Sample i depends on (seed, i) alone, so blocks can be drawn in any order by any
/// number of threads. E||h||^2 = n_h over the ensemble.
class ChannelGenerator {
 public:
  virtual ~ChannelGenerator() = default;
  virtual arma::uword n_rx() const = 0;
  virtual arma::uword n_tx() const = 0;
  /// Generator and options as JSON: recorded in files.
  virtual std::string describe() const = 0;
  /// Samples first .. first + count - 1, with their covariances where the model has per-sample
  /// ones.
  virtual ChannelBlock generate(std::uint64_t seed, std::uint64_t first,
                                arma::uword count) const = 0;
  /// The exact prior, where it is a mixture of few Gaussians.
  virtual std::optional<GaussianMixture> prior() const { return {}; }
};

/// 3GPP spatial channel model: per channel n_paths Laplacian power angular spectra, half-wavelength
/// uniform linear arrays on both sides.
struct ScmOptions {
  arma::uword n_rx = 64, n_tx = 16;
  arma::uword n_paths = 3;
  double spread_rx_deg = 2.0;   ///< standard deviation of the Laplacian, base station
  double spread_tx_deg = 35.0;  ///< mobile station
  std::string why_invalid() const;
};
/// h ~ CN(0, C_tx kron C_rx) with C per channel from the cluster angles and gains; the covariances
/// come with the channels.
/// Source: [3GPP25996]; [Neumann2018]; the grid and normalisation of the DMSE letter's data
std::unique_ptr<ChannelGenerator> make_scm(const ScmOptions& options);

/// Power over the spatial frequency of one side of the SCM, mean 1, [100 n_antennas]: entry n is at
/// u = 2 pi (n + 1/3) / (100 n_antennas) - pi, where u = pi sin(angle from broadside).
/// @param gains       path powers, sum 1, [n_paths]
/// @param angles_deg  path angles in [-90, 90], [n_paths]
/// @throws Error(invalid_argument) if the sizes differ, a value is out of range, or the spread is
/// not
///         in 0.1 .. 180
arma::vec scm_power_spectrum(const arma::vec& gains, const arma::vec& angles_deg, double spread_deg,
                             arma::uword n_antennas);
/// First column of the Toeplitz covariance of one side of the SCM, [n_antennas]: the discrete
/// Fourier transform of scm_power_spectrum. Parameters and errors as there.
arma::cx_vec scm_covariance(const arma::vec& gains, const arma::vec& angles_deg, double spread_deg,
                            arma::uword n_antennas);

/// h ~ CN(0, I).
std::unique_ptr<ChannelGenerator> make_rayleigh(arma::uword n_rx, arma::uword n_tx);

/// h ~ CN(0, C_tx kron C_rx) with exponential correlation, C[i, j] = rho^|i - j|.
struct KroneckerOptions {
  arma::uword n_rx = 64, n_tx = 16;
  double rho_rx = 0.9, rho_tx = 0.5;  ///< 0 .. < 1
  std::string why_invalid() const;
};
std::unique_ptr<ChannelGenerator> make_kronecker(const KroneckerOptions& options);

/// h from a Gaussian mixture of angular clusters, the prior whose conditional mean is known:
/// component k is CN(0, C_tx,k kron C_rx,k), covariances drawn as the SCM draws them, from (seed).
struct ClusterMixtureOptions {
  arma::uword n_rx = 8, n_tx = 4;
  arma::uword n_components = 8;
  double spread_rx_deg = 5.0, spread_tx_deg = 35.0;
  std::uint64_t seed = 1;  ///< of the mixture; the samples have their own
  std::string why_invalid() const;
};
std::unique_ptr<ChannelGenerator> make_cluster_mixture(const ClusterMixtureOptions& options);
/// h from a given mixture.  @throws Error(invalid_argument) if it is invalid or sizes differ
std::unique_ptr<ChannelGenerator> make_mixture(const GaussianMixture& prior, arma::uword n_rx,
                                               arma::uword n_tx);

}  // namespace v0
}  // namespace chest
