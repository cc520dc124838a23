#pragma once

#include <armadillo>
#include <memory>
#include <optional>

#include <chest/angular.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// LMMSE where every channel has a prior of its own, white in the angular domain:
///
///   F h ~ CN(m, diag c),   h_hat = F^H (m + W (y - B m)),   W = diag(c) B^H S^-1,
///   S = B diag(c) B^H + sigma2 I,   B = A F^H
///
/// A^H A = g I leaves one division per entry. For A = P^T kron I the receive angles decouple: row i
/// of F_rx Y sees row i of the angular channel through P^T F_tx^H.
class AngularLmmse {
 public:
  AngularLmmse(std::shared_ptr<const ObservationOperator> A, arma::uword n_rx, arma::uword n_tx);

  /// @param m  prior means of the angular entries, [n_h, n_samples]
  /// @param c  their variances, > 0: [n_h, n_samples], or one column for all samples
  /// @throws Error(numeric) if S is not positive definite
  void estimate(const Observation& observation, const arma::cx_mat& m, const arma::mat& c,
                Estimate& out) const;

 private:
  std::shared_ptr<const ObservationOperator> A_;
  AngularTransform transform_;
  std::optional<double> gram_scale_;
  arma::cx_mat F_rx_;  ///< empty for a dense A
  arma::cx_mat B_;     ///< of one receive angle, [n_pilots, n_tx]; of all for a dense A
};

}  // namespace v0
}  // namespace chest
