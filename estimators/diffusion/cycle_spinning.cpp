#include <chest/estimators/diffusion/cycle_spinning.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <utility>

#include <chest/metrics.hpp>

namespace chest {
inline namespace v0 {

arma::cx_mat phase_ramps(arma::uword n_rx, arma::uword n_tx, arma::uword n_spins, bool turns_rx) {
  arma::cx_mat out(n_rx * n_tx, n_spins);
  for (arma::uword k = 0; k < n_spins; ++k) {
    const double turn = arma::datum::tau * static_cast<double>(k) / static_cast<double>(n_spins);
    for (arma::uword t = 0; t < n_tx; ++t) {
      for (arma::uword r = 0; r < n_rx; ++r) {
        const double rx = turns_rx ? static_cast<double>(r) / static_cast<double>(n_rx) : 0.0;
        const double tx = static_cast<double>(t) / static_cast<double>(n_tx);
        out(t * n_rx + r, k) = std::polar(1.0, turn * (rx + tx));
      }
    }
  }
  return out;
}

double error_of_mean(double error_of_chains, double spread) {
  return std::max(error_of_chains - spread, least_part_of_mean * error_of_chains);
}

arma::vec run_spun(const Denoiser& denoiser, const std::vector<ReverseStep>& steps,
                   const arma::cx_mat& ramps, arma::cx_mat& z, DenoiserError* error) {
  arma::vec spread(z.n_cols, arma::fill::zeros);
  if (ramps.n_cols <= 1) {
    denoiser.run(steps, z, error);
    return spread;
  }
  const arma::cx_mat start = z;
  arma::cx_mat x;
  DenoiserError own;
  if (error) own.per_angle = error->per_angle;
  for (arma::uword k = 0; k < ramps.n_cols; ++k) {
    const arma::cx_vec& g = ramps.col(k);
    x = start;
    if (k > 0) x.each_col() %= g;
    denoiser.run(steps, x, error ? &own : nullptr);
    if (k == 0) {
      z = x;
      if (error) *error = own;
      continue;
    }
    x.each_col() %= arma::conj(g);
    // Mean and spread of k + 1 from those of k.
    const double share = 1.0 / static_cast<double>(k + 1);
    x -= z;
    spread = (1.0 - share) * (spread + share * squared_norms(x));
    z += share * x;
    if (!error) continue;
    error->mse += share * (own.mse - error->mse);
    error->angular += share * (own.angular - error->angular);
  }
  return spread;
}

}  // namespace v0
}  // namespace chest
