#pragma once

#include <armadillo>
#include <cstdint>
#include <string>

#include <chest/covariance.hpp>

namespace chest {

/// Pilots received over n_samples channels, one per column.
struct Observation {
  arma::cx_mat y;            ///< [n_obs, n_samples]
  double sigma2 = 0.0;       ///< noise variance per complex entry, linear, > 0
  std::uint64_t stream = 0;  ///< random stream, for estimators that sample
  /// The covariance that each column was drawn with: read by the genie alone.
  ToeplitzKroneckerCovariances genie;
  bool per_angle = false;  ///< ask for Estimate::angular_mse
};

/// Estimates for the columns of one Observation.
struct Estimate {
  arma::cx_mat h;  ///< h_hat, [n_h, n_samples]; column k belongs to column k of y
  arma::vec mse;   ///< predicted E||h_hat - h||^2, [n_samples]; empty when not predicted
  /// Predicted error of every entry in the angular domain (AngularTransform), [n_h, n_samples];
  /// columns add up to mse. Empty unless asked for and known.
  arma::mat angular_mse;
  arma::vec sigma2;        ///< noise variance found, [n_samples]; empty when it was told
  arma::vec log_evidence;  ///< ln p(y), [n_samples]; empty when it is not known
  arma::uword nfe = 0;     ///< denoiser calls per channel
};

/// A rule y -> h_hat for one fixed A. Const, so threads share one instance.
class Estimator {
 public:
  virtual ~Estimator() = default;
  virtual std::string name() const = 0;
  /// Fills `out`, reusing its memory: a simulator's loop allocates once.
  /// @throws Error(invalid_argument) if y does not have n_obs rows or sigma2 is not positive
  virtual void estimate(const Observation& observation, Estimate& out) const = 0;
  Estimate estimate(const Observation& observation) const;
  /// Empty; or why estimates at this noise level are less than they could be, one sentence: a noise
  /// level outside the range that a prior was fitted for.
  virtual std::string warning(double sigma2) const;
  /// What runs at this noise level, where an estimator chooses: "ep:iterations=20". Empty for one
  /// that does not.
  virtual std::string method(double sigma2) const;
};

}  // namespace chest
