#pragma once

#include <armadillo>
#include <cmath>
#include <string>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {

/// What every denoiser asks of its input.
inline void check_denoiser_input(const char* who, arma::uword n_h, const arma::cx_mat& z, double sigma2) {
  if (z.n_rows != n_h) {
    throw Error(ErrorKind::invalid_argument, std::string(who) + ": z has " +
                                                 std::to_string(z.n_rows) +
                                                 " rows, the prior has " + std::to_string(n_h));
  }
  if (!(sigma2 >= 0.0) || !std::isfinite(sigma2)) {
    throw Error(ErrorKind::invalid_argument, std::string(who) + ": sigma2 is " +
                                                 std::to_string(sigma2) +
                                                 ", it must be finite and not negative");
  }
}

}  // namespace v0
}  // namespace chest
