#include <chest/estimators/prior/unbiased.hpp>

#include <algorithm>
#include <cmath>
#include <string>

#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {

Recorrupted recorrupt(const arma::cx_mat& z, const arma::vec& sigma2, double level,
                      ColumnNoise& noise) {
  if (sigma2.n_elem != z.n_cols || noise.size() != z.n_cols) {
    refuse("recorrupt: there are " + std::to_string(z.n_cols) + " noisy channels, " +
           std::to_string(sigma2.n_elem) + " noise variances and " + std::to_string(noise.size()) +
           " random streams; the numbers must be equal");
  }
  Recorrupted out{z, z, arma::vec(z.n_cols), arma::vec(z.n_cols)};
  const auto n_h = static_cast<double>(z.n_rows);
  for (arma::uword k = 0; k < z.n_cols; ++k) {
    if (!(sigma2(k) > 0.0 && sigma2(k) <= level)) {
      refuse("recorrupt: the noise variance of channel " + std::to_string(k) + " is " +
             number_text(sigma2(k)) + ", expected above 0 and at most the level " +
             number_text(level));
    }
    const double added = level - sigma2(k);
    const double a = std::min(1.0, added > 0.0 ? sigma2(k) / added : 1.0);
    out.c(k) = std::max(sigma2(k) - a * added, 0.0);
    out.offset(k) = n_h * (sigma2(k) + a * a * added);
    if (added == 0.0) continue;
    arma::cx_vec m(z.n_rows);
    noise.of(k).fill_cx_normal(m.memptr(), m.n_elem, added);
    out.x.col(k) += m;
    out.target.col(k) -= a * m;
  }
  return out;
}

arma::vec probed_traces(const Denoiser& denoiser, const arma::cx_mat& x, double level,
                        const arma::cx_mat& D, const arma::uvec& columns, ColumnNoise& noise) {
  arma::cx_mat directions(x.n_rows, columns.n_elem);
  for (arma::uword i = 0; i < columns.n_elem; ++i) {
    for (arma::cx_double& v : directions.col(i)) {
      const std::uint64_t bits = noise.of(columns(i))();
      v = {bits & 1 ? 1.0 : -1.0, bits & 2 ? 1.0 : -1.0};
    }
  }
  // Well above the rounding of float32 and well below the noise, as probed_error().
  const double step = 0.03 * std::sqrt(level);
  const arma::cx_mat moved = denoiser.denoise(x.cols(columns) + step * directions, level);
  arma::vec traces(columns.n_elem);
  for (arma::uword i = 0; i < columns.n_elem; ++i) {
    traces(i) = std::real(arma::cdot(directions.col(i), moved.col(i) - D.col(columns(i)))) / step;
  }
  return traces;
}

arma::vec unbiased_errors(const Denoiser& denoiser, const arma::cx_mat& z, const arma::vec& sigma2,
                          double level, ColumnNoise& noise) {
  const Recorrupted pair = recorrupt(z, sigma2, level, noise);
  const arma::cx_mat D = denoiser.denoise(pair.x, level);
  arma::vec errors = squared_errors(D, pair.target) - pair.offset;
  const arma::uvec needs = arma::find(pair.c > 0.0);
  if (!needs.is_empty()) {
    errors(needs) += pair.c(needs) % probed_traces(denoiser, pair.x, level, D, needs, noise);
  }
  return errors;
}

}  // namespace v0
}  // namespace chest
