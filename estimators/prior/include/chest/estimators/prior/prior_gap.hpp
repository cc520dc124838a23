#pragma once

#include <armadillo>

#include <chest/run_control.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// Can a learned prior pay on these channels? Two estimators that know different things, at each
/// SNR on channels that were not used to prepare them:
///
/// * LMMSE knows the covariance of all channels together;
/// * the local filter is told, for each angular bin of each channel, the mean true power of the eight
///   bins around it (two, with one antenna on a side): what a prior can at best learn to read off a
///   single channel.
///
/// For Gaussian channels of smooth power the second knows no more than the first. Where it wins,
/// each channel is simpler than their mixture, which only a nonlinear prior can use.
struct PriorGap {
  arma::vec snr_db;
  arma::vec nmse_lmmse, nmse_local;            ///< linear
  arma::vec dimension_lmmse, dimension_local;  ///< sum of the filters' gains, 0 .. n_h
  arma::uword n_fit = 0, n_test = 0;           ///< channels
  /// Above 1024 entries: LMMSE knows a basis for each side and the power of each entry there, not the
  /// whole covariance.
  bool kronecker = false;

  static constexpr arma::uword most_antennas = 1024;  ///< on one side
};

/// The covariance is taken from at most 4 n_h channels of the first four fifths, the figures from
/// at most 512 of the last fifth, both spread evenly, and from fewer where n_h is large: memory is
/// bounded, and work is within about n_h (n_rx + n_tx) per channel above 1024 entries.
/// @throws Error(invalid_argument) if there are fewer than 10 samples, one entry, or more than
///         most_antennas on a side;  Error(interrupted) when `control` stops it
PriorGap measure_prior_gap(const SampleReader& samples, const arma::vec& snr_db,
                           const RunControl& control = {});

}  // namespace v0
}  // namespace chest
