#pragma once

#include <armadillo>
#include <chest/gaussian_mixture.hpp>

#include "tests/support/scene.hpp"

namespace chest {

/// Three components of one kind for 4x3 channels, far apart: each has nearly all its power in other
/// angles.
inline GaussianMixture far_apart(MixtureCovariance kind) {
  constexpr arma::uword n_rx = 4, n_tx = 3, n_h = n_rx * n_tx;
  GaussianMixture prior;
  prior.weights = {0.2, 0.3, 0.5};
  prior.means.zeros(n_h, 3);
  arma::mat spectra(n_h, 3);
  for (arma::uword k = 0; k < 3; ++k) {
    for (arma::uword i = 0; i < n_h; ++i) spectra(i, k) = i % 3 == k ? 2.9 : 0.05;
  }
  SpectralCovariances structure{n_rx, n_tx, 1, spectra, {}};
  if (kind == MixtureCovariance::factors) {
    Rng rng = test_rng(5);
    for (int k = 0; k < 3; ++k) structure.factors.push_back(rng.cx_normal(n_h, 2, 0.5));
    structure.spectra *= 0.3;
  }
  prior.structure = structure;
  if (kind == MixtureCovariance::full) {
    for (arma::uword k = 0; k < 3; ++k) prior.covariances.push_back(prior.covariance(k));
    Rng rng = test_rng(6);
    for (arma::cx_mat& C : prior.covariances) C += 0.2 * random_covariance(n_h, rng);
    prior.structure = {};
  } else if (kind == MixtureCovariance::toeplitz) {
    structure.oversampling = 2;
    structure.spectra.set_size(4 * n_h, 3);
    for (arma::uword k = 0; k < 3; ++k) {
      for (arma::uword i = 0; i < 4 * n_h; ++i) {
        structure.spectra(i, k) = (i % (2 * n_rx)) / 3 == k ? 2.9 : 0.05;
      }
    }
    prior.structure = structure;
  } else if (kind == MixtureCovariance::kronecker) {
    Rng rng = test_rng(7);
    KroneckerCovariances sides;
    for (int k = 0; k < 3; ++k) {
      const arma::cx_mat W = rng.cx_normal(n_rx, 1);
      sides.rx.push_back(4.0 * W * W.t() / arma::norm(W) / arma::norm(W) +
                         0.05 * arma::cx_mat(n_rx, n_rx, arma::fill::eye));
    }
    sides.tx.push_back(random_covariance(n_tx, rng));
    prior.structure = sides;
  }
  return prior;
}

/// The same mixture with whole covariances.
inline GaussianMixture expanded(const GaussianMixture& prior) {
  GaussianMixture whole{prior.weights, prior.means, {}};
  for (arma::uword k = 0; k < prior.n_components(); ++k) {
    whole.covariances.push_back(prior.covariance(k));
  }
  return whole;
}

}  // namespace chest
