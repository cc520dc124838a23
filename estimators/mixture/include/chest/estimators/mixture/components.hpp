#pragma once

#include <armadillo>
#include <memory>

#include <chest/gaussian_mixture.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// The components of a mixture as A shows them at one noise level:
/// y ~ CN(A m_k, S_k), S_k = A C_k A^H + sigma2 I. Const, so threads share one.
class GmmLevel {
 public:
  virtual ~GmmLevel() = default;
  /// -ln det S_k - (y_j - A m_k)^H S_k^-1 (y_j - A m_k), [n_components, n_samples]
  virtual arma::mat log_densities(const arma::cx_mat& y) const = 0;
  /// C_k A^H S_k^-1 d, [n_h, n_samples]
  virtual arma::cx_mat filter(arma::uword k, const arma::cx_mat& d) const = 0;
  /// h_k = m_k + C_k A^H S_k^-1 (y - A m_k), [n_h, n_samples]; as it stands, for means of 0.
  virtual arma::cx_mat conditional_means(arma::uword k, const arma::cx_mat& y) const {
    return filter(k, y);
  }
  /// tr(C_k - C_k A^H S_k^-1 A C_k), [n_components]
  virtual arma::vec errors() const = 0;
};

/// The components of a mixture seen through A, in the basis where their covariances are simplest.
class GmmComponents {
 public:
  virtual ~GmmComponents() = default;
  /// Columns y, [n_obs, n_samples], as the levels take them: a unitary change of basis.
  virtual arma::cx_mat observations(const arma::cx_mat& y) const = 0;
  /// Columns of the levels' conditional means, [n_h, n_samples], become channels: where A = I, the
  /// inverse of observations().
  virtual void to_channels(arma::cx_mat& h) const = 0;
  /// What is prepared per noise level; it refers to this object. sigma2 may be 0 where every S_k
  /// is positive definite without it.
  /// @throws Error(numeric) if one is not
  virtual std::unique_ptr<GmmLevel> at(double sigma2, unsigned n_threads) const = 0;
};

/// How many noise levels are to come: what is prepared for all of them may cost more than for one.
enum class NoiseLevels { one, many };

/// The kind of covariance says how the work is done, per channel and component:
///
///   dft, factors   elementwise where A = I, else blocks of n_pilots per receive angle [Koller2022]
///   kronecker      two products with the eigenvectors of each side
///   otherwise      where A = I, products with eigenvectors, which serve all levels; else, or for
///                  one level, a triangular solve of size n_obs
///
/// The first two need pilots() and otherwise work as the last.
///
/// @param A  null: A = I
/// @throws Error(numeric) if a covariance that is decomposed has a negative eigenvalue
std::unique_ptr<GmmComponents> make_gmm_components(std::shared_ptr<const ObservationOperator> A,
                                                   const GaussianMixture& prior,
                                                   NoiseLevels levels = NoiseLevels::many);

}  // namespace v0
}  // namespace chest
