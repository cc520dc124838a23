#pragma once

#include <armadillo>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/observation.hpp>
#include <chest/provenance.hpp>
#include <chest/run_control.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// Conditional mean for a Gaussian-mixture prior: the MMSE estimator where that prior is the truth.
///
///   h_hat = sum_k r_k(y) [m_k + C_k A^H S_k^-1 (y - A m_k)],   S_k = A C_k A^H + sigma2 I
///   r_k(y) proportional to w_k CN(y; A m_k, S_k)
///
/// What is prepared per noise level serves all later calls at that level. Per channel, component
/// and n_h, with the pilots of A = P^T kron I (docs/estimators.md):
///
///   dft, factors          O(1 + rank) where A^H A = c I, else O(n_pilots + rank)
///   kronecker             O(n_rx + n_pilots)
///   full, toeplitz        O(n_h) where A^H A = c I: one eigendecomposition per component serves
///                         every noise level; memory n_components n_h^2
///                         else O(n_obs), as for any other A; memory n_components (n_h^2 + n_obs^2)
///
/// Predicts its mse, the trace of the posterior covariance.
///
/// @throws Error(invalid_argument) if A is null, the prior is invalid or A.n_h() != prior.n_h()
/// @throws Error(numeric) if a covariance that is decomposed has a negative eigenvalue
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
  GridStatistics grid = {};   ///< of channels on a grid, whose planes this is a model of
  arma::uword n_samples = 0;  ///< that the mixture was fitted on
  /// Mean ln p(h) per channel before each step of EM and after the last, nats.
  arma::vec log_likelihoods = {};
};

struct GmmFitOptions {
  MixtureCovariance covariance = MixtureCovariance::dft;
  /// Not for kronecker.  Range: 1 .. n_samples
  arma::uword n_components = 64;
  /// kronecker: covariances of the columns and of the rows of H; every pair is a component.
  /// Range: >= 1
  arma::uword n_components_rx = 16, n_components_tx = 8;
  /// factors: columns of W_k.  Range: 1 .. n_h
  arma::uword rank = 8;
  /// No C_k has an eigenvalue below this part of the mean power per entry; kronecker: none of
  /// either side.  Range: > 0, < 1
  double regularisation = 1e-4;
  /// Steps of EM.  Range: >= 1
  arma::uword max_iterations = 200;
  /// Ends when a step raises the mean of ln p(h) / n_h by less.  Range: >= 0
  double tolerance = 1e-5;
  std::uint64_t seed = 0;  ///< of the channels that the components start from
  unsigned n_threads = 1;  ///< changes no result
  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

/// Fits a zero-mean mixture, EM in complex form; the channels are held in memory.
///
///   r_nk proportional to w_k CN(h_n; 0, C_k),   w_k = mean_n r_nk,   S_k = sum_n r_nk h_n h_n^H /
///   sum_n r_nk
///
///   full       C_k = S_k, eigenvalues raised to the regularisation's floor
///   dft        C_k = F^H diag(F S_k F^H) F                                       [Fesl2022]
///   toeplitz   C_k = Q^H diag(c_k) Q, Q the DFT of twice the array, cut to it [Fesl2022]: steps
///              c <- c sqrt(diag(Q C^-1 S C^-1 Q^H) / diag(Q C^-1 Q^H)), each of which raises the
///              likelihood (it maximises a lower bound that touches it) [Sun2017]
///   factors    mixture of factor analysers in the angular domain, F C_k F^H = W_k W_k^H +
///              diag(v_k) [Ghahramani1996]; no inverse larger than the rank
///   kronecker  one full mixture of the columns of H and one of its rows, all pairs, and the
///              weights of the pairs by EM [Koller2022]
///
/// The log-likelihood never falls from one step to the next; log_likelihoods records it (kronecker:
/// while the weights of the pairs are fitted). All start from a few steps of dft, which start from
/// channels drawn by the seed.
///
/// @throws Error(invalid_argument) if the options are invalid or do not fit the samples
/// @throws Error(numeric) if the channels are all zero
/// Source: [Dempster1977], [Koller2022], [Fesl2022]
GmmModel fit_gmm(const SampleReader& samples, const GmmFitOptions& options,
                 const RunControl& control = {});

/// Mean of ln p(h) over channels, nats.
/// @throws Error(invalid_argument) if there are no samples or they do not fit the prior
/// @throws Error(numeric) if a covariance is singular
double mean_log_likelihood(const GaussianMixture& prior, const SampleReader& samples,
                           unsigned n_threads = 1);

void save(const std::filesystem::path& file, const GmmModel& model);
/// @throws Error(io) or Error(format) if the file is not a mixture model or is damaged
GmmModel load_gmm_model(const std::filesystem::path& file);

}  // namespace v0
}  // namespace chest
