#pragma once

#include <armadillo>
#include <chest/gaussian_mixture.hpp>
#include <chest/random.hpp>
#include <cmath>
#include <complex>

namespace chest {

/// Covariance of a uniform linear array that sees one Gaussian cluster around sin(angle) = u,
/// trace n.
inline arma::cx_mat cluster_covariance(arma::uword n, double u, double spread) {
  arma::cx_mat C(n, n, arma::fill::zeros);
  double total = 0.0;
  for (int i = 0; i <= 60; ++i) {
    const double at = -2.5 + 5.0 * i / 60.0, weight = std::exp(-0.5 * at * at);
    arma::cx_vec a(n);
    for (arma::uword k = 0; k < n; ++k) {
      a(k) = std::polar(1.0, arma::datum::pi * static_cast<double>(k) * (u + spread * at));
    }
    C += weight * a * a.t();
    total += weight;
  }
  return C / total;
}

/// Mixture with equal weights, means 0 and traces n_h.
inline GaussianMixture equal_mixture(std::vector<arma::cx_mat> covariances) {
  GaussianMixture prior;
  const arma::uword n = covariances.front().n_rows;
  prior.weights.set_size(covariances.size());
  prior.weights.fill(1.0 / static_cast<double>(covariances.size()));
  prior.means.zeros(n, covariances.size());
  for (arma::cx_mat& C : covariances) {
    C.diag() += 1e-6;
    C *= static_cast<double>(n) / arma::trace(C).real();
  }
  prior.covariances = std::move(covariances);
  return prior;
}

/// The prior on which solvers are compared: n_single one-cluster and n_double two-cluster
/// covariances of a linear array.
inline GaussianMixture cluster_mixture(arma::uword n, int n_single, int n_double, Rng& rng,
                                       double spread = 0.05) {
  std::vector<arma::cx_mat> covariances;
  for (int k = 0; k < n_single; ++k) {
    covariances.push_back(cluster_covariance(n, -1.0 + (2.0 * k + 1.0) / n_single, spread));
  }
  for (int k = 0; k < n_double; ++k) {
    const double u = 2.0 * rng.uniform() - 1.0, v = 2.0 * rng.uniform() - 1.0;
    const double p = 0.2 + 0.6 * rng.uniform();
    covariances.push_back(p * cluster_covariance(n, u, spread) +
                          (1.0 - p) * cluster_covariance(n, v, spread));
  }
  return equal_mixture(std::move(covariances));
}

/// The same for a square n x n array: pairs of clusters in both angles.
inline GaussianMixture cluster_mixture_2d(arma::uword n, int n_components, Rng& rng,
                                          double spread = 0.08) {
  const auto angle = [&] { return 2.0 * rng.uniform() - 1.0; };
  const auto cluster = [&] { return cluster_covariance(n, angle(), spread); };
  std::vector<arma::cx_mat> covariances;
  for (int k = 0; k < n_components; ++k) {
    const double w = 0.3 + 0.4 * rng.uniform();
    const arma::cx_mat tx = cluster(), rx = cluster(), tx2 = cluster(), rx2 = cluster();
    covariances.push_back(w * arma::kron(tx, rx) + (1.0 - w) * arma::kron(tx2, rx2));
  }
  return equal_mixture(std::move(covariances));
}

/// QPSK rows over n antennas, E|a^H h|^2 = 1 for E||h||^2 = n.
inline arma::cx_mat qpsk_rows(arma::uword n_rows, arma::uword n, Rng& rng) {
  arma::cx_mat A(n_rows, n);
  const double part = 1.0 / std::sqrt(2.0 * static_cast<double>(n));
  A.imbue(
      [&] { return arma::cx_double(rng.index(2) ? part : -part, rng.index(2) ? part : -part); });
  return A;
}

}  // namespace chest
