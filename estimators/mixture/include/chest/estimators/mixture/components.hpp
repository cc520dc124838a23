#pragma once

#include <armadillo>
#include <memory>

#include <chest/gaussian_mixture.hpp>
#include <chest/observation.hpp>

namespace chest {

/// The components of a mixture as A shows them at one noise level:
/// y ~ CN(A m_k, S_k), S_k = A C_k A^H + sigma2 I. Const, so threads share one.
class GmmLevel {
 public:
  virtual ~GmmLevel() = default;
  /// -ln det S_k - (y_j - A m_k)^H S_k^-1 (y_j - A m_k), [n_components, n_samples]
  virtual arma::mat log_densities(const arma::cx_mat& y) const = 0;
  /// m_k + C_k A^H S_k^-1 (y - A m_k), [n_h, n_samples]
  virtual arma::cx_mat conditional_means(arma::uword k, const arma::cx_mat& y) const = 0;
  /// tr(C_k - C_k A^H S_k^-1 A C_k), [n_components]
  virtual arma::vec errors() const = 0;
};

/// The components of a mixture seen through A, in the basis where their covariances are simplest.
class GmmComponents {
 public:
  virtual ~GmmComponents() = default;
  /// Columns y, [n_obs, n_samples], as the levels take them: a unitary change of basis.
  virtual arma::cx_mat observations(const arma::cx_mat& y) const = 0;
  /// Columns of the levels' conditional means, [n_h, n_samples], become channels.
  virtual void to_channels(arma::cx_mat& h) const = 0;
  /// What is prepared per noise level; it refers to this object. sigma2 may be 0 where every S_k
  /// is positive definite without it.
  /// @throws Error(numeric) if one is not
  virtual std::unique_ptr<GmmLevel> at(double sigma2, unsigned n_threads) const = 0;
};

/// The kind of covariance says how the work is done, per channel and component:
///
///   dft, factors   elementwise where A = I, else blocks of n_pilots per receive angle [Koller2022]
///   kronecker      two products with the eigenvectors of each side
///   otherwise      a triangular solve of size n_obs
///
/// The first two need pilots() and otherwise work as the last.
///
/// @param A  null: A = I
std::unique_ptr<GmmComponents> make_gmm_components(std::shared_ptr<const ObservationOperator> A,
                                                   const GaussianMixture& prior);

}  // namespace chest
