#pragma once

#include <armadillo>
#include <cstdint>
#include <vector>

#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

/// Two priors of one kind, fitted on disjoint sets of channels.
struct MemorisePair {
  const Denoiser& a;
  const Denoiser& b;
  const arma::cx_mat& train_a;  ///< [n_h, n]
  const arma::cx_mat& train_b;
  const arma::cx_mat& test;  ///< channels that neither saw
};

struct MemoriseOptions {
  std::vector<double> snr_db{0.0, 10.0};
  arma::uword n_samples = 64;  ///< drawn from each prior, by the ODE from the same noise; 0: none
  arma::uword n_calls = 50;    ///< of each sample
  arma::uword most_channels = 500;  ///< of each set, over which errors are means
  std::uint64_t seed = 1;
  unsigned n_threads = 1;  ///< changes no result
};

/// At one noise level; NMSE, linear, means over both priors.
struct MemoriseLevel {
  double snr_db = 0.0;
  double nmse_train = 0.0, nmse_test = 0.0;
  double disagreement = 0.0;  ///< E||D_a - D_b||^2 / E||h||^2 on the test channels
  double cosine = 0.0;        ///< of the residuals z - D of both
};

struct MemoriseReport {
  std::vector<MemoriseLevel> levels;
  /// |x^H y| / (||x|| ||y||), median over the samples: of samples of a and b of the same noise, and of a sample with the
  /// nearest channel of its own training set, and of a test channel with it. NaN without samples.
  double cosine_samples = arma::datum::nan, cosine_train = arma::datum::nan,
         cosine_fresh = arma::datum::nan;
  /// Share of samples with a nearest channel of training at under a third of the distance to the next.
  double copies = arma::datum::nan;

  /// More than 5 % of the samples are copies, or the test error is above that of training by 1 dB at some level.
  bool memorised() const;
  /// Disagreement at least 6 dB below the test error at every level.
  bool generalised() const;
};

/// @throws Error(invalid_argument) if sizes differ or a set is empty
/// Source: [Kadkhodaie2024]; docs/analysis.md
MemoriseReport compare_fits(const MemorisePair& pair, arma::uword n_rx, arma::uword n_tx,
                            const MemoriseOptions& options = {});

}  // namespace v0
}  // namespace chest
