#include <chest/estimators/diffusion/residual.hpp>

#include <algorithm>
#include <cmath>
#include <string>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {

ResidualPath resshift_path(arma::uword n, double kappa, double p, double m) {
  if (n < 2 || !(kappa > 0.0) || !(p > 0.0) || !(m > 0.0)) {
    refuse("resshift path: expected 2 levels or more, and kappa, p and m above 0");
  }
  const double last = std::min(m / kappa, m);
  // The growth of the source, whose last level is sqrt(0.999); the first level here is 1.
  const double growth = std::log(std::sqrt(0.999) / last);
  ResidualPath path{arma::vec(n), arma::vec(n)};
  for (arma::uword i = 0; i < n; ++i) {
    const double t = static_cast<double>(n - 1 - i) / static_cast<double>(n - 1);
    const double root = i == 0 ? 1.0 : std::min(last * std::exp(growth * std::pow(t, p)), 1.0);
    path.a(i) = root * root;
    path.b(i) = kappa * root;
  }
  return path;
}

ResidualPath rddm_path(arma::uword n, double sum_scale) {
  if (n == 0 || !(sum_scale > 0.0)) {
    refuse("rddm path: expected a level or more, and sum_scale above 0");
  }
  const auto steps = static_cast<double>(n);
  const double total = 0.5 * steps * (steps + 1.0);
  ResidualPath path{arma::vec(n), arma::vec(n)};
  double a = 0.0, b2 = 0.0;
  for (arma::uword i = 1; i <= n; ++i) {
    const auto t = static_cast<double>(i);
    a += (steps + 1.0 - t) / total;
    b2 += sum_scale * t / total;
    path.a(n - i) = i == n ? 1.0 : a;
    path.b(n - i) = std::sqrt(b2);
  }
  return path;
}

ResidualPath resfusion_path(const arma::vec& alphas_cumprod) {
  if (alphas_cumprod.is_empty() || !(alphas_cumprod.min() > 0.0) || alphas_cumprod.min() > 0.25) {
    refuse("resfusion path: the schedule must come down to a signal of 1 / 2");
  }
  const arma::vec root = arma::sqrt(alphas_cumprod);
  const arma::uword at = arma::abs(root - 0.5).index_min();
  ResidualPath path{arma::vec(at + 1), arma::vec(at + 1)};
  for (arma::uword t = 0; t <= at; ++t) {
    const double signal = t == at ? 0.5 : root(t);
    path.a(at - t) = (1.0 - signal) / signal;
    path.b(at - t) = std::sqrt(1.0 - signal * signal) / signal;
  }
  return path;
}

arma::cx_mat residual_step(const arma::cx_mat& x, const arma::cx_mat& h_hat, const arma::cx_mat& y,
                           double a_t, double b_t, double a_s, double b_s, double eta,
                           const arma::cx_mat& w) {
  const arma::cx_mat r = y - h_hat;
  const double v = eta * (b_t * b_t - b_s * b_s) * b_s * b_s / (b_t * b_t);
  arma::cx_mat out =
      h_hat + a_s * r + (std::sqrt(std::max(b_s * b_s - v, 0.0)) / b_t) * (x - h_hat - a_t * r);
  if (!w.is_empty()) out += std::sqrt(std::max(v, 0.0)) * w;
  return out;
}

arma::cx_mat residual_mean(const Denoiser& D, const arma::cx_mat& x, const arma::cx_mat& y,
                           double sigma2, double a, double b) {
  constexpr double nothing_left = 1e-12;
  if (1.0 - a < nothing_left) return D.denoise(y, sigma2);
  const double t2 = b * b / ((1.0 - a) * (1.0 - a));
  const double both = sigma2 * t2 / (sigma2 + t2);
  return D.denoise((both / sigma2) * y + (both / (t2 * (1.0 - a))) * (x - a * y), both);
}

arma::cx_mat walk_residual_path(const Denoiser& D, const ResidualPath& path, const arma::cx_mat& y,
                                double sigma2, const ResidualWalk& walk, ColumnNoise& noise) {
  const arma::uword n = path.a.n_elem;
  if (n == 0 || path.b.n_elem != n || !(path.b.min() > 0.0) || std::abs(path.a(0) - 1.0) > 1e-12) {
    refuse("residual path: expected levels with a from 1 down and b above 0");
  }
  if (y.n_rows != D.n_h()) {
    refuse("residual path: y has " + std::to_string(y.n_rows) + " rows, the prior has " +
           std::to_string(D.n_h()));
  }
  arma::cx_mat x = y, w;
  if (walk.start_noise) noise.add_to(x, path.b(0) * path.b(0));
  for (arma::uword i = 0; i < n; ++i) {
    const arma::cx_mat h_hat = residual_mean(D, x, y, sigma2, path.a(i), path.b(i));
    if (i + 1 == n) return h_hat;
    if (walk.noise) {
      w.zeros(arma::size(x));
      noise.add_to(w, 1.0);
    }
    x = residual_step(x, h_hat, y, path.a(i), path.b(i), path.a(i + 1), path.b(i + 1), walk.eta, w);
  }
  return x;
}

}  // namespace v0
}  // namespace chest
