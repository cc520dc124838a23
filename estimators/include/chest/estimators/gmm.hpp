#pragma once

#include <armadillo>
#include <filesystem>
#include <memory>
#include <string>

#include <chest/estimators/estimator.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/observation.hpp>
#include <chest/provenance.hpp>

namespace chest {

/// Conditional mean for a Gaussian-mixture prior: the MMSE estimator where that prior is the truth.
///
///   h_hat = sum_k r_k(y) [m_k + C_k A^H S_k^-1 (y - A m_k)],   S_k = A C_k A^H + sigma2 I
///   r_k(y) proportional to w_k CN(y; A m_k, S_k)
///
/// One Cholesky factorisation per component and noise level serves all later calls at that level;
/// then O(n_components n_h n_obs) per channel. Predicts its mse, the trace of the posterior
/// covariance.
///
/// @throws Error(invalid_argument) if A is null, the prior is invalid or A.n_h() != prior.n_h()
/// Source: [Koller2022]; reference values in tests/golden/estimators.h5
std::unique_ptr<Estimator> make_gmm(std::shared_ptr<const ObservationOperator> A,
                                    const GaussianMixture& prior);

/// What one y says about h: the posterior p(h | y) of a mixture, again a mixture, with weights
/// r_k(y), means m_k + C_k A^H S_k^-1 (y - A m_k) and covariances C_k - C_k A^H S_k^-1 A C_k.
/// O(n_components n_h^2 n_obs). Posteriors compose: that of the posterior, given more, is that of
/// all.
///
/// @throws Error(invalid_argument) if sizes differ, the prior is invalid or sigma2 is not positive
/// Source: [Koller2022]
GaussianMixture mixture_posterior(const GaussianMixture& prior, const ObservationOperator& A,
                                  const arma::cx_vec& y, double sigma2);

/// A mixture in a model file.
struct GmmModel {
  arma::uword n_rx = 0, n_tx = 0;
  GaussianMixture prior;
  double channel_scale = 1.0;  ///< the fitting channels were scaled by this factor
  std::string training_data;   ///< JSON: file, dataset, samples, hash
  Provenance provenance;
};

void save(const std::filesystem::path& file, const GmmModel& model);
/// @throws Error(io) or Error(format) if the file is not a mixture model or is damaged
GmmModel load_gmm_model(const std::filesystem::path& file);

}  // namespace chest
