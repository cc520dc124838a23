#include "langevin_gibbs.hpp"

#include <cmath>
#include <map>

namespace chest {
inline namespace v0 {

arma::cx_mat denoise_leveled(const Denoiser& denoiser, const arma::vec& levels,
                             const LeveledStates& states, arma::vec* slope) {
  const arma::uword n_h = states.z.n_rows, n = states.z.n_cols;
  arma::cx_mat out(n_h, n), D;
  if (slope) slope->set_size(n);
  DenoiserError error;
  for (const arma::uword level : arma::unique(states.level).eval()) {
    const arma::uvec columns = arma::find(states.level == level);
    const double tau2 = levels(level);
    const arma::cx_mat z = states.z.cols(columns);
    if (slope) {
      denoiser.denoise_with_error(z, tau2, D, error);
      for (arma::uword i = 0; i < columns.n_elem; ++i) {
        const double moved = arma::norm(D.col(i) - z.col(i));
        (*slope)(columns(i)) =
            error.mse(i) / tau2 - static_cast<double>(n_h) + moved * moved / tau2;
      }
    } else {
      denoiser.denoise(z, tau2, D);
    }
    out.cols(columns) = D;
  }
  return out;
}

void langevin_gibbs(const Denoiser& denoiser, const arma::vec& levels, double step,
                    arma::uword sweeps, LeveledStates& states, ColumnNoise& noise) {
  const arma::uword n = states.z.n_cols;
  arma::cx_mat D = denoise_leveled(denoiser, levels, states);
  arma::vec here, there;
  for (arma::uword i = 0; i < sweeps; ++i) {
    for (arma::uword k = 0; k < n; ++k) {
      const double spread = std::sqrt(2.0 * step * levels(states.level(k)));
      for (arma::uword j = 0; j < states.z.n_rows; ++j) {
        states.z(j, k) += step * (D(j, k) - states.z(j, k)) + spread * noise.of(k).cx_normal();
      }
    }
    D = denoise_leveled(denoiser, levels, states, &here);
    LeveledStates moved = states;
    arma::vec chance(n);
    for (arma::uword k = 0; k < n; ++k) {
      const bool up = noise.of(k).uniform() < 0.5;
      chance(k) = noise.of(k).uniform();
      const arma::uword from = states.level(k);
      if (up ? from + 1 == levels.n_elem : from == 0) {
        chance(k) = 1.0;  // no level there
      } else {
        moved.level(k) = up ? from + 1 : from - 1;
      }
    }
    const arma::cx_mat D_moved = denoise_leveled(denoiser, levels, moved, &there);
    for (arma::uword k = 0; k < n; ++k) {
      const double way = std::log(levels(moved.level(k)) / levels(states.level(k)));
      if (!(std::log(chance(k)) < 0.5 * (here(k) + there(k)) * way) || way == 0.0) continue;
      states.level(k) = moved.level(k);
      D.col(k) = D_moved.col(k);
    }
  }
}

}  // namespace v0
}  // namespace chest
