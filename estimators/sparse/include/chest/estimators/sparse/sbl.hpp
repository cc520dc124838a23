#pragma once

#include <armadillo>
#include <memory>
#include <string>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/grid.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

struct SblOptions {
  /// Updates of the variances, from the periodogram on; more follow the noise.
  arma::uword iterations = 10;
  /// Angles per antenna at which there may be power, on each side.
  arma::uword oversampling = 4;
  /// That of matrices of a panel where none is asked for: along rows and columns it is four angles per antenna too.
  static constexpr arma::uword panel_oversampling = 2;
  /// c of the prior p(v) ~ 1 / v^c of every variance; 0 is maximum likelihood.
  double penalty = 0.5;
  /// The receive antennas where they are a panel, and whether y and h are mixed by its panel_mix(). Not options of
  /// the table: they belong to the channels.
  PanelShape rx_panel = {};
  bool is_mixed = false;
  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

inline constexpr auto sbl_options = options_of<SblOptions>(
    option("iterations", &SblOptions::iterations, within(0, 100'000),
           "updates of the variances, from the periodogram on"),
    option("oversampling", &SblOptions::oversampling, within(1, 64),
           "angles per antenna at which there may be power, on each side")
        .default_is("4; 2 along the sides of a panel, of matrices"),
    option("penalty", &SblOptions::penalty, at_least(0),
           "how sparse: c of the prior 1 / v^c of every variance, 0 is maximum likelihood"));

/// Sparse Bayesian learning: the conditional mean for a Gaussian channel whose power over angle is
/// found for each channel, sparse.
///
///   H = U W G_tx^T,   U = steering_vectors(n_rx, 1),   G_tx = steering_vectors(n_tx, oversampling)
///   w_ij ~ CN(0, V_ij) independent,   V = K v,   K_ia = |u_i^H g_a|^2
///
/// v_aj is the power of paths between the receive angle a, of steering_vectors(n_rx, oversampling),
/// and the transmit angle j; K is how a receive angle between the columns of U leaks into them. The
/// v are found by `iterations` steps, none of which raises  -log p(y | v) + c sum log v:  each
/// minimises a majorant of it, the tangents of log det S and log v and a bound of y^H S^-1 y:
///
///   S = A D diag(vec V) D^H A^H + sigma2 I,   b_ij = A d_ij,   D = all d_ij = vec(u_i g_tx_j^T)
///   v_aj *= sqrt( sum_i K_ia |b_ij^H S^-1 y|^2 / (sum_i K_ia b_ij^H S^-1 b_ij + c / v_aj) )
///
/// from v_aj = sum_i K_ia |b_ij^H y|^2 / ||b_ij||^4 / sum_i K_ia^2. For pilots U decouples the rows
/// of U^H Y and S is n_rx blocks of size n_pilots: O(n_rx n_pilots^2 n_tx oversampling) per
/// iteration. Where A decorrelates the blocks are Toeplitz of size n_tx: O(n_rx n_tx^2). A dense A
/// costs O(n_obs^2 n_h oversampling). Predicts its mse, the trace of the
/// posterior covariance at the variances found; it is lower than the error, as their uncertainty is
/// not in it.
///
/// @param A  observation, n_rx n_tx -> n_obs
/// @throws   Error(invalid_argument) if A is null or not for channels [n_rx, n_tx], or the options
///           are invalid
/// Source: [Tipping2001], [Wipf2004]; the update [Stoica2011], [Wipf2010]; Toeplitz covariances [Musicus1985]
std::unique_ptr<Estimator> make_sbl(std::shared_ptr<const ObservationOperator> A, arma::uword n_rx,
                                    arma::uword n_tx, const SblOptions& options = {});

}  // namespace v0
}  // namespace chest
