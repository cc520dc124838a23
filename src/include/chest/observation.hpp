#pragma once

#include <armadillo>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace chest {
inline namespace v0 {

struct PilotPattern;

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
  /// out = (A^H A + lambda I)^-1 A^H y, [n_obs, n] -> [n_h, n]: the minimiser of
  /// ||y - A x||^2 + lambda ||x||^2; lambda = 0 is the pseudo-inverse. All that solvers with
  /// isotropic variances need of A: r2 A^H (sigma2 I + r2 A A^H)^-1 y is ridge with lambda =
  /// sigma2 / r2. The default runs conjugate gradients on apply() and adjoint(), to a relative
  /// residual of 1e-12.
  /// @throws Error(invalid_argument) if lambda is negative or y has a wrong number of rows
  virtual void ridge(const arma::cx_mat& y, double lambda, arma::cx_mat& out) const;
  /// Squared singular values of A, [min(n_h, n_obs)], largest first, each with its multiplicity.
  virtual arma::vec squared_singular_values() const = 0;

  arma::cx_mat apply(const arma::cx_mat& h) const;
  arma::cx_mat adjoint(const arma::cx_mat& y) const;
  arma::cx_mat pseudo_inverse(const arma::cx_mat& y) const;
  arma::cx_mat ridge(const arma::cx_mat& y, double lambda) const;

  /// c when A^H A = c I: then A^+ y = h + n' with n' ~ CN(0, sigma2 / c I), and a denoiser is an
  /// estimator. Empty otherwise.
  virtual std::optional<double> gram_scale() const = 0;
  /// P, [n_tx, n_pilots], when A = P^T kron I; the identity matrix when A = I. Null for a dense A.
  virtual const arma::cx_mat* pilots() const { return nullptr; }
  /// The pilots of a grid, when A is that of make_grid_observation(); else null.
  virtual const PilotPattern* pattern() const { return nullptr; }
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

/// Some entries of h: y = h(kept), as when antennas are lost or sampled in turn.
/// @param kept  distinct indices below n_h, [n_obs]
/// @throws Error(invalid_argument) if there are none, or one is too large or there twice
std::unique_ptr<ObservationOperator> make_mask_observation(const arma::uvec& kept, arma::uword n_h);

/// A = [A_1 A_2 ...] for x = [x_1; x_2; ...]: signals that arrive together, each through its own
/// pilots.
/// @throws Error(invalid_argument) if there are no parts, one is null or their n_obs differ
std::unique_ptr<ObservationOperator> make_stacked_observation(
    std::vector<std::shared_ptr<const ObservationOperator>> parts);

/// n_slices channels seen through the same A, and held together along the slices:
///
///   x = [h_1; ...; h_L] -> [A h_1; ...; A h_L; c (h_2 - h_1); ...; c (h_L - h_{L-1})]
///
/// With zeros observed for the differences, at noise variance sigma2, that is the quadratic
/// coupling mu sum_l ||h_{l+1} - h_l||^2 for c = sqrt(mu sigma2).
/// @throws Error(invalid_argument) if A is null, n_slices is 0 or coupling is negative
std::unique_ptr<ObservationOperator> make_coupled_slices_observation(
    std::shared_ptr<const ObservationOperator> A, arma::uword n_slices, double coupling);

}  // namespace v0
}  // namespace chest
