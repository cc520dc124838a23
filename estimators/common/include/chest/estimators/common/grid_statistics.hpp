#pragma once

#include <armadillo>
#include <string>

#include <chest/archive.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// Second-order statistics of channels on a grid along one axis at a time, and what a model that was
/// fitted on a grid says of its plane (antennas x subcarriers).
struct GridStatistics {
  double spacing_hz = 0.0, symbol_s = 0.0;  ///< of the channels, as GridAxes; 0: not known
  arma::cx_mat R_rx;  ///< E h h^H over receive antennas, [n_rx, n_rx], trace n_rx
  /// E h(f + k) conj(h(f)) of power 1, [n_subcarriers]: the transform of the power-delay profile.
  arma::cx_vec r_f;
  /// E h(s + k) conj(h(s)) of power 1, [n_symbols].
  arma::cx_vec r_t;
  arma::uword n_samples = 0;  ///< that they were estimated from
  /// Subcarriers from one column of the model's plane to the next; 0: the model has no plane.
  arma::uword plane_step = 0;
  /// Steps that the model serves with any number of columns; 0: plane_step alone, with the columns of
  /// the model.
  arma::uword least_step = 0, most_step = 0;
  /// Measured on channels that the model was not fitted on, by the SNR of a plane (ascending) and by cell,
  /// [n_snr, n_cells]: the measured over the predicted error of estimates of grids, and the error of linear
  /// MMSE with these statistics over that of the model. Empty: not measured.
  arma::mat error_ratio, linear_ratio;
  /// The part of sbl in the mean with the model's estimate that made the error least, 0 where it gains little,
  /// by the same. Empty: not measured.
  arma::mat sparse_weight;
  /// Columns of a plane up to which it is followed.
  static constexpr arma::uword most_sparse_columns = 512;
  arma::vec error_snr_db;
  /// Of each cell: subcarriers from one pilot to the next, and of the band.
  arma::vec error_steps, error_subcarriers;
  PanelShape rx_panel;  ///< whose panel_mix() the planes of the model are mixed by

  bool empty() const { return R_rx.is_empty(); }
  /// These at a noise level, of the cells whose step is nearest, interpolated over SNR in dB and the
  /// logarithm of the band (that of the nearest beyond the ends); 1, and infinity, where not measured.
  double error_ratio_at(double sigma2, double step, double n_subcarriers) const;
  double linear_ratio_at(double sigma2, double step, double n_subcarriers) const;
  /// Likewise; 0 where not measured, and at SNRs far above those measured.
  double sparse_weight_at(double sigma2, double step, double n_subcarriers) const;
  /// How many of its subcarriers lie between two of a grid at this spacing; 1 where either is not known,
  /// 0 where that is no whole number.
  arma::uword spacing_ratio(double spacing_hz) const;
  /// The same statistics of a grid at another spacing: r_f of every spacing_ratio-th subcarrier, r_t
  /// interpolated for symbols that are shorter by as much. Steps stay those of the model's subcarriers.
  /// @throws Error(invalid_argument) if spacing_ratio() is 0
  GridStatistics at_spacing(double spacing_hz) const;

 private:
  double of_cells(const arma::mat& values, double sigma2, double step, double n_subcarriers) const;
};

/// Averages over samples, antennas and all pairs of elements of the same distance, read in blocks. r_f is
/// then that of the nearest power-delay profile (nonnegative_delays()), so that its covariances are
/// positive semidefinite.
/// @throws Error(invalid_argument) if there are no samples
GridStatistics fit_grid_statistics(const SampleReader& samples);

/// The correlation over subcarriers nearest to r that has a power-delay profile: the sum over delays of
/// powers >= 0, on a fine raster of the delays at which the transform of r stands out of its noise, that
/// has the least sum of (n - k) |r(k) - sum|^2. Power 1; [n], as r.
arma::cx_vec nonnegative_delays(const arma::cx_vec& r);

/// Planes of channels on a grid as channels [n_rx, n_columns], columns `step` subcarriers apart and
/// beginning at a subcarrier that moves from sample to sample, mixed by panel_mix(samples.rx_panel). A sample gives one plane per transmit antenna, at a symbol that moves from
/// sample to sample.
/// @param step  subcarriers from one column to the next, 1 .. n_subcarriers
/// @throws Error(invalid_argument) if step does not fit
SampleReader plane_samples(const SampleReader& samples, arma::uword step);

/// From and to the group /grid of a model file; nothing is written for empty statistics.
void write_grid_statistics(ArchiveWriter& archive, const GridStatistics& statistics);
/// @throws Error(format) if they are damaged
GridStatistics read_grid_statistics(const ArchiveReader& archive, arma::uword n_rx);

/// Toeplitz covariance of elements at given positions: C(i, j) = r(a_i - b_j), conj(r(-k)) for
/// negative k; r is interpolated linearly at fractional lags and 0 beyond its end. [n_a, n_b]
arma::cx_mat toeplitz_covariance(const arma::cx_vec& r, const arma::vec& a, const arma::vec& b);

}  // namespace v0
}  // namespace chest
