#pragma once

#include <armadillo>
#include <string>
#include <vector>

#include <chest/archive.hpp>
#include <chest/random.hpp>

namespace chest {

/// Gaussian mixture prior of h: with probability weights[k], h ~ CN(means.col(k), covariances[k]).
/// One component with mean 0 is the Gaussian prior of LMMSE.
struct GaussianMixture {
  arma::vec weights;                      ///< [n_components], positive, sum 1
  arma::cx_mat means;                     ///< [n_h, n_components]
  std::vector<arma::cx_mat> covariances;  ///< n_components of [n_h, n_h], Hermitian, PSD

  arma::uword n_h() const { return means.n_rows; }
  arma::uword n_components() const { return weights.n_elem; }
  /// Empty when usable; otherwise one sentence naming what does not fit.
  std::string why_invalid() const;
};

/// n_samples independent draws, [n_h, n_samples].
/// @throws Error(numeric) if a covariance has a negative eigenvalue
arma::cx_mat draw(const GaussianMixture& prior, arma::uword n_samples, Rng& rng);
/// E[h h^H] = sum_k w_k (C_k + m_k m_k^H): the C of the best linear estimator. [n_h, n_h]
arma::cx_mat second_moment(const GaussianMixture& prior);

/// Stores the mixture as datasets below `group` ("/prior"): weights, means, covariances.
void save(ArchiveWriter& archive, const std::string& group, const GaussianMixture& prior);
/// @throws Error(format) if `group` does not hold a mixture
GaussianMixture load_gaussian_mixture(const ArchiveReader& archive, const std::string& group);

}  // namespace chest
