#pragma once

#include <armadillo>
#include <filesystem>
#include <memory>
#include <string>

#include <chest/channel_covariance.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/observation.hpp>
#include <chest/provenance.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

struct LmmseOptions {
  /// Added to the diagonal of C, relative to tr(C) / n_h. A sample covariance of few samples is too
  /// sure of the directions it has not seen.
  double diagonal_loading = 0.0;
  /// Conjugate gradients also where a factorisation is small or there is a closed form.
  bool iterative = false;
  /// Of the conjugate gradients: least ||y - S x|| / ||y||.
  double tolerance = 1e-9;
  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

inline constexpr auto lmmse_options =
    options_of<LmmseOptions>(option("loading", &LmmseOptions::diagonal_loading, at_least(0),
                                    "added to the diagonal of C, relative to its mean"),
                             option("iterative", &LmmseOptions::iterative,
                                    "conjugate gradients also where a factorisation is small"),
                             option("tolerance", &LmmseOptions::tolerance, between(0, 1),
                                    "relative residual of the conjugate gradients"));

/// Linear MMSE estimator for channels of covariance C.
///
///   h_hat = C A^H (A C A^H + sigma2 I)^-1 y
///
/// A is applied, never formed; where A^H A = c I the filter works on A^+ y and has the size of C.
/// One factorisation per noise level, O(n_obs^3), serves all later calls at that level (the last
/// few levels are kept); then O(n_h n_obs) per channel. Predicts its mse, tr(C - C A^H S^-1 A C).
///
/// @param A  observation, n_h -> n_obs
/// @param C  covariance, [n_h, n_h], Hermitian, positive semidefinite
/// @throws   Error(invalid_argument) if A is null, A.n_h() != C.n_rows or the options are invalid
/// Source: [Kay1993, ch. 12]; reference values in tests/golden/estimators.h5
std::unique_ptr<Estimator> make_lmmse(std::shared_ptr<const ObservationOperator> A,
                                      const arma::cx_mat& C, const LmmseOptions& options = {});

/// The same for a covariance that is kept by its structure, which is not formed where that is large:
///
///   kronecker, A = P^T kron I   closed form, O(n_h (n_rx + n_tx)) per channel
///   dft, A = P^T kron I         closed form: FFTs and one product of size n_pilots per receive angle
///   others                      as above while n n_h <= 2048^2, n the size of S; beyond, conjugate
///                               gradients on S with FFTs, a column at a time, preconditioned by the
///                               block-circulant part of C where A = P^T kron I, to a relative
///                               residual of `tolerance`
///
/// The predicted mse is exact but for conjugate gradients, where it comes from random vectors: to a
/// standard error of 1 %, or what 64 vectors give.
/// @throws Error(invalid_argument) if A is null, or not for the channels of C, or options are invalid
/// @throws Error(numeric) from estimate(), where S is not positive definite or 5000 steps are not
///         enough
/// Source: [Chan1996]; [Meyer2021] for the mse
std::unique_ptr<Estimator> make_lmmse(std::shared_ptr<const ObservationOperator> A,
                                      const ChannelCovariance& C, const LmmseOptions& options = {});

/// What a sample covariance S is drawn towards (tr(S) / n_h) I by.
enum class Shrinkage {
  automatic,   ///< ledoit_wolf for a full covariance of fewer than 4 n_h samples, else none
  none,        ///< S itself
  ledoit_wolf  ///< the weight of least expected squared error; full covariances only
};
const char* to_string(Shrinkage shrinkage);
Shrinkage shrinkage_from_string(const std::string& text);

/// What `chest fit lmmse` writes and the LMMSE estimator runs.
struct LmmseModel {
  arma::uword n_rx = 0, n_tx = 0;
  ChannelCovariance C;  ///< empty for channels on a grid, which `grid` describes
  /// How C was estimated; C.kind() says how it is kept: files of chest 0.1 keep a toeplitz one in full.
  CovarianceKind kind = CovarianceKind::full;
  arma::uword n_samples = 0;  ///< that C was estimated from
  double shrinkage = 0.0;     ///< rho of fit_lmmse()
  /// Power normalisation of the fitting channels: h was scaled by this factor.
  double channel_scale = 1.0;
  std::string training_data;  ///< JSON: file, dataset, samples, hash
  Provenance provenance;
  GridStatistics grid = {};  ///< of channels on a grid, whose planes this is a model of
};

/// Sample covariance S of the channels, zero mean, read in blocks, and drawn towards white:
///
///   C = (1 - rho) S + rho mu I,    mu = tr(S) / n_h
///   rho = min(1, b / d),   d = ||S - mu I||^2,   b = (1/n^2) sum_k ||h_k h_k^H - S||^2
///
/// which is the rho of least E||C - E[h h^H]||^2, estimated from the samples for any distribution of
/// theirs. Fewer samples than n_h leave S singular: LMMSE takes what it has not seen for empty.
/// The other kinds are fit_structured_covariance(), rho the weight that it returns.
/// Of channels on a grid, the statistics of one axis at a time (fit_grid_statistics()).
/// @throws Error(invalid_argument) if there are no samples, ledoit_wolf is asked of another kind than
///         full, or anything but a full covariance of channels on a grid
/// Source: [Ledoit2004]
LmmseModel fit_lmmse(const SampleReader& samples, CovarianceKind kind = CovarianceKind::full,
                     Shrinkage shrinkage = Shrinkage::automatic);

void save(const std::filesystem::path& file, const LmmseModel& model);
/// @throws Error(io) or Error(format) if the file is not an LMMSE model or is damaged
LmmseModel load_lmmse_model(const std::filesystem::path& file);

}  // namespace v0
}  // namespace chest
