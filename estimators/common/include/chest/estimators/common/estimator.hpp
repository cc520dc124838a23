#pragma once

#include <armadillo>
#include <cstdint>
#include <string>
#include <vector>

#include <chest/covariance.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// Pilots received over n_samples channels, one per column.
struct Observation {
  arma::cx_mat y;                  ///< [n_obs, n_samples]
  double sigma2 = 0.0;             ///< noise variance per complex entry, linear, > 0
  std::uint64_t seed = 1;          ///< with sample(k) the key of what is drawn for column k
  std::uint64_t first_sample = 0;  ///< column k is sample first_sample + k
  /// The sample of each column where they do not follow each other, [n_samples]; otherwise empty.
  std::vector<std::uint64_t> samples = {};
  /// The covariance that each column was drawn with: read by the genie alone.
  ToeplitzKroneckerCovariances genie = {};
  bool per_angle = false;    ///< ask for Estimate::angular_mse
  bool per_element = false;  ///< ask for Estimate::element_mse
  /// What else is known of each channel, a matrix of its size: its estimate in the slot before, of a neighbouring band ..,
  /// [n_h, n_samples], a column of zeros where nothing is; empty: of none. Read by networks that are told it.
  arma::cx_mat side = {};

  std::uint64_t sample(arma::uword k) const {
    return samples.empty() ? first_sample + k : samples[k];
  }
  /// Some columns, each with what belongs to it.
  Observation columns(const arma::uvec& which) const;
};

/// Estimates for the columns of one Observation.
struct Estimate {
  arma::cx_mat h;  ///< h_hat, [n_h, n_samples]; column k belongs to column k of y
  /// Predicted E||h_hat - h||^2, [n_samples], NaN where it is not known; empty when the estimator does
  /// not predict it at this noise level (Estimator::predicts_mse).
  arma::vec mse;
  /// Predicted error of every entry in the angular domain (AngularTransform), [n_h, n_samples];
  /// columns add up to mse. Empty unless asked for and known.
  arma::mat angular_mse;
  /// On a grid: predicted mean error of an entry of h over the receive antennas of each port at each
  /// element, [n_tx n_subcarriers n_symbols, n_samples], in the order of h. Empty unless asked for and
  /// known.
  arma::mat element_mse;
  /// What a prior with heads tells of each channel: probabilities of classes, then numbers, [n_heads, n_samples];
  /// otherwise empty.
  arma::mat heads;
  arma::vec sigma2;         ///< noise variance found, [n_samples]; empty when it was told
  arma::vec log_evidence;   ///< ln p(y), [n_samples]; empty when it is not known
  arma::uword nfe = 0;      ///< denoiser calls per channel
  arma::uword n_reset = 0;  ///< columns that left the range of numbers on the way and were set to 0
};

/// A rule y -> h_hat for one fixed A. Const, so threads share one instance. What is estimated for a
/// column depends on this column and its sample number, not on the columns beside it.
class Estimator {
 public:
  virtual ~Estimator() = default;
  virtual std::string name() const = 0;
  virtual const ObservationOperator& A() const = 0;

  /// Checks the observation, empties `out` (reusing its memory: a simulator's loop allocates once) and
  /// fills it.
  /// @throws Error(invalid_argument) if y does not have n_obs rows, side another size, or sigma2 is not positive
  void estimate(const Observation& observation, Estimate& out) const;
  Estimate estimate(const Observation& observation) const;

  /// Whether Estimate::mse is given at this noise level.
  virtual bool predicts_mse(double sigma2) const;
  /// False for an estimator that finds the noise variance itself and does not read it.
  virtual bool reads_sigma2() const;
  /// Empty; or why estimates at this noise level are less than they could be, one sentence: a noise
  /// level outside the range that a prior was fitted for.
  virtual std::string warning(double sigma2) const;
  /// What runs at this noise level, where an estimator chooses: "ep:iterations=20". Empty for one
  /// that does not.
  virtual std::string method(double sigma2) const;

 private:
  /// The work. The observation is checked and has columns. out.h has its size, [n_h, n_samples], and
  /// holds anything; out.mse is [n_samples] of NaN where predicts_mse(), and all other fields are
  /// empty or 0.
  virtual void do_estimate(const Observation& observation, Estimate& out) const = 0;
};

}  // namespace v0
}  // namespace chest
