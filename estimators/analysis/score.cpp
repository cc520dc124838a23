#include <chest/estimators/analysis/score.hpp>

#include <cmath>

#include <chest/error.hpp>
#include <chest/estimators/analysis/jacobian.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

namespace chest {
inline namespace v0 {
namespace {

constexpr std::uint64_t score_stream = 3200;

void check_score(const char* who, const Denoiser& denoiser, const arma::cx_mat& h, double sigma2,
                 const ScoreCheckOptions& options) {
  const auto say = [&](const std::string& text) { refuse(std::string(who) + ": " + text); };
  if (h.n_rows != denoiser.n_h()) {
    say("channels of " + std::to_string(h.n_rows) + " entries, the prior has " +
        std::to_string(denoiser.n_h()));
  }
  if (h.n_cols == 0) say("there are no channels");
  if (!(sigma2 > 0.0) || !std::isfinite(sigma2)) {
    say("sigma2 is " + std::to_string(sigma2) + ", expected > 0");
  }
  if (options.n_probes == 0) say("0 probes, expected at least 1");
  if (options.n_points < 2 || options.n_points > 16) {
    say(std::to_string(options.n_points) + " points on a side, expected 2 .. 16");
  }
  if (!(options.side > 0.0)) say("the side is " + std::to_string(options.side) + ", expected > 0");
}

/// Points and weights of Gauss and Legendre on 0 .. 1, from the eigenvectors of the Jacobi matrix [Golub1969].
void gauss_legendre(arma::uword n, arma::vec& x, arma::vec& w) {
  arma::mat T(n, n, arma::fill::zeros);
  for (arma::uword i = 1; i < n; ++i) {
    const auto k = static_cast<double>(i);
    T(i, i - 1) = T(i - 1, i) = k / std::sqrt(4.0 * k * k - 1.0);
  }
  arma::mat V;
  arma::eig_sym(x, V, T);
  w = arma::square(V.row(0).t());
  x = 0.5 * (x + 1.0);
}

/// Random directions of a sample.
Rng directions_of(const ScoreCheckOptions& options, arma::uword k) {
  return Rng(options.seed, {Purpose::validation, score_stream + 1, options.first_sample + k});
}

/// int_0^1 D(t z) + t J(t z)^T z dt, by a rule of points x and weights w.
arma::cx_mat gradient_of_potential(const Denoiser& denoiser, const arma::cx_mat& z, double sigma2,
                                   const arma::vec& x, const arma::vec& w) {
  arma::cx_mat out(arma::size(z), arma::fill::zeros), pulled;
  for (arma::uword i = 0; i < x.n_elem; ++i) {
    const auto at = denoiser.linearise(x(i) * z, sigma2);
    at->pull_back(z, pulled);
    out += w(i) * (at->D() + x(i) * pulled);
  }
  return out;
}

/// tr J_r / 2 of each channel: whole, or by probes.
arma::vec traces(const Denoiser& denoiser, const arma::cx_mat& z, double sigma2,
                 const ScoreCheckOptions& options) {
  arma::vec out(z.n_cols);
  for (arma::uword k = 0; k < z.n_cols; ++k) {
    const DenoiserDerivative at(denoiser, z.col(k), sigma2);
    if (denoiser.n_h() <= options.most_whole) {
      out(k) = 0.5 * arma::trace(at.matrix());
      continue;
    }
    Rng rng = directions_of(options, k);
    arma::cx_mat U(denoiser.n_h(), options.n_probes);
    U.imbue([&] {
      const std::uint64_t bits = rng();
      return arma::cx_double(bits & 1 ? 1.0 : -1.0, bits & 2 ? 1.0 : -1.0);
    });
    const arma::mat pairs = at.bilinear(U, U);
    out(k) = 0.5 * arma::mean(pairs.col(0));
  }
  return out;
}

}  // namespace

arma::cx_mat report_noise(arma::uword n_h, arma::uword n, double sigma2,
                          const ScoreCheckOptions& options) {
  arma::cx_mat out(n_h, n);
  for (arma::uword k = 0; k < n; ++k) {
    Rng rng(options.seed, {Purpose::validation, score_stream, options.first_sample + k});
    rng.fill_cx_normal(out.colptr(k), n_h, sigma2);
  }
  return out;
}

ConservativityReport measure_conservativity(const Denoiser& denoiser, const arma::cx_mat& h,
                                            double sigma2, const ScoreCheckOptions& options) {
  check_score("conservativity", denoiser, h, sigma2, options);
  const arma::uword n_h = h.n_rows, n_points = options.n_points;
  const arma::cx_mat z = h + report_noise(n_h, h.n_cols, sigma2, options);
  arma::vec x, w;
  gauss_legendre(n_points, x, w);
  double curl = 0.0, whole = 0.0, around = 0.0, sides = 0.0, stokes = 0.0;
  arma::cx_mat points(n_h, 4 * n_points), D;
  for (arma::uword k = 0; k < z.n_cols; ++k) {
    const DenoiserDerivative at(denoiser, z.col(k), sigma2);
    Rng rng = directions_of(options, k);
    const arma::cx_mat U = rng.cx_normal(n_h, options.n_probes, 2.0);
    const arma::cx_mat V = rng.cx_normal(n_h, options.n_probes, 2.0);
    const arma::mat pairs = at.bilinear(U, V);
    curl += arma::accu(arma::square(pairs.col(0) - pairs.col(1)));
    whole += arma::accu(arma::square(pairs.col(0) + pairs.col(1)));
    for (arma::uword j = 0; j < options.n_probes; ++j) {
      const double length = options.side * std::sqrt(0.5 * sigma2);
      const arma::cx_vec a = length * U.col(j), b = length * V.col(j), corner = z.col(k);
      const arma::cx_vec starts[] = {corner, corner + a, corner + a + b, corner + b};
      const arma::cx_vec ways[] = {a, b, -a, -b};
      for (arma::uword s = 0; s < 4; ++s) {
        for (arma::uword i = 0; i < n_points; ++i) {
          points.col(s * n_points + i) = starts[s] + x(i) * ways[s];
        }
      }
      denoiser.denoise(points, sigma2, D);
      double sum = 0.0;
      for (arma::uword s = 0; s < 4; ++s) {
        double side = 0.0;
        for (arma::uword i = 0; i < n_points; ++i) {
          const arma::uword p = s * n_points + i;
          side += w(i) * std::real(arma::cdot(ways[s], D.col(p) - points.col(p)));
        }
        sum += side;
        sides += side * side;
      }
      around += sum * sum;
      // u^T J v and v^T J u of the sides: around is b . J a - a . J b to second order.
      const double twist = length * length * (pairs(j, 1) - pairs(j, 0));
      stokes += twist * twist;
    }
  }
  ConservativityReport out{std::sqrt(curl / whole), std::sqrt(around / sides),
                           std::sqrt(stokes / sides)};
  const double power = squared_norm(h);
  denoiser.denoise(z, sigma2, D);
  out.nmse = squared_norm(D - h) / power;
  if (!denoiser.differentiable()) {
    out.nmse_conservative = out.difference = arma::datum::nan;
    return out;
  }
  const arma::cx_mat conservative = gradient_of_potential(denoiser, z, sigma2, x, w);
  out.nmse_conservative = squared_norm(conservative - h) / power;
  out.difference = squared_norm(conservative - D) / power;
  return out;
}

ScoreReport test_score(const Denoiser& denoiser, const arma::cx_mat& h, double sigma2,
                       const ScoreCheckOptions& options) {
  check_score("score", denoiser, h, sigma2, options);
  const double n = static_cast<double>(h.n_elem), n_samples = static_cast<double>(h.n_cols);
  const arma::cx_mat z = h + report_noise(h.n_rows, h.n_cols, sigma2, options);
  const arma::cx_mat D = denoiser.denoise(z, sigma2), f = (D - z) / sigma2;
  ScoreReport out;
  out.stein = -std::real(arma::cdot(arma::vectorise(f), arma::vectorise(z))) / n;
  const arma::cx_vec mean = arma::mean(f, 1);
  out.mean = n_samples * squared_norm(mean) / (squared_norm(f) / n_samples);
  out.measured = squared_norm(D - h) / n;
  out.predicted =
      sigma2 * arma::mean(traces(denoiser, z, sigma2, options)) / static_cast<double>(h.n_rows);
  return out;
}

DimensionReport measure_dimension(const Denoiser& denoiser, const arma::cx_mat& h, double sigma2,
                                  const ScoreCheckOptions& options) {
  check_score("dimension", denoiser, h, sigma2, options);
  const arma::cx_mat z = h + report_noise(h.n_rows, h.n_cols, sigma2, options);
  DimensionReport out;
  out.trace = arma::mean(traces(denoiser, z, sigma2, options));
  out.error =
      squared_norm(denoiser.denoise(z, sigma2) - h) / static_cast<double>(h.n_cols) / sigma2;
  out.count = arma::datum::nan;
  if (h.n_rows <= 256) {
    const arma::vec s = arma::svd(DenoiserDerivative(denoiser, z.col(0), sigma2).matrix());
    out.count = 0.5 * static_cast<double>(arma::accu(s > 0.5));
  }
  return out;
}

}  // namespace v0
}  // namespace chest
