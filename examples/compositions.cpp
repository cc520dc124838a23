// Two signals at once, and several slices held together: compositions of operators and denoisers, solved
// by one walk. docs/solvers.md quotes this file.
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/prior/compositions.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

#include <cmath>
#include <cstdio>
#include <memory>
#include <utility>

using namespace chest;
using OperatorPtr = std::shared_ptr<const ObservationOperator>;
using DenoiserPtr = std::shared_ptr<const Denoiser>;

namespace {

constexpr arma::uword n_h = 16, n_obs = 16, n_samples = 500;
constexpr double sigma2 = 0.01;

// Channels that come from few angles: covariance F diag(power) F^H.
arma::cx_mat covariance(arma::uword first_angle) {
  arma::cx_mat F(n_h, 6);
  for (arma::uword j = 0; j < F.n_cols; ++j) {
    for (arma::uword i = 0; i < n_h; ++i) {
      F(i, j) =
          std::polar(1.0, 2.0 * arma::datum::pi * double(i * (first_angle + j)) / double(n_h));
    }
  }
  return F * F.t() / double(F.n_cols);
}

arma::cx_mat draw(const arma::cx_mat& C, Rng& rng) {
  arma::vec values;
  arma::cx_mat vectors;
  arma::eig_sym(values, vectors, C);
  values = arma::sqrt(arma::clamp(values, 0.0, arma::datum::inf));
  return vectors * arma::diagmat(values) * rng.cx_normal(n_h, n_samples);
}

/// y = A h + B i + n: NMSE of h when i has a prior of its own, and when i is taken for white noise.
std::pair<double, double> interference() {
  Rng rng(1, {Purpose::test});
  const arma::cx_mat C_h = covariance(0), C_i = covariance(8);
  const DenoiserPtr of_h = make_gaussian_denoiser(C_h), of_i = make_gaussian_denoiser(C_i);
  const OperatorPtr A = make_dense_observation(rng.cx_normal(n_obs, n_h, 1.0 / n_obs));
  const OperatorPtr B = make_dense_observation(rng.cx_normal(n_obs, n_h, 1.0 / n_obs));
  const arma::cx_mat h = draw(C_h, rng), i = draw(C_i, rng);
  Observation observation;
  observation.sigma2 = sigma2;
  observation.y = A->apply(h) + B->apply(i) + rng.cx_normal(n_obs, n_samples, sigma2);

  const OperatorPtr L = make_stacked_observation({A, B});
  const DenoiserPtr D = make_product_denoiser({of_h, of_i});
  ProximalOptions options;
  options.variance.kind = VarianceKind::tweedie;
  const auto joint = make_walk(make_proximal_guidance(L, D, options));  // estimates [h; i]

  const Estimate both = joint->estimate(observation);
  observation.sigma2 += 1.0;
  return {nmse(both.h.head_rows(n_h), h), nmse(make_lmmse(A, C_h)->estimate(observation).h, h)};
}

/// Neighbouring slices whose channels are alike: NMSE held together, and each alone.
std::pair<double, double> slices() {
  Rng rng(2, {Purpose::test});
  const arma::uword n_slices = 3;
  const double mu = 50.0;
  const arma::cx_mat C = covariance(0);
  const DenoiserPtr of_h = make_gaussian_denoiser(C);
  const OperatorPtr A = make_dense_observation(rng.cx_normal(8, n_h, 1.0 / n_h));
  const arma::cx_mat h = draw(C, rng);  // the same in all slices, seen through other noise
  const arma::uword n_each = A->n_obs();
  Observation alone, observation;
  alone.sigma2 = observation.sigma2 = sigma2;
  alone.y = A->apply(h) + rng.cx_normal(n_each, n_samples, sigma2);

  const OperatorPtr L = make_coupled_slices_observation(A, n_slices, std::sqrt(mu * sigma2));
  const DenoiserPtr D = make_slice_denoiser(of_h, n_slices);  // y = [y_1; ...; y_L; 0]

  observation.y.zeros(L->n_obs(), n_samples);
  observation.y.head_rows(n_each) = alone.y;
  for (arma::uword l = 1; l < n_slices; ++l) {
    observation.y.rows(l * n_each, (l + 1) * n_each - 1) =
        A->apply(h) + rng.cx_normal(n_each, n_samples, sigma2);
  }
  ProximalOptions options;
  options.variance.kind = VarianceKind::tweedie;
  const Estimate together = make_walk(make_proximal_guidance(L, D, options))->estimate(observation);
  return {nmse(together.h.head_rows(n_h), h), nmse(make_lmmse(A, C)->estimate(alone).h, h)};
}

}  // namespace

int main() try {
  const auto [joint, as_noise] = interference();
  std::printf("interference  jointly %6.2f dB   as noise %6.2f dB\n", to_db(joint),
              to_db(as_noise));
  const auto [together, alone] = slices();
  std::printf("slices       together %6.2f dB      alone %6.2f dB\n", to_db(together),
              to_db(alone));
  return joint < as_noise && together < alone ? 0 : 1;
} catch (const Error& error) {
  std::fprintf(stderr, "compositions: %s\n", error.what());
  return 1;
}
