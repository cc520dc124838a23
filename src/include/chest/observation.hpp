#pragma once

#include <armadillo>
#include <memory>
#include <optional>
#include <string>

namespace chest {

/// The linear map A of y = A h + n, applied and never formed unless it was given as a matrix.
///
/// Immutable after construction, so threads share one instance. All matrices hold one channel or
/// observation per column; `out` is resized and its memory reused.
class ObservationOperator {
 public:
  virtual ~ObservationOperator() = default;

  virtual arma::uword n_h() const = 0;
  virtual arma::uword n_obs() const = 0;
  /// For messages: "identity 64x16", "pilots 16x8 for 64 receive antennas".
  virtual std::string name() const = 0;

  /// out = A h,  [n_h, n] -> [n_obs, n].  @throws Error(invalid_argument) on a wrong number of rows
  virtual void apply(const arma::cx_mat& h, arma::cx_mat& out) const = 0;
  /// out = A^H y,  [n_obs, n] -> [n_h, n].
  virtual void adjoint(const arma::cx_mat& y, arma::cx_mat& out) const = 0;
  /// out = A^+ y, the minimum-norm least-squares solution, [n_obs, n] -> [n_h, n].
  virtual void pseudo_inverse(const arma::cx_mat& y, arma::cx_mat& out) const = 0;
  /// Squared singular values of A, [min(n_h, n_obs)], largest first, each with its multiplicity.
  virtual arma::vec squared_singular_values() const = 0;

  arma::cx_mat apply(const arma::cx_mat& h) const;
  arma::cx_mat adjoint(const arma::cx_mat& y) const;
  arma::cx_mat pseudo_inverse(const arma::cx_mat& y) const;

  /// c when A^H A = c I: then A^+ y = h + n' with n' ~ CN(0, sigma2 / c I), and a denoiser is an
  /// estimator. Empty otherwise.
  virtual std::optional<double> gram_scale() const = 0;
  /// P, [n_tx, n_pilots], when A = P^T kron I; the identity matrix when A = I. Null for a dense A.
  virtual const arma::cx_mat* pilots() const { return nullptr; }
};

/// A = I for channels [n_rx, n_tx]: the convention y = h + n of the DMSE papers.
std::unique_ptr<ObservationOperator> make_identity_observation(arma::uword n_rx, arma::uword n_tx);

/// A = P^T kron I_{n_rx}, that is Y = H P. The product is never formed.
/// @param P  pilots, [n_tx, n_pilots]
/// @throws Error(invalid_argument) if P is empty, zero or not finite
std::unique_ptr<ObservationOperator> make_kronecker_observation(const arma::cx_mat& P,
                                                                arma::uword n_rx);

/// Any A, [n_obs, n_h].
/// @throws Error(invalid_argument) if A is empty, zero or not finite
std::unique_ptr<ObservationOperator> make_dense_observation(const arma::cx_mat& A);

}  // namespace chest
