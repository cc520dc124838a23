#pragma once

#include <armadillo>
#include <cstdint>
#include <string>

#include <chest/estimators/prior/denoiser.hpp>
#include <chest/run_control.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// Most chains that are averaged.
inline constexpr arma::uword most_spins = 16;

/// Number of calls and predicted error per noise level, from validation channels.
struct Calibration {
  arma::vec snr_db;    ///< effective SNR, ascending; empty when not calibrated
  arma::uvec n_steps;  ///< calls of a chain; with n_spins the fewest within 0.03 dB of the best
  arma::vec mse;       ///< E||h_hat - h||^2 seen there, per n_h
  /// The mean error of a chain (before the spread of several is taken off) over the mean of what the denoiser predicted;
  /// empty for one that does not.
  arma::vec mse_ratio = {};
  arma::uvec n_spins = {};  ///< chains that are averaged, see run_spun(); empty: 1
  bool empty() const { return snr_db.n_elem == 0; }
  /// Of all levels; 0 when not calibrated.
  arma::uword most_calls() const;
  /// At the i-th SNR, as "2" or "2 x 2": steps times chains.
  std::string calls(arma::uword i) const;
  /// Calls at a level: those of the nearest calibrated SNR; `otherwise` when not calibrated.
  arma::uword steps_at(double sigma2, arma::uword otherwise) const;
  /// n_spins of the nearest calibrated SNR.
  arma::uword spins_at(double sigma2) const;
  /// One call at every level; the errors stay, and are those of more calls.
  Calibration of_one_call() const;
  /// mse at a level, log-log interpolated, clamped at the ends; negative when not calibrated.
  double mse_at(double sigma2) const;
  /// mse_ratio at a level, in the same way; 1 when it is not known.
  double mse_ratio_at(double sigma2) const;
};

/// The fewest calls whose error is within 0.03 dB of the least: a further call costs as much time as
/// the first.
/// @param mse  of 1, 2, ... calls
arma::uword fewest_calls(const arma::vec& mse);

/// Of each level the first choice that is within 0.03 dB of the best; where these take more than `mean_calls` in the mean,
/// cheaper ones at the levels where a call less loses the fewest dB.
/// @param mse    [n_choices, n_levels]
/// @param calls  of each choice, ascending from 1
/// @param mean_calls  >= 1; 0: as many as they are
arma::uvec choose_calls(const arma::mat& mse, const arma::uvec& calls, double mean_calls);

/// What calibrate() chooses from.
struct CalibrationChoices {
  arma::uword max_steps = 3;  ///< chains of 1 .. max_steps calls
  arma::uword max_spins = 2;  ///< and averages of 2 .. max_spins of each
  bool turns_rx = true;       ///< of phase_ramps()
  double mean_calls = 0.0;    ///< of choose_calls()
};

/// Chooses the calls per SNR (-15:5:40 dB) on validation channels: the fewest whose error is within 0.03 dB of the
/// least. Records the error seen, and its ratio to what the denoiser predicts.
Calibration calibrate(const Denoiser& denoiser, const SampleReader& validation, std::uint64_t seed,
                      unsigned n_threads, const CalibrationChoices& choices = {},
                      const RunControl& control = {});

}  // namespace v0
}  // namespace chest
