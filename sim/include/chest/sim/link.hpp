#pragma once

#include <string>
#include <vector>

#include <chest/sim/sweep.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// A link: after the pilots, data symbols pass the same channel at the same noise variance and are
/// detected with the estimate.
///
///   y = H s / sqrt(n_tx) + n,   one unit-power stream per transmit antenna, total power 1 per slot
///   s_hat = unbiased linear MMSE with H_hat and the noise variance sigma2 + sigma2_e,
///   sigma2_e = mse / (n_rx n_tx), the predicted error variance of an entry times the total power 1
///
/// Bits: the nearest symbol for SER and BER; exact LLRs at the SINR that the receiver believes in
/// for the rate. The estimator "perfect" (h_hat = h) is always the last one.
struct LinkOptions {
  SweepOptions run;                              ///< stop_rel looks at the BER
  std::vector<std::string> modulations{"qpsk"};  ///< qpsk, 16qam, 64qam, 256qam; distinct
  arma::uword n_data = 32;                       ///< data symbol vectors per channel, >= 1
  bool error_variance = true;                    ///< tell the detector sigma2_e

  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

/// SER, BER and achievable rate beside the NMSE, over pilots and SNR; see run_sweep().
///
/// BER intervals are over channels (bits of one channel fail together); with no error seen the
/// upper end is 3 / n_bits. The rate is that of bit-metric decoding, summed over streams, each
/// coded over all channels: max(0, m - mean of bit_loss over its symbols).
///
/// @throws as run_sweep(), and Error(invalid_argument) if n_rx < n_tx
Results run_link(const SampleReader& samples, const CovarianceReader& covariances,
                 const EstimatorFactory& make_estimator, const LinkOptions& options,
                 const RunControl& control = {});

/// Linear MMSE detection of n_tx unit-power streams.
class LinearDetector {
 public:
  /// @param H       channel as the receiver believes it is, [n_rx, n_tx]
  /// @param sigma2  noise variance plus error variance, > 0
  void prepare(const arma::cx_mat& H, double sigma2);
  /// Unbiased symbol estimates of received vectors y [n_rx, n], into s_hat [n_tx, n].
  void detect(const arma::cx_mat& y, arma::cx_mat& s_hat) const;
  /// SINR of each stream that the receiver believes in, [n_tx]; 0 where nothing was received.
  const arma::vec& sinr() const { return sinr_; }

 private:
  arma::cx_mat W_;  // [n_tx, n_rx], unbiased
  arma::vec sinr_;
};

}  // namespace sim
}  // namespace v0
}  // namespace chest
