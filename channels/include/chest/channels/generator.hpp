#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <chest/channels/dataset.hpp>
#include <chest/delay_profile.hpp>
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
  /// Where generate() gives gains and delays: the grid that they are for.
  virtual GridAxes grid() const { return {}; }
  /// The receive antennas, where they are a panel.
  virtual PanelShape rx_panel() const { return {}; }
  /// Their covariance on it, where it is known in closed form.
  virtual std::optional<GridCovariance> grid_covariance() const { return {}; }
  /// The least error of any estimator that sees h + noise, where it is known.
  virtual std::optional<OptimalErrors> optimum() const { return {}; }
};

/// 3GPP spatial channel model: per channel n_paths Laplacian power angular spectra, half-wavelength
/// uniform linear arrays on both sides.
struct ScmOptions {
  arma::uword n_rx = 64, n_tx = 16;
  arma::uword n_paths = 3;
  double spread_rx_deg = 2.0;   ///< standard deviation of the Laplacian, base station
  double spread_tx_deg = 35.0;  ///< mobile station
  /// The base station's antennas where they are a panel, of n_rx in all: each cluster has an angle along its rows and
  /// one along its columns, spread_rx_deg wide either way; polarisations fade apart.
  PanelShape rx_panel = {};
  std::string why_invalid() const;
};
/// h ~ CN(0, C_tx kron C_rx) with C per channel from the cluster angles and gains; the covariances
/// come with the channels, but for those of a panel, which are not Toeplitz.
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

/// Correlation of neighbouring antennas of uniform linear arrays by 36.101, B.2.3.2: that of antennas
/// i and j of n is a^(((i - j) / (n - 1))^2), where a is of the first and the last.
enum class MimoCorrelation {
  low,     ///< none
  medium,  ///< 0.3 over the receive antennas (base station), 0.9 over the transmit antennas
  high     ///< 0.9 on both sides
};

/// Families of channels whose least error E||h - E[h | h + noise]||^2 is known, so that a fitted prior can be
/// held against it (ChannelGenerator::optimum()); [Kadkhodaie2024] has their images.

/// h ~ CN(0, F^H diag(q) F): angular powers q ~ (1 + r)^-(2 alpha + d) with r the distance from broadside in bins and d the
/// number of sides with more than one antenna. The least error is that of Wiener, a sum over bins, and
/// falls as sigma^(4 alpha / (2 alpha + d)).
struct PowerLawOptions {
  arma::uword n_rx = 64, n_tx = 1;
  double alpha = 1.0;  ///< smoothness, > 0
  std::string why_invalid() const;
};
std::unique_ptr<ChannelGenerator> make_power_law(const PowerLawOptions& options);

/// Two regions of the angular plane (angles x angles, or angles x delays), of independent entries, 20 dB apart in power,
/// parted by a border c(y) whose Fourier coefficients fall as k^-(alpha + 1/2). Each channel has one of n_components
/// borders that come from the seed: a mixture, whose exact conditional mean is the least error.
struct RegionsOptions {
  arma::uword n_rx = 32, n_tx = 16;
  arma::uword n_components = 64;
  double alpha = 1.0;  ///< smoothness of the border, > 0
  std::uint64_t seed = 1;
  std::string why_invalid() const;
};
std::unique_ptr<ChannelGenerator> make_regions(const RegionsOptions& options);

/// h = sum_p g_p a_rx(u_p) kron a_tx(v_p) of n_paths paths, g_p ~ CN(0, 1 / n_paths), u and v uniform on the circle: a
/// manifold, of 3 real dimensions per path with antennas on one side and 4 with antennas on both. The least error
/// of one path and one side by quadrature over u; of others dimensions sigma2 / 2 at high SNR, not above that
/// of h ~ CN(0, I).
struct PathsOptions {
  arma::uword n_rx = 64, n_tx = 1;
  arma::uword n_paths = 1;  ///< >= 1
  std::string why_invalid() const;
};
std::unique_ptr<ChannelGenerator> make_paths(const PathsOptions& options);

/// Tapped delay lines of TR 38.901 and TS 38.101-4.
struct TdlOptions {
  /// A, B, C (Rayleigh), D, E (with line of sight); or with delays of their own TDLA30, TDLB100,
  /// TDLC300, also with a Doppler as in TDLB100-400.
  std::string profile = "C";
  double delay_spread_s = 100e-9;  ///< rms, of A to E
  double doppler_hz = 0.0;         ///< largest; 0: the channel stands still
  arma::uword n_rx = 16, n_tx = 1;
  GridAxes grid;  ///< ofdm_grid()
  MimoCorrelation correlation = MimoCorrelation::low;
  arma::uword n_slots = 1;  ///< consecutive samples that continue one channel in time
  std::string why_invalid() const;
};
/// Every tap and antenna pair fades by itself with the spectrum of Jakes: a sum of sinusoids from
/// equally spaced directions with Gaussian amplitudes. The line of sight has constant amplitude, a
/// random phase for each pair, and Doppler 0.7 doppler_hz. Then antennas are correlated.
///
///   E h(f + k) conj(h(f)) = sum_l P_l exp(-j 2 pi k spacing tau_l)
///   E h(t + d) conj(h(t)) = J0(2 pi doppler d) of a Rayleigh tap
/// Source: [3GPP38901, 7.7.2]; [3GPP38101-4, B.2]; symbol times of [3GPP38211]
std::unique_ptr<ChannelGenerator> make_tdl(const TdlOptions& options);
/// Channels of several tapped delay lines in turn: channel i is of the (i mod n)-th, its slots too. They
/// have no covariance in common, so none is given.
/// @throws Error(invalid_argument) if there is none, or antennas, grids or slots differ
std::unique_ptr<ChannelGenerator> make_tdl_mix(const std::vector<TdlOptions>& options);

/// A panel of antennas half a wavelength apart, in the plane across its boresight.
struct AntennaPanel {
  arma::uword n_rows = 1, n_columns = 1;
  arma::uword n_polarisations = 1;  ///< 1: vertical; 2: slanted by 45 and by -45 degrees
  bool directional = false;         ///< elements of TR 38.901, table 7.3-1 (8 dBi); else all alike

  /// Antennas in the order of h: along the rows first, then the columns, then the polarisations, as
  /// PanelShape.
  arma::uword n() const { return n_rows * n_columns * n_polarisations; }
  std::string text() const;  ///< "4x8x2:directional"
};
/// "4x8x2", also with ":directional" or ":omni" behind it.
/// @param defaults  whether it is directional, where that is not said
/// @throws Error(invalid_argument)
AntennaPanel parse_panel(const std::string& text, const AntennaPanel& defaults);

/// Clustered delay lines of TR 38.901 between a base station (receives) and a terminal.
struct CdlOptions {
  std::string profile = "C";       ///< A, B, C, D, E; D and E have a line of sight
  double delay_spread_s = 100e-9;  ///< rms
  double doppler_hz = 0.0;         ///< speed over wavelength
  /// Every channel moves in a direction of its own, azimuth and zenith uniform; else straight away from the base station.
  bool any_direction = false;
  AntennaPanel rx{1, 16, 1, true}, tx;
  GridAxes grid;            ///< ofdm_grid()
  arma::uword n_slots = 1;  ///< consecutive samples that continue one channel in time
  std::string why_invalid() const;
};
/// Every cluster is 20 rays of fixed angles, whose coupling and initial phases are drawn for each
/// channel; the panels face each other. Angles are those of the tables. Scaled to power 1 per entry on
/// average. The covariance, over couplings and phases, is a sum over clusters and polarisations; it is
/// not given for a line of sight between two panels of two polarisations, which share its phase, nor where directions of
/// movement are drawn.
/// Source: [3GPP38901, 7.7.1 and 7.5, steps 7 to 11]
std::unique_ptr<ChannelGenerator> make_cdl(const CdlOptions& options);

}  // namespace v0
}  // namespace chest
