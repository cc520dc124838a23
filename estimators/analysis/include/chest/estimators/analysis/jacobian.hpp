#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>

#include <chest/estimators/prior/denoiser.hpp>

/// The derivative of a denoiser at one z, in 2 n_h real coordinates: real parts above imaginary parts. For the exact
/// D it is symmetric, positive semidefinite, and (sigma2 / 2) J_r the covariance of h given z.
namespace chest {
inline namespace v0 {

/// Products with J_r, complex columns standing for real ones: <a, b> is Re(a^H b).
class DenoiserDerivative {
 public:
  /// @throws Error(invalid_argument) if z does not fit or sigma2 is not positive
  DenoiserDerivative(const Denoiser& denoiser, const arma::cx_vec& z, double sigma2);

  const arma::cx_vec& z() const { return z_; }
  double sigma2() const { return sigma2_; }
  /// J_r V by central differences, two calls per column. [n_h, n]
  arma::cx_mat push(const arma::cx_mat& V) const;
  /// True when pull() works.
  bool has_pull() const { return denoiser_.differentiable(); }
  /// J_r^T W, one backward pass per column. [n_h, n]
  arma::cx_mat pull(const arma::cx_mat& W) const;
  /// u^T J_r v and v^T J_r u of columns: by pull() where there is one, else by push(). Row k of [n, 2].
  arma::mat bilinear(const arma::cx_mat& U, const arma::cx_mat& V) const;
  /// J_r, [2 n_h, 2 n_h].
  arma::mat matrix() const;

 private:
  const Denoiser& denoiser_;
  arma::cx_vec z_;
  double sigma2_;
};

struct JacobianOptions {
  arma::uword most_whole = 256;  ///< n_h up to which J_r is computed whole
  arma::uword n_leading =
      32;  ///< pairs of eigenvectors that are kept, and sought where it is not whole
  arma::uword n_iterations = 6;  ///< of the subspace iteration
  arma::uword n_probes = 16;     ///< of trace and asymmetry where it is not whole
};

/// What a denoiser does at one z, z = h + noise.
struct JacobianReport {
  double asymmetry = 0.0;       ///< ||J - J^T|| / ||J + J^T||, Frobenius
  double effective_rank = 0.0;  ///< tr J_r / 2: complex dimensions that pass
  arma::vec shrinkage;  ///< eigenvalues of (J_r + J_r^T) / 2, descending; all 2 n_h or 2 n_leading
  arma::vec energy;     ///< share of ||h||^2 in the first k + 1 eigenvectors
  /// Entries over which an eigenvector spreads, 1 / sum p^2 with p its power per entry, sum 1: in angles and
  /// over antennas. 1: a single angle (or antenna).
  arma::vec spread_angles, spread_antennas;
  arma::mat angular;  ///< power of the leading eigenvectors per angle, [n_h, 2 n_leading]
};

/// Eigenvectors and shrinkage of D at z; eigenvectors beyond the whole by subspace iteration.
/// @param h  the channel in z, for `energy`
/// @throws Error(invalid_argument) if sizes do not fit
/// Source: [Mohan2020], [Kadkhodaie2024], [Halko2011]
JacobianReport analyse_jacobian(const Denoiser& denoiser, const arma::cx_vec& h,
                                const arma::cx_vec& z, double sigma2, arma::uword n_rx,
                                arma::uword n_tx, std::uint64_t seed = 1,
                                const JacobianOptions& options = {});

}  // namespace v0
}  // namespace chest
