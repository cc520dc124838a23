#pragma once

#include <armadillo>
#include <memory>
#include <string>
#include <utility>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// Which chain a DMSE estimator runs.
enum class ReverseRule {
  calibrated,      ///< log-SNR grid, number of calls from the calibration (3 without one)
  fixed_steps,     ///< log-SNR grid with n_steps calls
  published,       ///< the loop of [Fesl2024a]
  published_full,  ///< the loop of [Fesl2024a] with the call at i*
  scheduler        ///< the loop of the scheduler in diffusers-dmse, n_steps of them over all levels
};

inline constexpr std::pair<ReverseRule, const char*> published_rule_names[] = {
    {ReverseRule::published, ""}, {ReverseRule::published_full, "full"}};

struct DmseOptions {
  ReverseRule rule = ReverseRule::calibrated;
  /// For fixed_steps and scheduler, and for calibrated without a calibration; >= 1.
  arma::uword n_steps = 3;
  /// Cleanest level of the log-SNR grid: -10 log10 of it is 40 dB, the end of the schedule
  /// of [Fesl2024a].
  double sigma2_end = 1e-4;
  Calibration calibration;
  /// Chains that are averaged, see run_spun(); 0: as calibrated with ReverseRule::calibrated, otherwise 1. The mean error
  /// of a calibration, for a denoiser that predicts none, is that of the chains that it chose.
  arma::uword n_spins = 0;
  bool turns_rx = true;  ///< of phase_ramps()
  /// Random directions for the predicted error of a denoiser that does not predict it
  /// (probed_error()), at n_probes + 1 calls; 0: none, the calibration's mean instead.
  arma::uword n_probes = 0;
  /// The schedule of the published rules and of the scheduler's.
  NoiseSchedule schedule = NoiseSchedule::linear(100, 9.999000099991662e-5, 0.1);
  /// How the steps of ReverseRule::scheduler lie on it.
  TimestepSpacing spacing = TimestepSpacing::leading;
  arma::uword steps_offset = 0;
  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

inline constexpr auto dmse_options = options_of<DmseOptions>(
    option("steps", &DmseOptions::n_steps, within(1, 100'000),
           "calls on the log-SNR grid; 1 is Tweedie's formula")
        .also([](DmseOptions& o) { o.rule = ReverseRule::fixed_steps; })
        .default_is("as calibrated"),
    option("spins", &DmseOptions::n_spins, within(0, most_spins),
           "so many estimates, of the channel turned by fractions of an angle (or delay), are "
           "averaged")
        .default_is("as calibrated"),
    option("published", &DmseOptions::rule, published_rule_names,
           "the loop of the DMSE letter as its code runs it; =full: as its equation reads")
        .default_is(""),
    option("scheduler", &DmseOptions::n_steps, within(1, 100'000),
           "the loop of the scheduler in diffusers-dmse, with so many steps over all levels")
        .also([](DmseOptions& o) { o.rule = ReverseRule::scheduler; })
        .default_is(""),
    option("probes", &DmseOptions::n_probes, within(0, 10'000),
           "random directions that predict the error of a prior that does not predict it"));

/// DMSE estimator: a denoiser run along a noise-free reverse chain from the decorrelated
/// observation.
///
///   z = A^+ y = h + n',  n' ~ CN(0, (sigma2 / c) I)   when A^H A = c I
///
/// With an exact denoiser one step is the conditional mean E[h | y]; several steps compose
/// conditional means, which is exact for Gaussian priors and can only lose for others. A learned
/// denoiser may gain from a few, and from averages of several chains (cycle spinning, docs/model.md). Predicts
/// the mse of each channel where the denoiser does (times the calibration's mse_ratio, less the spread of the chains) or
/// n_probes is given, and otherwise the mean that the calibration saw.
///
/// @throws Error(invalid_argument) if A^H A is not a multiple of I, sizes differ, or the options
/// are
///         invalid; or if n_spins > 1 and A has no pilots
/// Source: [Fesl2024a], [Fesl2024b], [Coifman1995]
std::unique_ptr<Estimator> make_dmse(std::shared_ptr<const ObservationOperator> A,
                                     std::shared_ptr<const Denoiser> denoiser,
                                     const DmseOptions& options = {});

}  // namespace v0
}  // namespace chest
