#pragma once

#include <armadillo>

#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

/// J^H w alone, without K^T conj(w): two backward passes.
inline arma::cx_mat proper_pull_back(const DenoiserLinearization& at, const arma::cx_mat& w) {
  const arma::cx_double i(0.0, 1.0);
  arma::cx_mat straight, turned;
  at.pull_back(w, straight);
  at.pull_back(i * w, turned);
  return 0.5 * (straight - i * turned);
}

}  // namespace v0
}  // namespace chest
