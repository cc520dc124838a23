#pragma once

#include <armadillo>
#include <cstdint>

#include <chest/estimators/prior/denoiser.hpp>
#include <chest/run_control.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// Number of calls and predicted error per noise level, from validation channels.
struct Calibration {
  arma::vec snr_db;    ///< effective SNR, ascending; empty when not calibrated
  arma::uvec n_steps;  ///< fewest calls within 0.03 dB of the best number
  arma::vec mse;       ///< E||h_hat - h||^2 seen there, per n_h
  /// The same over the mean of what the denoiser predicted; empty for one that does not.
  arma::vec mse_ratio = {};
  bool empty() const { return snr_db.n_elem == 0; }
  /// Calls at a level: those of the nearest calibrated SNR; `otherwise` when not calibrated.
  arma::uword steps_at(double sigma2, arma::uword otherwise) const;
  /// mse at a level, log-log interpolated, clamped at the ends; negative when not calibrated.
  double mse_at(double sigma2) const;
  /// mse_ratio at a level, in the same way; 1 when it is not known.
  double mse_ratio_at(double sigma2) const;
};

/// The fewest calls whose error is within 0.03 dB of the least: a further call costs as much time as
/// the first.
/// @param mse  of 1, 2, ... calls
arma::uword fewest_calls(const arma::vec& mse);

/// Chooses the number of calls per SNR (1 .. max_steps, -15:5:40 dB) by fewest_calls() on
/// validation channels; records the error seen, and its ratio to what the denoiser predicts.
Calibration calibrate(const Denoiser& denoiser, const SampleReader& validation, std::uint64_t seed,
                      unsigned n_threads, arma::uword max_steps = 3,
                      const RunControl& control = {});

}  // namespace v0
}  // namespace chest
