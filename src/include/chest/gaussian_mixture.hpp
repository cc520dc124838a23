#pragma once

#include <armadillo>
#include <string>
#include <vector>

#include <chest/archive.hpp>

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

/// Stores the mixture as datasets below `group` ("/prior"): weights, means, covariances.
void save(ArchiveWriter& archive, const std::string& group, const GaussianMixture& prior);
/// @throws Error(format) if `group` does not hold a mixture
GaussianMixture load_gaussian_mixture(const ArchiveReader& archive, const std::string& group);

}  // namespace chest
