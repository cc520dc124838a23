#pragma once

#include <armadillo>
#include <memory>
#include <string>
#include <vector>

#include <chest/estimators/denoiser.hpp>
#include <chest/estimators/estimator.hpp>
#include <chest/observation.hpp>

namespace chest {

/// Noise levels of a trained diffusion model: x_i = sqrt(abar_i) h + sqrt(1 - abar_i) eps, index
/// i = 0 (cleanest) .. n_steps - 1. In VE coordinates z = x / sqrt(abar), sigma2 = (1 - abar) /
/// abar.
class NoiseSchedule {
 public:
  /// beta linear from first to last, the schedule of the letter (100, 9.999000099991662e-5, 0.1).
  static NoiseSchedule linear(arma::uword n_steps, double beta_first, double beta_last);
  /// @throws Error(invalid_argument) if a beta lies outside (0, 1)
  explicit NoiseSchedule(arma::vec betas);

  arma::uword n_steps() const { return betas_.n_elem; }
  const arma::vec& betas() const { return betas_; }
  const arma::vec& abar() const { return abar_; }
  double sigma2(arma::uword i) const { return (1.0 - abar_(i)) / abar_(i); }
  double snr(arma::uword i) const { return 1.0 / sigma2(i); }
  /// argmin_i |snr(i) - snr| on the linear scale: the start index of the letter.
  arma::uword nearest(double snr) const;
  /// Index at noise level sigma2, interpolated linearly in log SNR between the trained levels, and
  /// extrapolated not at all: clamped to 0 .. n_steps - 1.
  double fractional_index(double sigma2) const;

 private:
  arma::vec betas_, abar_;
};

/// What a network's output means. The minimiser is the same for all; the error weighting is not.
enum class Prediction { epsilon, sample, velocity };
const char* to_string(Prediction prediction);
Prediction prediction_from_string(const std::string& text);
/// h_hat = z_gain * z + o_gain * o from the network input z (VE) and output o, at noise level
/// sigma2: epsilon: z - sigma o;  sample: o;  velocity (v = sqrt(abar) eps - sqrt(1 - abar) h):
/// abar z - sqrt(1 - abar) o.
struct PredictionGains {
  double z_gain, o_gain;
};
PredictionGains prediction_gains(Prediction prediction, double sigma2);

/// A complete reverse chain: the start scale of the observation and the steps.
struct ReverseChain {
  double start_scale = 1.0;  ///< z = start_scale * (A^+ y)
  std::vector<ReverseStep> steps;
};

/// The letter's loop bit for bit: start index i* = nearest(1 / sigma2), network calls at
/// i* - 1 .. 0. (The letter's equation starts at i*; the published code and results do not, and at
/// 40 dB it makes no call.)  Source: [Fesl2024a] and its code
/// @param include_start  also call at i*, as the letter's equation reads
ReverseChain published_chain(const NoiseSchedule& schedule, double sigma2,
                             bool include_start = false);

/// n_steps calls at levels uniform in log SNR from sigma2 down to sigma2_end, the last one to zero
/// noise. One step is Tweedie's formula. When sigma2 <= sigma2_end, one step.
ReverseChain log_snr_chain(double sigma2, double sigma2_end, arma::uword n_steps);

/// Number of calls and predicted error per noise level, from validation channels.
struct Calibration {
  arma::vec snr_db;    ///< effective SNR, ascending; empty when not calibrated
  arma::uvec n_steps;  ///< best number of calls at that level
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

/// Which chain a DMSE estimator runs.
enum class ReverseRule {
  calibrated,     ///< log-SNR grid, number of calls from the calibration (3 without one)
  fixed_steps,    ///< log-SNR grid with n_steps calls
  published,      ///< the letter's loop
  published_full  ///< the letter's loop with the call at i*
};

struct DmseOptions {
  ReverseRule rule = ReverseRule::calibrated;
  arma::uword n_steps = 3;  ///< for fixed_steps, and for calibrated without a calibration; >= 1
  /// Cleanest level of the log-SNR grid: -10 log10 of it is 40 dB, the end of the letter's
  /// schedule.
  double sigma2_end = 1e-4;
  Calibration calibration;
  /// Random directions for the predicted error of a denoiser that does not predict it
  /// (probed_error()), at n_probes + 1 calls; 0: none, the calibration's mean instead.
  arma::uword n_probes = 0;
  /// The schedule of the published rules.
  NoiseSchedule schedule = NoiseSchedule::linear(100, 9.999000099991662e-5, 0.1);
  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

/// DMSE estimator: a denoiser run along a noise-free reverse chain from the decorrelated
/// observation.
///
///   z = A^+ y = h + n',  n' ~ CN(0, (sigma2 / c) I)   when A^H A = c I
///
/// With an exact denoiser one step is the conditional mean E[h | y]; several steps compose
/// conditional means, which is exact for Gaussian priors and can only lose for others. A learned
/// denoiser may gain from a few (docs/model.md). Predicts the mse of each channel where the
/// denoiser does (times the calibration's mse_ratio) or n_probes is given, and otherwise the mean
/// that the calibration saw.
///
/// @throws Error(invalid_argument) if A^H A is not a multiple of I, sizes differ, or the options
/// are
///         invalid
/// Source: [Fesl2024a], [Fesl2024b]
std::unique_ptr<Estimator> make_dmse(std::shared_ptr<const ObservationOperator> A,
                                     std::shared_ptr<const Denoiser> denoiser,
                                     const DmseOptions& options = {});

}  // namespace chest
