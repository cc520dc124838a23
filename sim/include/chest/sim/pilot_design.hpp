#pragma once

#include <armadillo>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <chest/estimators/common/estimator.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// Where pilots are chosen from.
enum class CandidateKind {
  dft,              ///< n_tx beams: the columns of the unitary DFT
  dft_oversampled,  ///< 4 n_tx beams; every fourth is one of dft
  antennas,         ///< one antenna at a time: the columns of I
  qpsk              ///< 4 n_tx random QPSK vectors, those of qpsk:N pilots first
};
const char* to_string(CandidateKind kind);
/// @throws Error(invalid_argument) naming the nearest kind
CandidateKind candidate_kind_from_string(const std::string& text);

/// Candidates of unit power, [n_tx, n_candidates].
/// @param seed  of qpsk, as in make_pilots()
/// @throws Error(invalid_argument) if n_tx is not in 1 .. 1024
arma::cx_mat pilot_candidates(CandidateKind kind, arma::uword n_tx, std::uint64_t seed);

/// What is wanted of the next pilot. For a Gaussian h of covariance C, the received pilot
/// y_c = H p_c + n = A_c h + n, A_c = p_c^T kron I, has the covariance S_c = A_c C A_c^H + sigma2
/// I.
enum class PilotCriterion {
  trace,     ///< tr(C A_c^H S_c^-1 A_c C): what the error E||h - E[h | y]||^2 falls by
  entropy,   ///< ln det(S_c / sigma2): the information on h, in nats
  variance,  ///< tr(A_c C A_c^H): how uncertain y_c is; ranks as entropy does for n_rx = 1
};
const char* to_string(PilotCriterion criterion);
/// @throws Error(invalid_argument) naming the nearest criterion
PilotCriterion pilot_criterion_from_string(const std::string& text);

struct PilotDesignOptions {
  arma::uword n_pilots = 8;  ///< 1 .. n_candidates
  double sigma2 = 0.1;       ///< noise variance per complex entry, > 0
  PilotCriterion criterion = PilotCriterion::trace;
  unsigned n_threads = 1;
};

/// Pilots chosen one after the other without a look at what is received.
struct PilotDesign {
  arma::uvec chosen;  ///< candidates in the order of choice, [n_pilots]
  arma::cx_mat P;     ///< [n_tx, n_pilots]
  arma::vec nmse;     ///< of LMMSE after each pilot, as C predicts it: tr(C | y) / tr(C)
};

/// The criterion of each candidate, [n_candidates]. n_rx = n_h / n_tx; A is never formed.
/// O(n_h^2 + n_rx^2 n_h) per candidate.
/// @param C           covariance, [n_h, n_h]
/// @param candidates  [n_tx, n_candidates]
/// @throws Error(invalid_argument) if sizes do not fit or sigma2 is not positive
arma::vec pilot_scores(const arma::cx_mat& C, const arma::cx_mat& candidates, double sigma2,
                       PilotCriterion criterion, unsigned n_threads = 1);

/// Greedy design for a Gaussian prior: the candidate of the largest score, each at most once, then
///
///   C <- C - C A_c^H S_c^-1 A_c C
///
/// and again. The received values do not enter the posterior covariance, so feedback would change
/// nothing for this prior. Entropy is submodular: the n greedy pilots have at least 1 - 1/e of the
/// information of the best n.
/// @throws Error(invalid_argument) as above, or if n_pilots is not in 1 .. n_candidates
/// Source: [Nemhauser1978], [Krause2005]; docs/pilots.md
PilotDesign design_pilots(const arma::cx_mat& C, const arma::cx_mat& candidates,
                          const PilotDesignOptions& options = {});

/// NMSE of LMMSE after each column of P, as C predicts it, [n_pilots].
/// @throws Error(invalid_argument) if sizes do not fit or sigma2 is not positive
arma::vec predicted_lmmse_nmse(const arma::cx_mat& C, const arma::cx_mat& P, double sigma2);

/// n_particles draws from p(h | y), [n_h, n_particles]; the stream and the size of A name the
/// random numbers.
using PosteriorSampler =
    std::function<arma::cx_mat(const ObservationOperator& A, const arma::cx_vec& y, double sigma2,
                               arma::uword n_particles, std::uint64_t stream)>;
/// The estimator for an observation that is only now known.
using EstimatorMaker =
    std::function<std::shared_ptr<const Estimator>(std::shared_ptr<const ObservationOperator> A)>;

/// Exact draws for a Gaussian mixture.  @throws Error(invalid_argument) if the prior is invalid
PosteriorSampler make_mixture_sampler(GaussianMixture prior, std::uint64_t seed);
/// The estimates of one y, over and over, of an estimator that samples: a walk with the ancestral
/// or the fresh update and n_runs = 1. Its noise depends on the column of y, so the columns differ
/// by noise of variance 1e-20 sigma2.  When drawing:
/// @throws Error(invalid_argument) if all estimates are the same
PosteriorSampler make_estimator_sampler(EstimatorMaker make, std::uint64_t seed);

/// What is known of one channel when its next pilot is chosen.
struct Received {
  std::shared_ptr<const ObservationOperator> A;  ///< the pilots so far, at least one
  arma::cx_vec y;
  double sigma2 = 0.0;
  std::uint64_t stream = 0;  ///< of this channel
};
/// A score for each candidate, [n_candidates]: the largest that was not sent yet is next.
using PilotScore = std::function<arma::vec(const Received&)>;

/// Active diffusion subsampling: particles h_i of the posterior predict y_ci = H_i p_c, and a
/// candidate scores by how far the predictions are apart, d_cij = ||y_ci - y_cj||:
///
///   variance   mean_ij d_cij^2 / 2
///   entropy    -(1/n) sum_i ln (1/n) sum_j exp(-d_cij^2 / (2 sigma2))
///
/// The entropy is that of the kernel density estimate with kernels CN(0, 2 sigma2) at the
/// predictions, up to a constant. With many receive antennas all d^2 are far above sigma2 and it is
/// ln n for every candidate; take the variance then.
/// @throws Error(invalid_argument) if the criterion is trace, or n_particles < 2
/// Source: [Nolan2024]; the published code has exp(+d^2 / (2 sigma2)), no minus and a wide kernel,
/// which is a variance score.
PilotScore make_particle_score(PosteriorSampler sampler, arma::cx_mat candidates,
                               PilotCriterion criterion, arma::uword n_particles = 32);
/// The exact variance tr(A_c Cov[h | y] A_c^H) for a Gaussian mixture.
/// @throws Error(invalid_argument) if the prior is invalid or the candidates do not fit it
PilotScore make_mixture_score(GaussianMixture prior, arma::cx_mat candidates);

struct FeedbackOptions {
  arma::uword n_pilots = 8;
  double sigma2 = 0.1;
  arma::uword first = 0;  ///< the candidate that all channels begin with: there is no feedback yet
  /// One choice for all channels, that of the largest mean score: a codebook for this prior, which
  /// needs no feedback when it is used.
  bool common = false;
  std::uint64_t seed = 1;  ///< of the noise
  unsigned n_threads = 1;
};

/// Pilots chosen one after the other for each channel, by what was received so far. The noise of a
/// candidate is that of pilot_nmse(), whenever it is sent.
/// @param h  channels, [n_h, n_samples]
/// @return candidates in the order of choice, [n_pilots, n_samples]; [n_pilots, 1] when common
/// @throws Error(invalid_argument) if sizes do not fit or options are out of range
arma::umat choose_pilots(const arma::cx_mat& h, const arma::cx_mat& candidates,
                         const PilotScore& score, const FeedbackOptions& options = {});

/// NMSE over all channels after the first counts(i) pilots, [n_counts].
/// @param chosen  [n_pilots, n_samples], or [n_pilots, 1] for all channels
/// @param make    the estimator, E[h | y] for what is possible at best
/// @throws Error(invalid_argument) if sizes do not fit, an index or a count is out of range
arma::vec pilot_nmse(const arma::cx_mat& h, const arma::cx_mat& candidates,
                     const arma::umat& chosen, const arma::uvec& counts, const EstimatorMaker& make,
                     double sigma2, std::uint64_t seed, unsigned n_threads = 1);

/// n_pilots distinct candidates at random for each channel, [n_pilots, n_samples].
/// @throws Error(invalid_argument) if n_pilots is not in 1 .. n_candidates
arma::umat random_choice(arma::uword n_candidates, arma::uword n_pilots, arma::uword n_samples,
                         std::uint64_t seed);
/// Candidates i n_candidates / n_pilots, rounded down, [n_pilots].
/// @throws Error(invalid_argument) if n_pilots is not in 1 .. n_candidates
arma::uvec uniform_choice(arma::uword n_candidates, arma::uword n_pilots);

}  // namespace sim
}  // namespace v0
}  // namespace chest
