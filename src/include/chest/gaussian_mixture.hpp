#pragma once

#include <armadillo>
#include <string>
#include <variant>
#include <vector>

#include <chest/archive.hpp>
#include <chest/channel_covariance.hpp>
#include <chest/random.hpp>

namespace chest {
inline namespace v0 {

/// What the covariances of a mixture have in common.
enum class MixtureCovariance {
  full,       ///< nothing
  kronecker,  ///< C_tx kron C_rx
  toeplitz,   ///< block-Toeplitz: uniform linear arrays on both sides
  dft,        ///< block-circulant: diagonal in the angular domain
  factors     ///< diagonal plus low rank in the angular domain
};
/// All kinds, in this order.
const std::vector<MixtureCovariance>& mixture_covariances();
const char* to_string(MixtureCovariance kind);
/// @throws Error(invalid_argument) naming those there are
MixtureCovariance mixture_covariance_from_string(const std::string& text);

/// C_k = F^H (diag(v_k) + W_k W_k^H) F, v_k = spectra.col(k), with F the two-dimensional DFT of
/// `oversampling` times the array on each side, cut to the array: AngularTransform where it is 1.
struct SpectralCovariances {
  arma::uword n_rx = 0, n_tx = 0;
  arma::uword oversampling = 1;       ///< 1: block-circulant diagonal part; 2: block-Toeplitz
  arma::mat spectra;                  ///< [oversampling^2 n_h, n_components], >= 0
  std::vector<arma::cx_mat> factors;  ///< W_k, [n_h, rank]; empty: none. With oversampling 1 only
};

/// C_k = tx[j] kron rx[i] with k = i + rx.size() j.
struct KroneckerCovariances {
  std::vector<arma::cx_mat> rx;  ///< [n_rx, n_rx]
  std::vector<arma::cx_mat> tx;  ///< [n_tx, n_tx]
};

/// Gaussian mixture prior of h: with probability weights[k], h ~ CN(means.col(k), C_k).
/// One component with mean 0 is the Gaussian prior of LMMSE.
struct GaussianMixture {
  arma::vec weights;                      ///< [n_components], not negative, sum 1
  arma::cx_mat means;                     ///< [n_h, n_components]; 0 where there is a structure
  std::vector<arma::cx_mat> covariances;  ///< C_k, [n_h, n_h]; empty where there is a structure
  /// The covariances by fewer numbers than their entries; none: `covariances` holds them.
  std::variant<std::monostate, SpectralCovariances, KroneckerCovariances> structure = {};

  arma::uword n_h() const { return means.n_rows; }
  arma::uword n_components() const { return weights.n_elem; }
  MixtureCovariance kind() const;
  /// C_k, [n_h, n_h], Hermitian, positive semidefinite.
  arma::cx_mat covariance(arma::uword k) const;
  /// Real numbers that a fit chooses: weights, means and covariances.
  arma::uword n_parameters() const;
  /// The mixture of factor * h.
  GaussianMixture scaled(double factor) const;
  /// Empty when usable; otherwise one sentence naming what does not fit.
  std::string why_invalid() const;
};

/// CN(0, C): one component, the prior of LMMSE.
GaussianMixture gaussian_prior(arma::cx_mat C);
/// The same, with the structure of C; toeplitz is formed.
/// @throws Error(invalid_argument) for toeplitz of more than most_formed_entries
GaussianMixture gaussian_prior(const ChannelCovariance& C);
/// Entries of h up to which the matrix of a block-Toeplitz covariance is formed: 268 MB.
inline constexpr arma::uword most_formed_entries = 4096;

/// "64 components, factors of rank 8, 1114175 parameters".
std::string describe(const GaussianMixture& prior);

/// n_samples independent draws, [n_h, n_samples]. Those of a structure never form a C_k.
/// @throws Error(numeric) if a covariance has a negative eigenvalue
arma::cx_mat draw(const GaussianMixture& prior, arma::uword n_samples, Rng& rng);
/// E[h h^H] = sum_k w_k (C_k + m_k m_k^H): the C of the best linear estimator. [n_h, n_h]
arma::cx_mat second_moment(const GaussianMixture& prior);

/// Stores the mixture as datasets below `group` ("/prior"), docs/formats.md.
void save(ArchiveWriter& archive, const std::string& group, const GaussianMixture& prior);
/// @throws Error(format) if `group` does not hold a mixture
GaussianMixture load_gaussian_mixture(const ArchiveReader& archive, const std::string& group);

}  // namespace v0
}  // namespace chest
