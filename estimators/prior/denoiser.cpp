#include <chest/estimators/prior/denoiser.hpp>

#include <algorithm>
#include <cmath>
#include <string>

#include <chest/error.hpp>
#include <chest/random.hpp>

namespace chest {
inline namespace v0 {

std::unique_ptr<DenoiserLinearization> Denoiser::linearise(const arma::cx_mat&, double) const {
  throw Error(ErrorKind::invalid_argument,
              name() + " has no gradient; use a method that needs none, as ep or diffpir");
}

void Denoiser::denoise_blind(const arma::cx_mat&, arma::cx_mat&) const {
  throw Error(ErrorKind::invalid_argument,
              name() + " must be told the noise level; use a network fitted with bias-free");
}

void Denoiser::denoise_beside(const arma::cx_mat&, const arma::cx_mat&, double, arma::cx_mat&,
                              DenoiserError&) const {
  throw Error(ErrorKind::invalid_argument,
              name() + " takes no side matrices; use a network fitted with --side");
}

void Denoiser::denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                                  DenoiserError& error) const {
  denoise(z, sigma2, out);
  error.mse.reset();
  error.angular.reset();
}

void Denoiser::run(const std::vector<ReverseStep>& steps, arma::cx_mat& z,
                   DenoiserError* error) const {
  arma::cx_mat denoised;
  for (const ReverseStep& step : steps) {
    if (error && &step == &steps.front()) {
      denoise_with_error(z, step.sigma2, denoised, *error);
    } else {
      denoise(z, step.sigma2, denoised);
    }
    // In place: a caller's memory stays its own.
    z -= denoised;
    z *= step.keep;
    z += denoised;
  }
}

arma::cx_mat Denoiser::denoise(const arma::cx_mat& z, double sigma2) const {
  arma::cx_mat out;
  denoise(z, sigma2, out);
  return out;
}

arma::vec probed_error(const Denoiser& denoiser, const arma::cx_mat& z, double sigma2,
                       arma::uword n_probes, ColumnNoise& noise, const arma::cx_mat& D) {
  if (n_probes == 0) {
    throw Error(ErrorKind::invalid_argument, "probed error: n_probes is 0; expected at least 1");
  }
  // A step well above the rounding of float32 and well below the noise.
  const double step = 0.03 * std::sqrt(sigma2);
  const arma::cx_mat at_z = D.is_empty() ? denoiser.denoise(z, sigma2) : D;
  arma::vec traces(z.n_cols, arma::fill::zeros);
  arma::cx_mat directions(arma::size(z)), moved;
  for (arma::uword i = 0; i < n_probes; ++i) {
    for (arma::uword k = 0; k < z.n_cols; ++k) {
      for (arma::cx_double& v : directions.col(k)) {
        const std::uint64_t bits = noise.of(k)();
        v = {bits & 1 ? 1.0 : -1.0, bits & 2 ? 1.0 : -1.0};
      }
    }
    denoiser.denoise(z + step * directions, sigma2, moved);
    for (arma::uword k = 0; k < z.n_cols; ++k) {
      traces(k) += std::real(arma::cdot(directions.col(k), moved.col(k) - at_z.col(k))) / step;
    }
  }
  return arma::clamp(0.5 * sigma2 / static_cast<double>(n_probes) * traces, 0.0, arma::datum::inf);
}

}  // namespace v0
}  // namespace chest
