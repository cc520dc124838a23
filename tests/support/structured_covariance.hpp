#pragma once

#include <armadillo>

#include <chest/channel_covariance.hpp>
#include <chest/random.hpp>

#include "tests/support/scene.hpp"

namespace chest {

inline constexpr CovarianceKind all_kinds[] = {CovarianceKind::full, CovarianceKind::kronecker,
                                               CovarianceKind::toeplitz, CovarianceKind::dft};

/// A random covariance of a kind, positive definite, tr(C) near n_h.
inline ChannelCovariance structured_covariance(CovarianceKind kind, arma::uword n_rx,
                                               arma::uword n_tx, Rng& rng) {
  const arma::uword n_h = n_rx * n_tx;
  if (kind == CovarianceKind::full) return random_covariance(n_h, rng);
  if (kind == CovarianceKind::kronecker) {
    return ChannelCovariance::kronecker(random_covariance(n_rx, rng), random_covariance(n_tx, rng));
  }
  if (kind == CovarianceKind::dft) {
    const arma::mat powers = arma::square(arma::abs(rng.cx_normal(n_rx, n_tx)));
    return ChannelCovariance::dft(powers * double(n_h) / arma::accu(powers));
  }
  // Paths between the angles of the DFT, and a little of all.
  arma::cx_mat lags(2 * n_rx - 1, 2 * n_tx - 1, arma::fill::zeros);
  lags(n_rx - 1, n_tx - 1) = 0.05;
  for (int path = 0; path < 6; ++path) {
    const double u = rng.uniform(), v = rng.uniform(), power = 2.0 * rng.uniform() / 6.0;
    for (arma::uword l = 0; l < lags.n_cols; ++l) {
      for (arma::uword k = 0; k < lags.n_rows; ++k) {
        lags(k, l) += std::polar(power, 2.0 * arma::datum::pi *
                                            (u * (double(k) - double(n_rx) + 1.0) +
                                             v * (double(l) - double(n_tx) + 1.0)));
      }
    }
  }
  return ChannelCovariance::toeplitz(lags);
}

}  // namespace chest
