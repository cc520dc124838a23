#pragma once

#include <algorithm>
#include <armadillo>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include <chest/covariance.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/observation.hpp>
#include <chest/random.hpp>

namespace chest {

/// An observation with all that is known of it.
struct Scene {
  std::shared_ptr<const ObservationOperator> A;
  arma::cx_mat C;  ///< covariance of h, where it has one
  arma::cx_mat h;  ///< [n_h, n_samples]
  Observation observation;
};

struct SceneOptions {
  arma::uword n_rx = 4, n_tx = 3;
  arma::uword n_pilots = 0;  ///< random pilots; 0: A = I
  arma::uword n_samples = 8;
  double sigma2 = 0.1;
  std::uint64_t seed = 1;
};

inline Rng test_rng(std::uint64_t seed, std::uint64_t minor = 0) {
  return Rng(seed, {Purpose::test, 0, minor});
}

/// Random covariance with tr(C) = n.
inline arma::cx_mat random_covariance(arma::uword n, Rng& rng) {
  const arma::cx_mat B = rng.cx_normal(n, n);
  const arma::cx_mat C = B * B.t();
  return C * (static_cast<double>(n) / arma::trace(C).real());
}

/// Orthogonal pilots of unit power per slot, [n_tx, n_pilots]: P P^H = (n_pilots / n_tx) I where
/// n_pilots >= n_tx.
inline arma::cx_mat dft_pilots(arma::uword n_tx, arma::uword n_pilots) {
  arma::cx_mat P(n_tx, n_pilots);
  for (arma::uword j = 0; j < n_pilots; ++j) {
    for (arma::uword i = 0; i < n_tx; ++i) {
      P(i, j) = std::polar(1.0 / std::sqrt(static_cast<double>(n_tx)),
                           -2.0 * arma::datum::pi * static_cast<double>(i * j) /
                               static_cast<double>(std::max(n_tx, n_pilots)));
    }
  }
  return P;
}

/// Mixture with distinct means and covariances, E||h||^2 near n_h.
inline GaussianMixture random_mixture(arma::uword n_h, arma::uword n_components, Rng& rng) {
  GaussianMixture prior;
  prior.weights = arma::regspace(1.0, static_cast<double>(n_components));
  prior.weights /= arma::accu(prior.weights);
  prior.means = rng.cx_normal(n_h, n_components, 0.5);
  for (arma::uword k = 0; k < n_components; ++k) {
    prior.covariances.push_back(0.5 * random_covariance(n_h, rng));
  }
  return prior;
}

inline std::shared_ptr<const ObservationOperator> scene_observation(const SceneOptions& options,
                                                                    Rng& rng) {
  if (options.n_pilots == 0) return make_identity_observation(options.n_rx, options.n_tx);
  return make_kronecker_observation(rng.cx_normal(options.n_tx, options.n_pilots), options.n_rx);
}

/// Fills the observation of a scene that has A and h.
inline void observe(Scene& scene, double sigma2, Rng& rng) {
  scene.observation.sigma2 = sigma2;
  scene.observation.y =
      scene.A->apply(scene.h) + rng.cx_normal(scene.A->n_obs(), scene.h.n_cols, sigma2);
}

/// Channels of one random covariance, seen through A.
inline Scene correlated_scene(const SceneOptions& options) {
  Rng rng = test_rng(options.seed);
  Scene scene;
  scene.A = scene_observation(options, rng);
  scene.C = random_covariance(scene.A->n_h(), rng);
  scene.h = covariance_factor(scene.C) * rng.cx_normal(scene.A->n_h(), options.n_samples);
  observe(scene, options.sigma2, rng);
  return scene;
}

/// Channels of a mixture, seen through A.
inline Scene mixture_scene(const GaussianMixture& prior, const SceneOptions& options) {
  Rng rng = test_rng(options.seed);
  Scene scene;
  scene.A = scene_observation(options, rng);
  scene.h = draw(prior, options.n_samples, rng);
  observe(scene, options.sigma2, rng);
  return scene;
}

}  // namespace chest
