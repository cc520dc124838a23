#include <chest/estimators/analysis/flow.hpp>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/estimators/analysis/jacobian.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

namespace chest {
inline namespace v0 {
namespace {

constexpr std::uint64_t flow_stream = 3300;

void check_flow(const Denoiser& denoiser, const arma::cx_mat& z, const FlowOptions& options) {
  if (z.n_rows != denoiser.n_h()) {
    refuse("flow: channels of " + std::to_string(z.n_rows) + " entries, the prior has " +
           std::to_string(denoiser.n_h()));
  }
  if (!(options.tau2_low > 0.0) || !(options.tau2_high > options.tau2_low)) {
    refuse("flow: levels from " + std::to_string(options.tau2_low) + " to " +
           std::to_string(options.tau2_high) + ", expected 0 < low < high");
  }
  if (options.n_steps == 0) refuse("flow: 0 steps, expected at least 1");
  if (options.trace == TraceRule::predicted && !denoiser.predicts_error()) {
    refuse("flow: " + denoiser.name() + " does not predict its error; use probes");
  }
  if (options.trace == TraceRule::probes && options.n_probes == 0) {
    refuse("flow: 0 probes, expected at least 1");
  }
  if (!options.C.is_empty() && options.C.n_rows != z.n_rows) {
    refuse("flow: C is for " + std::to_string(options.C.n_rows) + " entries, z has " +
           std::to_string(z.n_rows));
  }
}

/// ln tau2 from low to high.
arma::vec flow_levels(const Denoiser& denoiser, const FlowOptions& options) {
  double low = options.tau2_low, high = options.tau2_high;
  if (const auto range = denoiser.sigma2_range()) {
    low = std::max(low, range->first);
    high = std::min(high, range->second);
  }
  return arma::linspace(std::log(low), std::log(high), options.n_steps + 1);
}

/// ln CN(x; 0, U diag(l) U^H + tau2 I)
arma::vec gaussian_log_density(const arma::vec& l, const arma::cx_mat& U, const arma::cx_mat& x,
                               double tau2) {
  const arma::mat power = squared_magnitudes(U.t() * x);
  const arma::vec v = l + tau2;
  const double constant =
      -arma::accu(arma::log(v)) - static_cast<double>(l.n_elem) * std::log(arma::datum::pi);
  return constant - (power.t() * (1.0 / v));
}

class Traces {
 public:
  Traces(const Denoiser& denoiser, const FlowOptions& options, arma::uword n)
      : denoiser_(denoiser), options_(options) {
    if (options.trace != TraceRule::probes) return;
    for (arma::uword k = 0; k < n; ++k) {
      Rng rng(options.seed, {Purpose::validation, flow_stream + 1, options.first_sample + k});
      arma::cx_mat U(denoiser.n_h(), options.n_probes);
      U.imbue([&] {
        const std::uint64_t bits = rng();
        return arma::cx_double(bits & 1 ? 1.0 : -1.0, bits & 2 ? 1.0 : -1.0);
      });
      probes_.push_back(std::move(U));
    }
  }

  /// D and Re tr J of each column.
  arma::vec at(const arma::cx_mat& z, double tau2, arma::cx_mat& D) const {
    if (options_.trace == TraceRule::predicted) {
      DenoiserError error;
      denoiser_.denoise_with_error(z, tau2, D, error);
      return error.mse / tau2;
    }
    denoiser_.denoise(z, tau2, D);
    arma::vec out(z.n_cols);
    for (arma::uword k = 0; k < z.n_cols; ++k) {
      const DenoiserDerivative derivative(denoiser_, z.col(k), tau2);
      out(k) = 0.5 * (options_.trace == TraceRule::whole
                          ? arma::trace(derivative.matrix())
                          : arma::mean(derivative.bilinear(probes_[k], probes_[k]).col(0)));
    }
    return out;
  }

 private:
  const Denoiser& denoiser_;
  const FlowOptions& options_;
  std::vector<arma::cx_mat> probes_;
};

}  // namespace

arma::cx_mat flow_start(const arma::cx_mat& h, const FlowOptions& options,
                        const Denoiser& denoiser) {
  check_flow(denoiser, h, options);
  const double tau2 = std::exp(flow_levels(denoiser, options).front());
  arma::cx_mat z = h;
  for (arma::uword k = 0; k < h.n_cols; ++k) {
    Rng rng(options.seed, {Purpose::validation, flow_stream, options.first_sample + k});
    z.col(k) += rng.cx_normal(h.n_rows, 1, tau2);
  }
  return z;
}

arma::vec flow_log_density(const Denoiser& denoiser, const arma::cx_mat& z_low,
                           const FlowOptions& options) {
  check_flow(denoiser, z_low, options);
  const arma::vec u = flow_levels(denoiser, options);
  const Traces traces(denoiser, options, z_low.n_cols);
  const auto n_h = static_cast<double>(z_low.n_rows);
  arma::cx_mat z = z_low, D, there;
  arma::vec integral(z.n_cols, arma::fill::zeros);
  arma::vec trace = traces.at(z, std::exp(u.front()), D);
  for (arma::uword i = 0; i + 1 < u.n_elem; ++i) {
    const double step = u(i + 1) - u(i);
    const arma::cx_mat slope = 0.5 * (z - D), euler = z + step * slope;
    const arma::vec trace_there = traces.at(euler, std::exp(u(i + 1)), there);
    z += 0.5 * step * (slope + 0.5 * (euler - there));
    integral += 0.5 * step * (2.0 * n_h - trace - trace_there);
    if (i + 2 < u.n_elem) trace = traces.at(z, std::exp(u(i + 1)), D);
  }
  arma::vec l(z.n_rows, arma::fill::ones);
  arma::cx_mat U(z.n_rows, z.n_rows, arma::fill::eye);
  if (!options.C.is_empty()) {
    hermitian_eigen(options.C, l, U);
    l.clamp(0.0, arma::datum::inf);
  }
  return gaussian_log_density(l, U, z, std::exp(u.back())) + integral;
}

arma::vec mixture_log_density(const GaussianMixture& mixture, const arma::cx_mat& z, double tau2) {
  if (z.n_rows != mixture.n_h()) {
    refuse("log density: z has " + std::to_string(z.n_rows) + " entries, the mixture " +
           std::to_string(mixture.n_h()));
  }
  if (!(tau2 > 0.0)) refuse("log density: tau2 is " + std::to_string(tau2) + ", expected > 0");
  arma::mat logs(mixture.n_components(), z.n_cols);
  for (arma::uword k = 0; k < mixture.n_components(); ++k) {
    arma::vec l;
    arma::cx_mat U;
    hermitian_eigen(mixture.covariance(k), l, U);
    l.clamp(0.0, arma::datum::inf);
    arma::cx_mat x = z;
    x.each_col() -= mixture.means.col(k);
    logs.row(k) = gaussian_log_density(l, U, x, tau2).t() + std::log(mixture.weights(k));
  }
  const arma::rowvec most = arma::max(logs, 0);
  logs.each_row() -= most;
  return (most + arma::log(arma::sum(arma::exp(logs), 0))).t();
}

InversionReport measure_inversion(const Denoiser& denoiser, const arma::cx_mat& h, double g,
                                  const FlowOptions& options) {
  check_flow(denoiser, h, options);
  if (!(g > 0.0) || g > 1.0)
    refuse("invert: g is " + std::to_string(g) + ", expected > 0 and <= 1");
  if (options.n_steps < 2) refuse("invert: 1 step, expected at least 2");
  const arma::vec tau = arma::exp(0.5 * flow_levels(denoiser, options));  // ascending
  const arma::uword n = tau.n_elem;
  const arma::vec v = 1.0 / (1.0 + arma::square(tau));
  const auto a = [&](arma::uword i, arma::uword j) { return std::sqrt(v(j) / v(i)); };
  const auto b = [&](arma::uword i, arma::uword j) {
    return std::sqrt(1.0 - v(j)) - a(i, j) * std::sqrt(1.0 - v(i));
  };
  arma::cx_mat D;
  const auto noise_of = [&](const arma::cx_mat& x, arma::uword i) -> arma::cx_mat {
    const arma::cx_mat z = x / std::sqrt(v(i));
    denoiser.denoise(z, tau(i) * tau(i), D);
    return (z - D) / tau(i);
  };
  const auto ddim = [&](const arma::cx_mat& x, arma::uword i, arma::uword j) -> arma::cx_mat {
    return a(i, j) * x + b(i, j) * noise_of(x, i);
  };
  const auto power = [](const arma::cx_mat& x) {
    return squared_norm(x) / static_cast<double>(x.n_elem);
  };

  InversionReport out;
  const arma::cx_mat start = std::sqrt(v(0)) * flow_start(h, options, denoiser);
  arma::cx_mat x = start;
  for (arma::uword i = 0; i + 1 < n; ++i) x = ddim(x, i, i + 1);
  out.latent_ddim = power(x);
  for (arma::uword i = n - 1; i > 0; --i) x = ddim(x, i, i - 1);
  out.ddim = arma::norm(x - start, "fro") / arma::norm(start, "fro");

  // Levels of BDIA count towards the data: the next is i - 1 here, the one before i + 1.
  const auto weights = [&](arma::uword i) {
    return std::pair{a(i, i - 1) - g * a(i, i + 1), b(i, i - 1) - g * b(i, i + 1)};
  };
  arma::cx_mat cleaner = start, here = ddim(start, 0, 1);
  for (arma::uword i = 1; i + 1 < n; ++i) {
    const auto [of_x, of_e] = weights(i);
    arma::cx_mat noisier = (cleaner - of_x * here - of_e * noise_of(here, i)) / g;
    cleaner = std::move(here);
    here = std::move(noisier);
  }
  out.latent_bdia = power(here);
  arma::cx_mat noisier = std::move(here);
  here = std::move(cleaner);
  for (arma::uword i = n - 2; i > 0; --i) {
    const auto [of_x, of_e] = weights(i);
    arma::cx_mat next = g * noisier + of_x * here + of_e * noise_of(here, i);
    noisier = std::move(here);
    here = std::move(next);
  }
  out.bdia = arma::norm(here - start, "fro") / arma::norm(start, "fro");
  return out;
}

}  // namespace v0
}  // namespace chest
