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

struct OmpOptions {
  /// Angles of the dictionary per antenna, on each side.
  arma::uword oversampling = 4;
  /// Atoms taken, whatever the noise; 0: as many as stand out of it.
  arma::uword sparsity = 0;
  /// Part of the atoms taken that may be noise, where sparsity is 0; also the probability that
  /// noise alone yields an atom.
  double false_discovery = 0.05;
  /// The receive antennas where they are a panel, and whether y and h are mixed by its panel_mix(). Not options of
  /// the table: they belong to the channels.
  PanelShape rx_panel = {};
  bool is_mixed = false;
  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

inline constexpr auto omp_options = options_of<OmpOptions>(
    option("oversampling", &OmpOptions::oversampling, within(1, 64),
           "angles of the dictionary per antenna, on each side"),
    option("sparsity", &OmpOptions::sparsity, within(0, 100'000), "atoms taken, whatever the noise")
        .default_is("0: as many as stand out of the noise"),
    option("false_discovery", &OmpOptions::false_discovery, between(0, 1),
           "part of the atoms that may be noise")
        .only_if([](const OmpOptions& o) { return o.sparsity == 0; }, "sparsity=0"));

/// Orthogonal matching pursuit with the responses of two uniform linear arrays as dictionary.
///
///   D = steering_vectors(n_tx) kron steering_vectors(n_rx),   phi_m = A d_m / ||A d_m||
///   repeat: r = y - Phi Phi^+ y over the atoms taken; take the atom of the largest |phi_m^H r|^2
///   h_hat = sum of atoms with fit Phi w = sum_k (1 - sigma2 / |b_k|^2)_+ b_k q_k
///
/// q_k, b_k: Gram-Schmidt directions of the atoms in the order taken and y's coefficients along
/// them; the factor is the linear MMSE one with the variance |b_k|^2 - sigma2. Without a given
/// sparsity atom k = 1, 2 .. is taken while its |phi_m^H r|^2 is above
/// sigma2 log(n_atoms / (false_discovery k)). Atoms that A does not see are left out.
///
/// Pilots: D is never formed, an atom costs O(oversampling n_h (n_rx + n_pilots oversampling) +
/// n_obs k). A dense A: A D is formed once, an atom costs O(n_obs n_atoms). Predicts no error.
///
/// @param A  observation, n_rx n_tx -> n_obs
/// @throws   Error(invalid_argument) if A is null or not for channels [n_rx, n_tx], or the options
///           are invalid
/// Source: [Pati1993], [Tropp2007]; the threshold [Abramovich2006]
std::unique_ptr<Estimator> make_omp(std::shared_ptr<const ObservationOperator> A, arma::uword n_rx,
                                    arma::uword n_tx, const OmpOptions& options = {});

}  // namespace v0
}  // namespace chest
