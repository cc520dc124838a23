#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_adapt.hpp>
#include <chest/estimators/prior/denoiser.hpp>

#include "noisy_channels.hpp"

namespace chest {
inline namespace v0 {
namespace nn {

/// Errors on observations that were kept back, per level of HeldOut::levels.
struct SiteErrors {
  arma::mat seen;     ///< unbiased squared errors over the seen entries, [n, n_levels]
  arma::mat entries;  ///< how many these are
  arma::vec
      moved;  ///< mean squared difference to the network before, per entry that is not seen; 0: all are
};

/// Observations that were kept back, at fixed levels and with the same draws each time.
class HeldOut {
 public:
  /// @param range  noise levels that the network knows
  HeldOut(const NoisyChannels& channels, std::shared_ptr<const Denoiser> original,
          const std::pair<double, double>& range, std::uint64_t seed, unsigned n_threads);

  /// Ascending noise variances: those below the noise, then those that can be judged.
  const arma::vec& levels() const { return levels_; }
  arma::uword n_below() const { return n_below_; }
  SiteErrors errors(const Denoiser& denoiser) const;
  /// Mean error per seen entry at each level, at least a little above 0; NaN where nothing is seen.
  arma::vec means(const SiteErrors& errors) const;
  /// Mean over levels, in dB against the network before.
  double loss(const SiteErrors& errors) const;
  /// Mean error per entry of the network before at any level; below the noise in proportion to the level.
  double reference(double level) const;
  /// Levels of the judged errors, the error before and after, and what speaks against it.
  void judge(const SiteErrors& after, Adaptation& out) const;
  const SiteErrors& before() const { return before_; }

 private:
  const NoisyChannels& channels_;
  std::shared_ptr<const Denoiser> original_;
  std::uint64_t seed_;
  unsigned n_threads_;
  arma::vec levels_, reference_;
  arma::uword n_below_ = 0;
  SiteErrors before_;
};

/// Squared errors with which half of the pilot slots of each observation are predicted from the other half, per
/// entry, [n]; empty with less than two slots.
/// @param told  noise variance that the solver is told, over that of the pilots
arma::vec slot_errors(const ObservationOperator& A, const ReceivedPilots& pilots,
                      const std::shared_ptr<const Denoiser>& denoiser, std::uint64_t seed,
                      unsigned n_threads, double told = 1.0);

/// @throws Error(invalid_argument) if slots are predicted better, by three standard errors, when the network is
///         told 6 dB more noise than is said of the observations
void check_slots(const ObservationOperator& A, const ReceivedPilots& pilots,
                 const std::shared_ptr<const Denoiser>& original, std::uint64_t seed,
                 unsigned n_threads);

/// Fills what slot_errors() say of two networks, and the refusal where the second is worse.
void judge_slots(const ObservationOperator& A, const ReceivedPilots& pilots,
                 const std::shared_ptr<const Denoiser>& before,
                 const std::shared_ptr<const Denoiser>& after, std::uint64_t seed,
                 unsigned n_threads, Adaptation& out);

/// All that adapt_network() asks of its arguments before it works; warns where they hold noise, or channels at all angles.
/// @throws Error(invalid_argument)
void check_adaptation(const NetworkModel& model,
                      const std::shared_ptr<const ObservationOperator>& A,
                      const ReceivedPilots& fit, const ReceivedPilots& held_out,
                      const AdaptOptions& options, const RunControl& control);

/// Calls per SNR, errors and the ratio of measured to predicted errors of the adapted network, from noisy
/// channels: at levels of twice the noise and more. Below, those of the network before, times what its own error
/// on these observations is above what it was calibrated to, at the lowest of these levels.
/// @return false where the observations reach no level of the calibration; the model is as it was
bool recalibrate(NetworkModel& model, const Denoiser& adapted, const Denoiser& original,
                 const NoisyChannels& channels, std::uint64_t seed, unsigned n_threads);

}  // namespace nn
}  // namespace v0
}  // namespace chest
