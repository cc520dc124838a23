#pragma once

#include <armadillo>
#include <cstdint>
#include <string>
#include <vector>

#include <chest/grid.hpp>

/// Two sets of channels held against each other: are they draws of one distribution?
namespace chest {
inline namespace v0 {

/// Unbiased squared maximum mean discrepancy with the kernel exp(-||x - y||^2 / b), from samples as columns. For
/// CN(m_1, C_1) and CN(m_2, C_2) its mean is k_11 + k_22 - 2 k_12,
/// k_ij = exp(-d^H (b I + S)^-1 d) / det(I + S / b),  d = m_i - m_j,  S = C_i + C_j.
/// @param b  width of the kernel, squared; 0: the median of ||x - y||^2 over all pairs
/// @throws Error(invalid_argument) if a set has fewer than 2 samples, rows differ or b is negative
/// Source: [Gretton2012]
double squared_mmd(const arma::cx_mat& x, const arma::cx_mat& y, double b = 0.0);

/// Wasserstein-1 distance of two samples of numbers: the area between their distribution functions.
double wasserstein(const arma::vec& x, const arma::vec& y);

/// exp of the entropy of the squared singular values of H, which sum to 1: 1 .. min(n_rx, n_columns).
/// Source: [Roy2007]
double effective_rank(const arma::cx_mat& H);

/// What the two sets are tested with.
enum class CompareEstimator { none, lmmse, gmm };

struct CompareOptions {
  arma::uword n_permutations = 200;  ///< 0: no p-values
  arma::uword n_projections = 64;    ///< of the sliced distance, >= 1
  CompareEstimator estimator = CompareEstimator::lmmse;
  std::vector<double> snr_db{0.0, 10.0, 20.0};  ///< of its NMSE
  std::uint64_t seed = 1;                       ///< of projections, permutations and noise
  unsigned n_threads = 1;                       ///< changes no result
};

/// One statistic of two sets. Larger means more different, but for `copies`.
struct ComparisonRow {
  std::string name, meaning;
  double value = 0.0;
  /// Mean under the permutations, where samples change sets; NaN where there are none.
  double alike = arma::datum::nan;
  /// (1 + permutations with at least this value) / (1 + permutations); NaN where there are none.
  double p = arma::datum::nan;
};

/// NMSE with A = I of an estimator fitted on one half of a set, on the other half of a set.
struct CrossNmse {
  double snr_db;
  /// Fitted on a (row 0) or b, tested on a (column 0) or b; linear.
  arma::mat nmse;
};

struct Comparison {
  std::vector<ComparisonRow> rows;
  std::vector<CrossNmse> cross;  ///< empty without an estimator
  /// Mean power of the angles of either side and of the delays, sum 1; column 0 of a, column 1 of b.
  arma::mat rx_angles, tx_angles, delays;
  arma::vec power_a, power_b, rank_a, rank_b;  ///< per channel: ||h||^2 / n_h, effective rank

  /// The least p times the number of tests: below 0.05 the sets differ. NaN without permutations.
  double corrected_p() const;
};

/// Compares samples of one size. Statistics: mmd of the channels, mmd of their angular magnitudes, sliced
/// Wasserstein-1 distance, total variation of the spectra over receive angles, transmit angles and delays,
/// Wasserstein-1 distance of power and of effective rank, and the share of channels whose nearest
/// neighbour is of their own set (distances up to a common phase). `copies` is the share of b with a neighbour in a
/// that is 3 times nearer than the next.
/// @param a, b  vec(H) as columns, [n_rx n_tx n_subcarriers n_symbols, n]
/// @throws Error(invalid_argument) if sizes do not fit, or a set has fewer than 4 samples
/// Source: [Gretton2012], [Rabin2012], [Schilling1986]; docs/sampling.md
Comparison compare_channels(const arma::cx_mat& a, const arma::cx_mat& b, arma::uword n_rx,
                            arma::uword n_tx, const GridAxes& grid = {},
                            const CompareOptions& options = {});

}  // namespace v0
}  // namespace chest
